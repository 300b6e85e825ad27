"""Training: the loss is HoVer-Net's, crops depend on their number alone, and a training that
was cut short ends as one that was not."""

import json

import numpy as np
import pytest
import torch

from hoverfast_platform import cores
from hoverfast_platform.config import Appearance
from hoverfast_platform.errors import TrainingError
from hoverfast_platform.model.architecture import Architecture
from hoverfast_platform.model.checkpoint import load_model
from hoverfast_platform.storage.patch_table import LabelProvenance, Patch, PatchTable
from hoverfast_platform.storage.patch_table_writer import PatchTableWriter
from hoverfast_platform.training import fit as fit_module
from hoverfast_platform.training import step as step_module
from hoverfast_platform.training.crops import Crops
from hoverfast_platform.training.data import Guides, TrainingData
from hoverfast_platform.training.fit import fit
from hoverfast_platform.training.losses import hv_gradient_loss, soft_dice_loss, student_losses
from hoverfast_platform.training.optimisation import MixedPrecision, learning_rate_at
from hoverfast_platform.training.settings import TrainingSettings
from hoverfast_platform.training.targets import Targets

TINY = TrainingSettings(
    n_steps=4, batch_size=2, crop_px=32, validate_every=2, warmup_steps=1, n_loaders=0
)


def _table(path, seed, n_patches=2, *, empty=False):
    rng = np.random.default_rng(seed)
    people = LabelProvenance(teacher="people")
    with PatchTableWriter(path, mpp=0.25, patch_px=64, provenance=people) as writer:
        for i in range(n_patches):
            label = np.zeros((48, 64), dtype=np.int32)
            y, x = np.ogrid[:48, :64]
            for number in range(0 if empty else 6):
                cy, cx = rng.integers(5, (43, 59))
                label[(y - cy) ** 2 + (x - cx) ** 2 < 36] = number + 1
            image = np.where(label[..., None] > 0, (90, 60, 140), (225, 180, 210))
            image = np.clip(image + rng.normal(0, 8, image.shape), 0, 255).astype(np.uint8)
            writer.append(Patch(image, label, f"{seed}/{i}", f"{seed}/{i}"))
    return PatchTable(path)


@pytest.fixture
def data(tmp_path):
    return TrainingData((_table(tmp_path / "a.h5", 1),), _table(tmp_path / "b.h5", 2))


def test_loss_is_zero_for_a_perfect_and_confident_prediction():
    foreground = torch.zeros(1, 8, 12)
    foreground[0, 2:5, 2:5] = 1
    hv = torch.rand(1, 2, 8, 12)
    logits = torch.stack([1.0 - foreground, foreground], dim=1) * 60 - 30

    losses = student_losses(logits, hv, Targets(foreground, hv), TINY)

    assert losses.total.item() == pytest.approx(0, abs=1e-4)


def test_dice_has_a_gradient():
    logits = torch.zeros(1, 4, 6, requires_grad=True)

    soft_dice_loss(logits.sigmoid(), torch.ones(1, 4, 6)).backward()

    assert logits.grad.abs().sum() > 0


def test_hv_gradient_counts_inside_nuclei_only():
    inside = torch.zeros(1, 16, 20)
    inside[0, :, :6] = 1
    true = torch.zeros(1, 2, 16, 20)
    predicted = true.clone()
    predicted[:, :, :, 14:] = torch.rand(6)  # wrong, further than the kernel from any nucleus

    assert hv_gradient_loss(predicted, Targets(inside, true)) == 0
    predicted[:, 0, :, :6] = torch.rand(16, 6)
    assert hv_gradient_loss(predicted, Targets(inside, true)) > 0


def test_slope_of_a_plane_is_seen_along_its_own_axis():
    inside = torch.zeros(1, 16, 24)
    inside[0, 4:12, 4:20] = 1
    flat, none = torch.zeros(1, 2, 16, 24), torch.zeros(16, 24)
    horizontal = torch.stack([torch.arange(24.0).repeat(16, 1), none])[None]
    swapped = torch.stack([torch.arange(16.0)[:, None].repeat(1, 24), none])[None]

    assert hv_gradient_loss(horizontal, Targets(inside, flat)) > 1
    assert hv_gradient_loss(swapped, Targets(inside, flat)) == pytest.approx(0, abs=1e-9)


