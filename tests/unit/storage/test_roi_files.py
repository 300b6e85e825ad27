import threading

import numpy as np
import pytest

from hoverfast_platform.errors import StorageError
from hoverfast_platform.nuclei.nucleus import Nuclei
from hoverfast_platform.storage.previews import Line
from hoverfast_platform.storage.roi_files import publish_roi
from hoverfast_platform.storage.summary import Seams, SegmentationSummary
from tests.builders import NAMESPACE, provenance


def summary_of(sha256):
    return SegmentationSummary(
        provenance=provenance(NAMESPACE.hex, slide={"sha256": sha256}),
        n_nuclei=0,
        tissue_area_mm2=0.001,
        tissue_fraction=1,
        nuclei_per_mm2=0,
        n_tiles=1,
        seams=Seams(n_near_seams=0, n_duplicates=0, density_ratio=None),
        finished_at="2026-01-01T00:00:00+00:00",
    )


def published(out, sha256):
    rgb = np.full((20, 30, 3), 240, np.uint8)
    blank = np.zeros((20, 30), np.int32)
    return publish_roi(out, "a", rgb, Nuclei.empty(1), blank, summary_of(sha256), Line())


def test_images_of_one_stem_published_at_the_same_moment_get_two_names(tmp_path):
    names = []
    threads = [
        threading.Thread(target=lambda sha=sha: names.append(published(tmp_path, sha)))
        for sha in ("1" * 64, "2" * 64, "3" * 64)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(set(names)) == 3
    assert len(list((tmp_path / "summary").iterdir())) == 3
    assert published(tmp_path, "2" * 64) in names


def test_files_of_the_published_tool_are_not_overwritten(tmp_path):
    (tmp_path / "json").mkdir()
    (tmp_path / "json" / "a.json.gz").write_bytes(b"theirs")

    assert published(tmp_path, "1" * 64) == "a.11111111"
    assert (tmp_path / "json" / "a.json.gz").read_bytes() == b"theirs"


def test_an_unwritable_folder_is_a_storage_error(tmp_path):
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(StorageError, match="cannot be written"):
        published(tmp_path / "file", "1" * 64)


@pytest.mark.parametrize(("colour", "width"), [("limegreen", 2), ("r", 1), ("#00ff7f", 50)])
def test_lines_take_names_letters_and_codes(colour, width):
    assert len(Line.of(colour, width).colour) == 3


@pytest.mark.parametrize(("colour", "width"), [("greenish", 2), ("red", 0), ("red", 51)])
def test_lines_that_cannot_be_drawn_are_refused(colour, width):
    with pytest.raises(ValueError, match=r"colour|pixels wide"):
        Line.of(colour, width)
