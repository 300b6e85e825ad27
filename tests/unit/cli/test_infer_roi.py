"""Flat images of every kind through the command, on crops small enough for a few seconds."""

import json
import os

import numpy as np
import pytest
import tifffile
from click.testing import CliRunner
from PIL import Image

from hoverfast_platform.cli.infer_roi import command
from hoverfast_platform.storage.qupath_validation import validate_qupath_file


def tissue(height=128, width=160):
    """Purple discs on pink."""
    y, x = np.mgrid[:height, :width]
    rgb = np.full((height, width, 3), (232, 180, 210), np.uint8)
    rgb[(x % 40 - 20) ** 2 + (y % 40 - 20) ** 2 < 90] = (95, 50, 130)
    return rgb


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run over a folder of images, twice: output folder and the two invocations."""
    folder = tmp_path_factory.mktemp("images")
    image = Image.fromarray(tissue())
    image.save(folder / "rgb[1].png")
    image.convert("RGBA").save(folder / "rgba é 核.png")
    image.crop((0, 0, 120, 100)).convert("P").save(folder / "palette.png")
    image.convert("L").save(folder / "grey.jpg")
    tifffile.imwrite(folder / "deep.tif", tissue(100, 80).astype(np.uint16) * 257)
    Image.new("RGB", (40, 30), (240, 240, 240)).save(folder / "blank.png")
    image.save(folder / os.fsdecode(b"a\xff.png"))
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    other = tmp_path_factory.mktemp("other")
    Image.fromarray(tissue(90, 96)).save(other / "palette.png")
    out = tmp_path_factory.mktemp("out")
    command_line = [str(folder), str(other / "*.png"), "-o", str(out), "-w", "1", "-c", "r"]
    runs = [CliRunner().invoke(command, command_line) for _ in range(2)]
    return out, runs


def test_one_bad_image_fails_alone_and_the_exit_code_says_so(finished):
    out, runs = finished

    for run in runs:
        assert run.exit_code == 1
        assert "broken.png: FAILED (unreadable_slide)" in run.output
        assert "a\\xff.png: FAILED (unreadable_slide)" in run.output
        assert "2 of 9 images failed" in run.output
    assert len(list((out / "json").iterdir())) == 7


def test_every_kind_of_image_has_its_files_where_the_published_tool_puts_them(finished):
    out, _ = finished
    for name, shape in {
        "rgb[1]": (128, 160),
        "rgba é 核": (128, 160),
        "palette": (100, 120),
        "grey": (128, 160),
        "deep": (100, 80),
        "blank": (30, 40),
    }.items():
        report = validate_qupath_file(out / "json" / f"{name}.json.gz")
        labels = tifffile.imread(out / "label_mask" / f"{name}_label_mask.tif")
        with Image.open(out / "overlay" / f"{name}_overlay.png") as overlay:
            assert overlay.size == shape[::-1]
        assert labels.shape == shape
        assert labels.dtype == np.int32
        assert len(np.unique(labels[labels > 0])) == report.n_features
        assert (report.n_features == 0) == (name == "blank")


def _source(summary_path):
    return json.loads(summary_path.read_text())["provenance"]["slide"]


def test_images_of_one_stem_do_not_overwrite_each_other(finished):
    out, _ = finished

    found = sorted(out.glob("summary/palette*.json"))

    assert len(found) == 2
    assert {_source(path)["width_px"] for path in found} == {120, 96}


def test_a_scale_nobody_gave_is_said_and_recorded(finished):
    out, runs = finished
    summary = json.loads((out / "summary" / "deep.json").read_text())

    assert "taken to have 0.25 um" in runs[0].output
    assert summary["provenance"]["slide"]["mpp_source"] == "assumed"
    assert any("No mpp was given" in warning for warning in summary["warnings"])


def test_overlay_lines_have_the_colour_asked_for(finished):
    out, _ = finished
    with Image.open(out / "overlay" / "grey_overlay.png") as overlay:
        pixels = np.asarray(overlay).astype(int)

    assert (pixels[..., 0] - pixels[..., 1]).max() > 150


def test_ihc_counts_positive_nuclei(tmp_path):
    image = np.full((128, 144, 3), (238, 236, 240), np.uint8)
    y, x = np.mgrid[:128, :144]
    disc = ((x % 40 - 20) ** 2 + (y % 40 - 20) ** 2 < 90) & (x < 120)
    image[disc & (x < 40)] = (110, 70, 40)  # brown
    image[disc & (x >= 40)] = (120, 130, 190)  # blue
    Image.fromarray(image).save(tmp_path / "ihc.png")
    out = tmp_path / "out"

    done = CliRunner().invoke(
        command, [str(tmp_path / "ihc.png"), "-o", str(out), "-st", "ihc_dab", "--mpp", "0.25"]
    )
    dab = json.loads((out / "summary" / "ihc.json").read_text())["dab"]

    assert done.exit_code == 0
    assert dab["n_negative"] == 6
    assert dab["positive_fraction"] == pytest.approx(1 / 3)
    assert "H-score" in done.output