def test_a_batch_without_nuclei_has_a_finite_loss():
    nothing = Targets(torch.zeros(2, 8, 12), torch.zeros(2, 2, 8, 12))
    losses = student_losses(torch.randn(2, 2, 8, 12), torch.randn(2, 2, 8, 12), nothing, TINY)

    assert all(torch.isfinite(term) for term in losses)


def test_learning_rate_rises_and_falls():
    settings = TrainingSettings(n_steps=100, warmup_steps=10, learning_rate=1.0)
    rates = [learning_rate_at(step, settings) for step in range(100)]

    assert rates[:10] == pytest.approx([0.1 * (i + 1) for i in range(10)])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] == pytest.approx(0.01, abs=0.002)


@pytest.mark.parametrize(
    ("has", "dtype"),
    [(set(), None), ({"avx512_vnni"}, None), ({"avx512_bf16"}, torch.bfloat16)],
)
def test_half_precision_is_for_devices_that_compute_in_it(monkeypatch, has, dtype):
    monkeypatch.setattr(cores, "cpu_features", lambda: frozenset(has))
    cpu = torch.device("cpu")

    assert MixedPrecision.of(cpu, TrainingSettings()).dtype == dtype
    assert MixedPrecision.of(cpu, TrainingSettings(precision="fp32")).dtype is None
    assert MixedPrecision.of(cpu, TrainingSettings(precision="amp")).dtype == torch.bfloat16
    assert MixedPrecision.of(torch.device("mps"), TrainingSettings(precision="amp")).dtype is None


def test_a_crop_depends_on_seed_and_number_alone(data):
    crops, again = Crops(data.training, TINY), Crops(data.training, TINY)
    other_seed = Crops(data.training, TINY.model_copy(update={"seed": 9}))
    again[5]  # what was asked for before does not matter

    for ours, theirs in zip(crops[3], again[3], strict=True):
        assert torch.equal(ours, theirs)
    assert not torch.equal(crops[3].image, other_seed[3].image)
    assert not torch.equal(crops[3].image, crops[4].image)


def test_a_crop_has_a_margin_and_says_whether_it_has_labels(data, tmp_path):
    unlabelled = _table(tmp_path / "unlabelled.h5", 3)
    crops = Crops(data.training, TINY, (unlabelled,))
    seen = [crops[i] for i in range(8)]

    # Crops are square, since they are turned by 90 degrees.
    assert {crop.image.shape for crop in seen} == {(3, 64, 64)}
    assert {crop.instance_map.shape for crop in seen} == {(64, 64)}
    assert {bool(crop.is_labelled) for crop in seen} == {True, False}


def test_a_nucleus_lies_in_a_crop_where_its_pixels_are(data):
    for i in range(8):
        crop = Crops(data.training, TINY)[i]
        inside = crop.instance_map > 0

        assert crop.image[0][inside].float().mean() < crop.image[0][~inside].float().mean() - 40


def test_at_a_coarser_scale_nuclei_are_smaller(data, tmp_path):
    half = TINY.model_copy(update={"student_mpp": 0.5})
    areas = [
        float((crops[i].instance_map > 0).sum()) / max(1, int(crops[i].instance_map.max()))
        for crops in (Crops(data.training, TINY), Crops(data.training, half))
        for i in range(12)
    ]

    assert np.mean(areas[12:]) < 0.5 * np.mean(areas[:12])
    student = fit(data, half, tmp_path / "student")
    assert load_model(student.model_path).card.mpp == 0.5


def test_a_finer_scale_than_the_patches_is_refused(data):
    with pytest.raises(TrainingError, match="not enlarged"):
        Crops(data.training, TINY.model_copy(update={"student_mpp": 0.1}))


