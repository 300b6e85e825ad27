"""Teacher labels of a cohort: which tiles, which side, and going on after a kill."""

import numpy as np
import pytest
from PIL import Image

from hoverfast_platform.errors import LabelError, MaskError, MissingMppError, TrainingError
from hoverfast_platform.storage.patch_table import PatchTable
from hoverfast_platform.synthetic import write_synthetic_slide
from hoverfast_platform.teachers.annotations import AnnotationsTeacher
from hoverfast_platform.teachers.classical import ClassicalTeacher
from hoverfast_platform.teachers.labelling import Cohort, label_cohort
from hoverfast_platform.teachers.sampling import Sampling, Source, validation_groups

SMALL = Sampling(tiles_per_slide=2, tile_px=128, validation_fraction=0.5)


@pytest.fixture(scope="module")
def slides(tmp_path_factory):
    folder = tmp_path_factory.mktemp("slides")
    paths = [folder / f"s{i}.tiff" for i in range(2)]
    for i, path in enumerate(paths):
        write_synthetic_slide(path, width_px=700, height_px=600, seed=i)
    return [Source(path, group=path.stem) for path in paths]


def _label(slides, tmp_path, sampling=SMALL, teacher=None, **more):
    cohort = Cohort("demo", slides, version="v1")
    return label_cohort(cohort, teacher or ClassicalTeacher(), sampling, tmp_path, **more)


def test_slides_become_two_files_split_by_slide(slides, tmp_path):
    made = _label(slides, tmp_path)

    assert {*made.training.sources} | {*made.validation.sources} == {"s0.tiff", "s1.tiff"}
    assert {*made.training.sources}.isdisjoint(made.validation.sources)
    assert (len(made.training), len(made.validation)) == (2, 2)
    assert made.training.read(0).image.shape == (128, 128, 3)  # tiles of slides are square
    assert made.training.provenance.cohort == "demo v1"
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "demo_test.pytable",
        "demo_train.pytable",
    ]


def test_tiles_of_a_slide_do_not_depend_on_the_others(slides, tmp_path):
    both = _label(slides, tmp_path / "both", SMALL.model_copy(
        update={"validation_groups": ("s1",)}))  # fmt: skip
    third = Source(slides[1].path, group="again")
    more = _label([*slides, third], tmp_path / "more", SMALL.model_copy(
        update={"validation_groups": ("s1", "again")}))  # fmt: skip

    np.testing.assert_array_equal(both.training.origins_px, more.training.origins_px)
    assert both.training.digest == more.training.digest


def test_another_seed_draws_other_tiles(slides, tmp_path):
    groups = {"validation_groups": ("s1",)}
    first = _label(slides, tmp_path / "0", SMALL.model_copy(update=groups))
    other = _label(slides, tmp_path / "1", SMALL.model_copy(update={**groups, "seed": 1}))

    assert not np.array_equal(first.training.origins_px, other.training.origins_px)


class _Counting(ClassicalTeacher):
    def __init__(self, fail_at=None):
        super().__init__()
        self.n_labelled = 0
        self._fail_at = fail_at

    def label(self, tile):
        if self.n_labelled == self._fail_at:
            raise KeyboardInterrupt
        self.n_labelled += 1
        return super().label(tile)


