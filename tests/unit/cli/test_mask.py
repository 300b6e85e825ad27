"""``hoverfast mask`` on small slides, and what ``infer_wsi -b`` finds of its folder."""

import csv
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from hoverfast_platform.catalogue import Catalogue
from hoverfast_platform.cli.mask import command
from hoverfast_platform.errors import CatalogueError
from hoverfast_platform.mask.imported import find_mask_file, load_mask
from hoverfast_platform.mask.statistics import mask_statistics
from hoverfast_platform.slide import open_slide
from hoverfast_platform.slide.digest import slide_digest
from tests.builders import write_tissue_slide

FAKE = Path(__file__).parents[1] / "mask" / "fake_histoqc.py"


def run(*arguments):
    return CliRunner().invoke(command, [str(a) for a in arguments], catch_exceptions=False)


def table(folder):
    with (folder / "masks.tsv").open(newline="") as file:
        return {row["slide"]: row for row in csv.DictReader(file, delimiter="\t")}


def test_masks_pictures_table_and_catalogue_are_written(tmp_path):
    slide = write_tissue_slide(tmp_path / "a.tiff", pen=True)
    done = run(slide, "-o", tmp_path / "out")

    assert done.exit_code == 0
    assert "lost: pen" in done.output
    assert (tmp_path / "out" / "a.tiff.preview.jpg").stat().st_size > 1000
    row = table(tmp_path / "out")["a.tiff"]
    assert float(row["lost_pen"]) > 0.1
    assert float(row["pen_on_glass_mm2"]) > 0.005
    with Catalogue.open(tmp_path / "out" / "catalogue.sqlite") as catalogue:
        (known,) = catalogue.slides.all()
        (mask,) = catalogue.slides.masks(known.key)
    assert mask.path == str(tmp_path / "out" / "a.tiff.png")
    assert mask.record["statistics"]["lost_fraction"]["pen"] > 0.1


def test_folder_and_table_are_taken_by_what_looks_for_masks(tmp_path):
    slide = write_tissue_slide(tmp_path / "a.tiff")
    run(slide, "-o", tmp_path / "out")

    for source in (tmp_path / "out", tmp_path / "out" / "masks.tsv"):
        with open_slide(slide) as reader:
            mask = load_mask(
                find_mask_file(source, slide), reader.info, slide_sha256=slide_digest(slide)
            )
        assert mask.tissue_fraction > 0.25


def test_bad_slide_fails_alone_with_exit_code_one(tmp_path):
    (tmp_path / "bad.svs").write_bytes(b"x")
    done = run(
        tmp_path / "bad.svs", write_tissue_slide(tmp_path / "a.tiff"), "-o", tmp_path / "out"
    )

    assert done.exit_code == 1
    assert "bad.svs: FAILED (unreadable_slide)" in done.output
    assert list(table(tmp_path / "out")) == ["a.tiff"]


def test_second_time_nothing_is_made_unless_something_changed(tmp_path):
    slide, out = write_tissue_slide(tmp_path / "a.tiff"), tmp_path / "out"
    run(slide, "-o", out)
    first = (out / "a.tiff.png").stat().st_mtime_ns

    again = run(slide, "-o", out)
    assert "(already done)" in again.output
    assert (out / "a.tiff.png").stat().st_mtime_ns == first

    (tmp_path / "s.json").write_text(json.dumps({"builtin": {"dilation_um": 0}}))
    changed = run(slide, "-o", out, "--settings", tmp_path / "s.json")
    assert "(already done)" not in changed.output
    assert "(already done)" not in run(slide, "-o", out, "--mpp", "0.9").output


def test_damaged_mask_is_made_anew(tmp_path):
    slide, out = write_tissue_slide(tmp_path / "a.tiff"), tmp_path / "out"
    run(slide, "-o", out)
    (out / "a.tiff.png").write_bytes((out / "a.tiff.png").read_bytes()[:50])

    assert run(slide, "-o", out).exit_code == 0
    assert list(table(out)) == ["a.tiff"]