def test_a_teacher_is_learned_from_where_there_are_no_labels(data, tmp_path):
    unlabelled = _table(tmp_path / "unlabelled.h5", 3)
    with_tiles = TrainingData(data.training, data.validation, (unlabelled,))
    teacher = load_model(fit(data, TINY, tmp_path / "teacher").model_path)

    taught = fit(with_tiles, TINY, tmp_path / "student", guides=Guides(teacher=teacher))

    card = load_model(taught.model_path).card
    assert teacher.digest in card.teacher
    assert unlabelled.digest in card.training_set_digest
    plain = fit(data, TINY, tmp_path / "plain")
    assert taught.model_path.read_bytes() != plain.model_path.read_bytes()
    with pytest.raises(TrainingError, match="without a teacher"):
        fit(with_tiles, TINY, tmp_path / "other")


def test_a_teacher_of_another_scale_is_refused(data, tmp_path):
    half = TINY.model_copy(update={"student_mpp": 0.5})
    coarse = load_model(fit(data, half, tmp_path / "coarse").model_path)

    with pytest.raises(TrainingError, match=r"works at 0\.5 um"):
        fit(data, TINY, tmp_path / "student", guides=Guides(teacher=coarse))


def test_another_shape_of_network_is_trained_and_loaded(data, tmp_path):
    lean = Architecture(
        depth=2, first_filters=4, kernel_sizes=(3,), pixel_block=2, shares_decoder=True
    )
    settings = TINY.model_copy(update={"architecture": lean})

    loaded = load_model(fit(data, settings, tmp_path / "student").model_path)

    assert loaded.card.architecture == loaded.network.architecture == lean
    with pytest.raises(TrainingError, match="another architecture"):
        fit(data, TINY, tmp_path / "child", guides=Guides(parent=loaded))


class _KilledError(Exception):
    pass


def test_resumed_training_ends_with_the_same_weights(data, tmp_path):
    whole = fit(data, TINY, tmp_path / "student")
    cut = tmp_path / "cut" / "student"

    def kill_at_3(progress):
        if progress.n_done == 3:
            raise _KilledError

    with pytest.raises(_KilledError):
        fit(data, TINY, cut, on_progress=kill_at_3)
    steps = []
    resumed = fit(data, TINY, cut, on_progress=lambda p: steps.append(p.n_done))

    assert steps == [3, 4]
    assert whole.model_path.read_bytes() == resumed.model_path.read_bytes()
    for left, right in zip(whole.validations, resumed.validations, strict=True):
        assert (left.aji, left.loss) == (right.aji, right.loss)


def test_a_line_of_validations_that_a_kill_left_unfinished_is_dropped(data, tmp_path):
    whole = fit(data, TINY, tmp_path / "student")
    path = tmp_path / "student" / "validations.jsonl"
    text = path.read_text()
    path.write_text(text + text[:40])

    again = fit(data, TINY, tmp_path / "student")

    assert again.validations == whole.validations
    assert path.read_text() == text


def test_finished_training_run_again_does_nothing(data, tmp_path):
    first = fit(data, TINY, tmp_path / "student")
    steps = []

    again = fit(data, TINY, tmp_path / "student", on_progress=lambda p: steps.append(p))

    assert steps == []
    assert again == first


def test_the_student_can_be_loaded_and_says_what_it_was_made_from(data, tmp_path):
    parent = load_model("cross-organ")
    student = fit(data, TINY, tmp_path / "student", guides=Guides(parent=parent))

    loaded = load_model(student.model_path)

    assert loaded.card.name == "student"
    assert loaded.card.parent_digest == parent.digest
    assert loaded.card.training_set_digest == data.training[0].digest
    assert json.loads(loaded.card.training["settings"])["n_steps"] == 4


def test_training_learns(data, tmp_path):
    settings = TINY.model_copy(
        update={"n_steps": 16, "validate_every": 4, "learning_rate": 5e-3, "keep": "last"}
    )

    student = fit(data, settings, tmp_path / "student")

    losses = [v.loss for v in student.validations]
    assert losses[-1] < 0.8 * losses[0]