def test_a_killed_run_goes_on_and_gives_the_same_set(slides, tmp_path):
    whole = _label(slides, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        _label(slides, tmp_path / "cut", teacher=_Counting(fail_at=3))
    assert not list((tmp_path / "cut").glob("*.pytable"))

    second = _Counting()
    resumed = _label(slides, tmp_path / "cut", teacher=second)

    assert second.n_labelled == 1
    assert resumed.training.digest == whole.training.digest
    assert resumed.validation.digest == whole.validation.digest


def test_damaged_kept_label_is_made_again(slides, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        _label(slides, tmp_path, teacher=_Counting(fail_at=2))
    for kept in tmp_path.rglob("*.npz"):
        kept.write_bytes(b"half")

    teacher = _Counting()
    _label(slides, tmp_path, teacher=teacher)

    assert teacher.n_labelled == 4


def test_annotated_images_are_labelled_whole_and_brought_to_scale(tmp_path):
    images, labels = tmp_path / "image", tmp_path / "label"
    for folder in (images, labels):
        folder.mkdir()
    for name in "ab":
        label = np.zeros((60, 100), dtype=np.uint16)
        label[10:30, 10:30] = 500
        Image.fromarray(label).save(labels / f"{name}.png")
        Image.fromarray(np.full((60, 100, 3), 200, np.uint8)).save(images / f"{name}.png")
    sources = [Source(images / f"{n}.png", group=n, mpp_if_unknown=0.5) for n in "ab"]

    made = _label(sources, tmp_path / "set", teacher=AnnotationsTeacher(labels))

    patch = next(iter(made.training))
    assert (patch.image.shape, patch.instance_map.max()) == ((120, 128, 3), 1)
    total = sum(int((p.instance_map > 0).sum()) for p in made.training)
    assert total == 40 * 40


def test_no_nucleus_on_one_side_is_an_error(tmp_path):
    image = tmp_path / "white.png"
    Image.fromarray(np.full((48, 64, 3), 255, np.uint8)).save(image)
    sources = [Source(image, "a", mpp_if_unknown=0.25), Source(image, "b", mpp_if_unknown=0.25)]

    with pytest.raises(TrainingError, match="found no nucleus"):
        _label(sources, tmp_path / "set")
    assert not list((tmp_path / "set").glob("*.pytable"))


def _annotated(tmp_path, **labels):
    images, folder = tmp_path / "image", tmp_path / "label"
    for made in (images, folder):
        made.mkdir()
    for grey, (name, label) in enumerate(labels.items(), start=200):
        Image.fromarray(label.astype(np.uint16)).save(folder / f"{name}.png")
        Image.fromarray(np.full((*label.shape, 3), grey, np.uint8)).save(images / f"{name}.png")
    sources = [Source(images / f"{name}.png", name, mpp_if_unknown=0.25) for name in labels]
    return sources, AnnotationsTeacher(folder)


def _disc_and_merged():
    disc, merged = np.zeros((64, 80)), np.zeros((64, 80))
    y, x = np.mgrid[:64, :80]
    disc[(y - 30) ** 2 + (x - 30) ** 2 < 144] = 1
    merged[10:20, 5:76] = merged[10:60, 5:15] = 1  # two nuclei at a right angle
    return disc, merged


def test_tiles_whose_outlines_cannot_be_nuclei_are_left_out_when_asked(tmp_path):
    disc, merged = _disc_and_merged()
    sources, teacher = _annotated(tmp_path, disc=disc, merged=merged)
    sampling = SMALL.model_copy(update={"validation_fraction": 0.0})

    everything = _label(sources, tmp_path / "all", sampling, teacher)
    asked = sampling.model_copy(update={"max_implausible_share": 0.18})
    plausible = _label(sources, tmp_path / "some", asked, teacher)

    assert (len(everything.training), everything.n_left_out) == (2, 0)
    assert ([*plausible.training.sources], plausible.n_left_out) == (["disc.png"], 1)


def test_equal_images_keep_the_labels_of_their_names(tmp_path):
    disc, merged = _disc_and_merged()
    sources, teacher = _annotated(tmp_path, disc=disc, merged=merged)
    sources[1].path.write_bytes(sources[0].path.read_bytes())
    sampling = Sampling(tile_px=128, validation_fraction=0.0)

    made = _label(sources, tmp_path / "set", sampling, teacher).training

    areas = [int((patch.instance_map > 0).sum()) for patch in made]
    assert areas == [int(disc.sum()), int(merged.sum())]


def test_no_plausible_tile_is_an_error_that_says_so(tmp_path):
    _, merged = _disc_and_merged()
    sources, teacher = _annotated(tmp_path, merged=merged)
    sampling = Sampling(tile_px=128, validation_fraction=0.0, max_implausible_share=0.18)

    with pytest.raises(TrainingError, match="labels of 1 are not plausible"):
        _label(sources, tmp_path / "set", sampling, teacher)
    assert not list((tmp_path / "set").glob("*.pytable"))


def test_counterstained_images_keep_their_labels_and_say_so(tmp_path):
    sources, teacher = _annotated(tmp_path, disc=_disc_and_merged()[0])

    def made(seed, *, counterstained):
        sampling = Sampling(tile_px=128, validation_fraction=0.0, seed=seed)
        cohort = Cohort("demo", sources, counterstained=counterstained)
        folder = tmp_path / f"{seed} {counterstained}"
        return label_cohort(cohort, teacher, sampling, folder).training

    plain, first, second = (
        made(0, counterstained=False),
        made(0, counterstained=True),
        made(1, counterstained=True),
    )

    assert first.provenance.sampling["counterstained"] == "True"
    assert plain.read(0).image.std() < 1
    assert (first.read(0).image != second.read(0).image).mean() > 0.5
    np.testing.assert_array_equal(first.read(0).instance_map, plain.read(0).instance_map)


def test_counterstained_images_are_not_validated_on(slides, tmp_path):
    cohort = Cohort("demo", slides, counterstained=True)

    with pytest.raises(TrainingError, match="to learn from only"):
        label_cohort(cohort, ClassicalTeacher(), SMALL, tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_files_own_mpp_wins(slides, tmp_path):
    claimed = [Source(s.path, s.group, mpp_if_unknown=1.0) for s in slides]

    assert _label(claimed, tmp_path / "1").training.digest == (
        _label(slides, tmp_path / "2").training.digest
    )


def test_flat_image_without_mpp_is_refused(tmp_path):
    image = tmp_path / "a.png"
    Image.fromarray(np.zeros((48, 64, 3), np.uint8)).save(image)

    with pytest.raises(MissingMppError, match=r"a\.png"):
        _label([Source(image, "a"), Source(image, "b")], tmp_path / "set")


def test_empty_mask_is_an_error(slides, tmp_path):
    mask = tmp_path / "mask.png"
    Image.fromarray(np.zeros((60, 70), dtype=bool)).save(mask)
    sources = [Source(slides[0].path, "a", mask_path=mask), slides[1]]

    with pytest.raises(MaskError, match=r"mask\.png has no tissue"):
        _label(sources, tmp_path / "set")


def test_missing_label_is_an_error(slides, tmp_path):
    (tmp_path / "labels").mkdir()

    with pytest.raises(LabelError, match="0 label files"):
        _label(slides, tmp_path / "set", teacher=AnnotationsTeacher(tmp_path / "labels"))


def test_empty_cohort_is_an_error(tmp_path):
    with pytest.raises(TrainingError, match="empty"):
        _label([], tmp_path)


def test_one_patient_cannot_be_split():
    with pytest.raises(TrainingError, match="cannot be split"):
        validation_groups(["a", "a"], SMALL)


def test_adding_a_patient_moves_nobody():
    groups = [f"patient {i}" for i in range(40)]
    few, many = validation_groups(groups[:30], SMALL), validation_groups(groups, SMALL)

    assert few == many & set(groups[:30])
    assert 10 < len(many) < 30


def test_unknown_validation_group_is_named():
    with pytest.raises(TrainingError, match="patient 9"):
        validation_groups(["a", "b"], Sampling(validation_groups=("patient 9",)))


def test_training_set_of_the_command_is_read_by_the_trainer(slides, tmp_path):
    _label(slides, tmp_path)

    assert PatchTable(tmp_path / "demo_train.pytable").mpp == 0.25
