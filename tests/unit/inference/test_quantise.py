"""The int8 form: made, checked, and refused when it must not be trusted."""

import json
import shutil

import numpy as np
import pytest

from hoverfast_platform import cores
from hoverfast_platform.config import Compute
from hoverfast_platform.errors import CheckpointError, SettingsError, TrainingError
from hoverfast_platform.evaluation.labelled_set import open_labelled_set
from hoverfast_platform.inference.backends.choice import make_predictor
from hoverfast_platform.inference.backends.openvino_predictor import openvino_graph
from hoverfast_platform.inference.quantise import quantise
from hoverfast_platform.model.checkpoint import load_model
from hoverfast_platform.model.quantised import AgreementCheck, find_int8, int8_paths
from hoverfast_platform.model.registry import DEFAULT_MODEL, find_model
from hoverfast_platform.storage.patch_table import LabelProvenance, Patch
from hoverfast_platform.storage.patch_table_writer import PatchTableWriter

GOOD = AgreementCheck(
    dataset="d", dataset_digest="0", n_images=1, n_nuclei=1, dice_between=0.995,
    dice_fp32=0.8, dice_int8=0.8, aji_fp32=0.6, aji_int8=0.595, pq_fp32=0.6, pq_int8=0.6,
)  # fmt: skip


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    """Images of dark discs, two patients each on their own side."""
    folder = tmp_path_factory.mktemp("sets")
    y, x = np.mgrid[:128, :160]
    for part, seed in (("train", 1), ("test", 2)):
        rng = np.random.default_rng(seed)
        with PatchTableWriter(
            folder / f"s_{part}.pytable", mpp=0.25, patch_px=160,
            provenance=LabelProvenance(teacher="people"),
        ) as writer:  # fmt: skip
            for i in range(2):
                image = rng.normal((225, 190, 215), 4, (128, 160, 3))
                label = np.zeros((128, 160), np.int32)
                for n, (cy, cx) in enumerate(rng.integers(15, (113, 145), (6, 2)), start=1):
                    inside = (y - cy) ** 2 + (x - cx) ** 2 < 100
                    label[inside] = n
                    image[inside] = rng.normal((90, 50, 140), 8, (int(inside.sum()), 3))
                writer.append(Patch(image.clip(0, 255).astype(np.uint8), label, f"{part}{i}", part))
    return {p: open_labelled_set(folder / f"s_{p}.pytable") for p in ("train", "test")}


def _copied(folder):
    """A copy of the default model, without the int8 form it ships with."""
    shipped = find_model(DEFAULT_MODEL)
    for suffix in (".safetensors", ".json"):
        shutil.copy(shipped.with_suffix(suffix), folder / f"m{suffix}")
    return load_model(folder / "m.safetensors")


@pytest.fixture
def model(tmp_path):
    return _copied(tmp_path)


@pytest.fixture(scope="module")
def quantised_once(tmp_path_factory, sets):
    made = _copied(tmp_path_factory.mktemp("model"))
    quantise(made, sets["train"], sets["test"])
    return made.path.parent


@pytest.fixture
def quantised(quantised_once, tmp_path):
    shutil.copytree(quantised_once, tmp_path / "q")
    return load_model(tmp_path / "q" / "m.safetensors")


def test_int8_agrees_and_is_used_where_asked_for(quantised, sets):
    image = sets["test"].read(0).image[None]
    int8 = make_predictor(quantised, Compute(device="cpu", precision="int8"))
    fp32 = make_predictor(quantised, Compute(device="cpu", precision="fp32"))

    assert int8.precision == "int8"
    assert int8.arithmetic != fp32.arithmetic
    a, b = (p.predict(image)[0, 0] > 0.5 for p in (int8, fp32))
    assert b.any()
    assert 2 * (a & b).sum() / (a.sum() + b.sum()) > 0.98
    assert (
        find_int8(quantised.path, quantised.digest).card.checks[cores.int8_arithmetic()].n_nuclei
        > 0
    )