def test_other_settings_in_the_same_folder_are_refused(data, tmp_path):
    fit(data, TINY, tmp_path / "student")

    with pytest.raises(TrainingError, match="settings differ"):
        fit(data, TINY.model_copy(update={"seed": 5}), tmp_path / "student")


def test_damaged_checkpoint_is_named(data, tmp_path):
    fit(data, TINY, tmp_path / "student")
    (tmp_path / "student" / "last.pt").write_bytes(b"half")

    with pytest.raises(TrainingError, match=r"last\.pt"):
        fit(data, TINY, tmp_path / "student")


def test_nan_stops_and_keeps_the_batch(data, tmp_path, monkeypatch):
    real = step_module.student_losses

    def poisoned(*arguments):
        losses = real(*arguments)
        return losses._replace(total=losses.total * float("nan"))

    monkeypatch.setattr(step_module, "student_losses", poisoned)
    with pytest.raises(TrainingError, match="loss is nan at step 0"):
        fit(data, TINY, tmp_path / "student")

    batch = np.load(tmp_path / "student" / "bad_batch_step_0.npz")
    assert batch["image"].shape == (2, 3, 32, 32)
    assert batch["hv_maps"].shape == (2, 2, 32, 32)


def test_early_stop(data, tmp_path):
    settings = TINY.model_copy(
        update={"n_steps": 40, "validate_every": 1, "patience": 2, "learning_rate": 1e-12}
    )

    student = fit(data, settings, tmp_path / "student")

    assert student.n_steps < 40


def test_a_group_on_both_sides_is_refused(tmp_path):
    table = _table(tmp_path / "a.h5", 1)

    with pytest.raises(TrainingError, match="training and validation"):
        TrainingData((table,), table)


def test_labels_without_nuclei_are_refused(tmp_path, data):
    empty = _table(tmp_path / "empty.h5", 3, empty=True)

    with pytest.raises(TrainingError, match="no nuclei at all"):
        fit(TrainingData((empty,), data.validation), TINY, tmp_path / "student")
    with pytest.raises(TrainingError, match="could be judged"):
        TrainingData(data.training, empty)


def test_the_last_steps_learn_with_the_statistics_they_are_used_with(data, tmp_path, monkeypatch):
    """Frozen from the middle on, and the same whether or not training was interrupted there."""
    seen = []
    step = fit_module.take_step

    def watched(state, *rest):
        norm = state.network.down_path[0].conv_3.block[1]
        seen.append((norm.training, norm.running_mean.clone()))
        return step(state, *rest)

    monkeypatch.setattr(fit_module, "take_step", watched)
    settings = TINY.model_copy(update={"frozen_statistics": 0.5})
    fit(data, settings, tmp_path / "whole")

    assert [training for training, _ in seen] == [True, True, False, False]
    assert torch.equal(seen[2][1], seen[3][1])
    assert not torch.equal(seen[1][1], seen[2][1])


def test_crops_and_validation_are_shown_in_the_stain_slides_are_shown_in(data, tmp_path):
    plain = Crops(data.training, TINY.model_copy(update={"appearance": Appearance()}))
    shown = Crops(data.training, TINY)

    assert not torch.equal(plain[0].image, shown[0].image)
    assert torch.equal(plain[0].instance_map, shown[0].instance_map)
    student = fit(data, TINY, tmp_path / "run")
    assert load_model(student.model_path).card.appearance == TINY.appearance


def test_patches_that_are_kept_give_the_same_crops_as_patches_read_anew(data, monkeypatch):
    keeping = Crops(data.training, TINY)
    monkeypatch.setattr("hoverfast_platform.training.crops._MOST_KEPT_BYTES", 0)
    reading = Crops(data.training, TINY)

    for i in (0, 3, 0, 7, 3):
        for kept, read in zip(keeping[i], reading[i], strict=True):
            assert kept.equal(read)
    assert keeping._prepared
    assert not reading._prepared
