"""What decides the identity of a segmentation, of a slide and of a flat image alike."""

import pytest

from hoverfast_platform.config import Appearance, Scale, SegmentationSettings
from hoverfast_platform.errors import StorageError
from hoverfast_platform.provenance import Provenance
from tests.builders import provenance

SETTINGS = SegmentationSettings()
PLAIN = provenance(model={"statistics_share": 0.4})


def identity(settings=SETTINGS, **changed):
    """The identity with one part exchanged."""
    parts = {name: getattr(PLAIN, name) for name in ("slide", "mask", "model", "arithmetic")}
    for name, fields in changed.items():
        parts[name] = fields and parts[name].model_copy(update=fields)
    return Provenance.of(**parts, settings=settings).segmentation_id


@pytest.mark.parametrize(
    "changed",
    [
        {"slide": {"sha256": "9" * 64}},
        {"mask": {"sha256": "9" * 64}},
        {"mask": None},
        {"model": {"sha256": "9" * 64}},
        {"model": {"mpp": 0.5}},
        {"model": {"appearance": Appearance(white_level=240)}},
        {"model": {"statistics_share": 0.5}},
        {"arithmetic": {"maps": "openvino int8 abc"}},
        {"arithmetic": {"statistics": "bf16"}},
        {"settings": SegmentationSettings(scale=Scale(mpp_override=0.3))},
    ],
)
def test_everything_that_decides_nuclei_decides_the_identity(changed):
    assert identity(**changed) != identity()
    assert identity(**changed) == identity(**changed)


@pytest.mark.parametrize(
    "changed",
    [
        {"slide": {"mpp_source": "override"}},
        {"model": {"name": "renamed"}},
        {"arithmetic": {"device": "cuda:1"}},
    ],
)
def test_names_and_devices_do_not_decide_it(changed):
    assert identity(**changed) == identity()


def test_the_precision_of_statistics_only_counts_where_statistics_are_mixed_in():
    fixed = {"statistics_share": 0.0}

    assert identity(model=fixed) == identity(model=fixed, arithmetic={"statistics": "bf16"})


def test_a_file_gives_back_what_was_put_in_and_other_files_nothing():
    assert Provenance.found_in(PLAIN.model_dump(mode="json"), "a.parquet") == PLAIN
    assert Provenance.found_in({"converted_from": "x.json"}, "a.parquet") is None
    with pytest.raises(StorageError, match=r"a\.parquet.*version"):
        Provenance.found_in({"segmentation_id": "s1", "slide_mpp_x": 0.25}, "a.parquet")


def test_device_backend_and_precision_are_said_in_one_form():
    assert str(PLAIN.arithmetic) == "cpu (openvino fp32)"