def test_slides_of_one_name_keep_a_mask_each_and_each_finds_its_own(tmp_path):
    (tmp_path / "x").mkdir()
    slides = (
        write_tissue_slide(tmp_path / "a.tiff"),
        write_tissue_slide(tmp_path / "x" / "a.tiff", pen=True),
    )
    done = run(*slides, "-o", tmp_path / "out")

    assert done.exit_code == 0
    assert len(list((tmp_path / "out").glob("a.tiff*.preview.jpg"))) == 2
    for slide, has_pen in zip(slides, (False, True), strict=True):
        with open_slide(slide) as reader:
            path = find_mask_file(tmp_path / "out", slide)
            mask = load_mask(path, reader.info, slide_sha256=slide_digest(slide))
        assert (mask_statistics(mask).lost_fraction.get("pen", 0) > 0.1) == has_pen
    assert "already done" in run(slides[1], "-o", tmp_path / "out").output


def test_another_programs_mask_is_not_replaced(tmp_path):
    slide = write_tissue_slide(tmp_path / "a.tiff")
    (tmp_path / "out").mkdir()
    Image.fromarray(np.ones((80, 100), np.bool_)).save(tmp_path / "out" / "a.tiff.png")
    done = run(slide, "-o", tmp_path / "out")

    assert done.exit_code == 1
    assert "not ours to replace" in done.output


def test_folders_and_patterns_stand_for_slides_and_names_may_be_odd(tmp_path):
    folder = tmp_path / "slides"
    folder.mkdir()
    names = ["a.tiff", "b [1].tiff", "Müller 切片.tiff"]
    for name in names:
        write_tissue_slide(folder / name)
    assert run(folder, "-o", tmp_path / "out").exit_code == 0
    assert sorted(table(tmp_path / "out")) == sorted(names)
    assert run(folder / "b [1].tiff", "-o", tmp_path / "one").exit_code == 0
    assert list(table(tmp_path / "one")) == ["b [1].tiff"]
    assert run(f"{folder}/*.tiff", "-o", tmp_path / "all").exit_code == 0
    assert len(table(tmp_path / "all")) == 3


def test_masks_of_another_program_are_imported_and_recorded(tmp_path):
    slide = write_tissue_slide(tmp_path / "a.tiff")
    (tmp_path / "masks").mkdir()
    Image.fromarray(np.ones((80, 100), np.bool_)).save(tmp_path / "masks" / "a.png")
    done = run(slide, "-o", tmp_path / "out", "-e", "import", "--from", tmp_path / "masks")

    assert done.exit_code == 0
    assert "100.0% of the slide is tissue: is there no glass" in done.output
    missing = run(slide, "-o", tmp_path / "out", "-e", "import")
    assert missing.exit_code == 1
    assert "no folder or table of masks" in missing.output


def test_histoqc_that_is_not_installed_says_how_to_get_it(tmp_path):
    slide = write_tissue_slide(tmp_path / "a.tiff")
    done = run(slide, "-o", tmp_path / "out", "-e", "histoqc", "--histoqc-command", "no-such")

    assert done.exit_code == 1
    assert "environment of its own" in done.output


def test_output_folder_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "out").write_text("a file, not a folder")

    with pytest.raises(CatalogueError, match="cannot be made"):
        run(write_tissue_slide(tmp_path / "a.tiff"), "-o", tmp_path / "out")


def test_histoqc_by_its_command_line(shared_data, tmp_path):
    recorded = shared_data / "histoqc_outputs" / "rec_nopen"
    fake = f"{sys.executable} {FAKE} replay {recorded} histoqc"
    slide = shared_data / "slides" / "CMU-1-Small-Region.svs"
    done = run(slide, "-o", tmp_path / "out", "-e", "histoqc", "--histoqc-command", fake)

    assert done.exit_code == 0, done.output
    assert "0.809 mm2 usable (histoqc)" in done.output