@pytest.mark.parametrize(
    ("has", "precision"),
    [("avx512_vnni", "int8"), ("avx512_bf16", "bf16"), ("avx2", "int8"), ("sse4_1", "fp32")],
)
def test_the_cpu_decides_when_nobody_does(quantised, monkeypatch, has, precision):
    monkeypatch.setattr(cores, "cpu_features", lambda: frozenset({has}))

    assert make_predictor(quantised, Compute(device="cpu")).precision == precision


_BOTH = pytest.mark.skipif(
    cores.int8_arithmetic() != "vnni" or "avx2" not in cores.cpu_features(),
    reason="only a processor with VNNI and AVX2 can add both ways",
)


@_BOTH
def test_sums_that_are_cut_off_are_checked_by_themselves(quantised):
    """Where this processor is used with AVX2 alone, its bytes are added as on one without VNNI."""
    checks = find_int8(quantised.path, quantised.digest).card.checks

    assert set(checks) == {"vnni", "avx2"}
    assert checks["avx2"].dice_fp32 == pytest.approx(checks["vnni"].dice_fp32, abs=0.01)
    assert checks["avx2"].n_nuclei == checks["vnni"].n_nuclei


@_BOTH
def test_a_form_that_agrees_with_exact_sums_alone_is_used_there_alone(quantised, monkeypatch):
    _, card_path = int8_paths(quantised.path)
    card = json.loads(card_path.read_text())
    card["checks"]["avx2"]["dice_between"] = 0.98
    card_path.write_text(json.dumps(card))

    def precision(*has):
        monkeypatch.setattr(cores, "cpu_features", lambda: frozenset(has))
        return make_predictor(quantised, Compute(device="cpu")).precision

    assert precision("avx2", "avx_vnni") == "int8"
    assert precision("avx2") == "fp32"


def test_a_form_that_differs_is_not_published(model, sets, monkeypatch):
    monkeypatch.setattr("hoverfast_platform.model.quantised.MIN_DICE_BETWEEN", 1.01)
    monkeypatch.setattr(
        "hoverfast_platform.inference.quantise._calibrated", lambda m, _: (openvino_graph(m), "")
    )

    with pytest.raises(CheckpointError, match="does not pass"):
        quantise(model, sets["train"], sets["test"])

    assert not any(path.exists() for path in int8_paths(model.path))


def test_checked_on_what_was_calibrated_on_says_nothing(model, sets):
    with pytest.raises(TrainingError, match="in the set to calibrate on and in the set to"):
        quantise(model, sets["train"], sets["train"])


def test_without_a_form_int8_is_refused(model):
    assert find_int8(model.path, model.digest) is None
    with pytest.raises(SettingsError, match="no int8 form"):
        make_predictor(model, Compute(device="cpu", precision="int8"))


def test_a_form_of_other_weights_is_not_used(quantised, caplog):
    assert find_int8(quantised.path, "0" * 64) is None
    assert "other weights" in caplog.text


def test_a_damaged_form_is_an_error(quantised):
    graph_path, card_path = int8_paths(quantised.path)
    graph_path.with_suffix(".bin").write_bytes(b"half")
    with pytest.raises(CheckpointError, match="damaged"):
        find_int8(quantised.path, quantised.digest)
    card_path.write_text("{")
    with pytest.raises(CheckpointError, match="not a readable int8 card"):
        find_int8(quantised.path, quantised.digest)


def test_a_card_that_admits_failure_is_an_error(quantised):
    card_path = int8_paths(quantised.path)[1]
    card = json.loads(card_path.read_text())
    for check in card["checks"].values():
        check["dice_between"] = 0.5
    card_path.write_text(json.dumps(card))

    with pytest.raises(CheckpointError, match="did not pass"):
        find_int8(quantised.path, quantised.digest)


@pytest.mark.parametrize(
    ("change", "n_failures"),
    [
        ({}, 0),
        ({"dice_between": 0.98}, 1),
        ({"aji_int8": 0.58}, 1),
        ({"aji_int8": 0.62, "dice_between": float("nan")}, 2),
    ],
)
def test_bounds_of_the_check(change, n_failures):
    assert len(GOOD.model_copy(update=change).failures()) == n_failures
