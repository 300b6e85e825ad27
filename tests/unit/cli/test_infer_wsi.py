"""Small slides through the command as people call it: folders, masks, odd names, OME-Zarr."""

import json

import numpy as np
import pytest
import zarr
from click.testing import CliRunner
from PIL import Image

from hoverfast_platform.cli import infer_wsi, mask
from hoverfast_platform.mask.findings import Finding
from hoverfast_platform.mask.mask_file import read_levels, split_levels
from hoverfast_platform.storage.label_pyramid import LABELS
from hoverfast_platform.storage.nuclei_table import read_nuclei_table
from hoverfast_platform.storage.qupath_validation import validate_qupath_file
from hoverfast_platform.use_cases.segment_slides import ResultOptions
from tests.builders import write_slide


def write_discs(path, *, radius=9, pen=False):
    """Purple discs on pink on glass, 0.25 um per pixel; ``pen`` covers the lower half."""
    y, x = np.mgrid[:480, :540]
    rgb = np.full((480, 540, 3), 243, np.uint8)
    rgb[40:440, 40:440] = (232, 180, 210)
    disc = (x % 40 - 20) ** 2 + (y % 40 - 20) ** 2 < radius**2
    rgb[disc & (rgb[..., 1] == 180)] = (95, 50, 130)
    if pen:
        rgb[240:] = (40, 150, 90)
    return write_slide(path, rgb)


def run(command, *arguments):
    return CliRunner().invoke(command, [str(a) for a in arguments], catch_exceptions=False)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Output folder, folder of masks, and the run with the published tool's flags."""
    folder = tmp_path_factory.mktemp("slides")
    write_discs(folder / "x" / "a [1].tiff")
    write_discs(folder / "y" / "a [1].tiff", pen=True)
    write_discs(folder / "z" / "Müller 切片.tiff", radius=10)
    (folder / "broken.svs").write_bytes(b"x")
    masks, out = tmp_path_factory.mktemp("masks"), tmp_path_factory.mktemp("out")
    run(mask.command, folder, "-o", masks)
    flags = "-p 6 -s 5 -st he -r 500 -g 2 -t 512 -n 1 -l 40 --zarr"
    return out, masks, run(infer_wsi.command, folder, "-b", masks, "-o", out, *flags.split())


def summaries(out):
    return {path.name: json.loads(path.read_bytes()) for path in out.glob("*.summary.json")}


def test_bad_slide_fails_alone_and_the_exit_code_says_so(finished):
    out, _, done = finished

    assert done.exit_code == 1
    assert "broken.svs: FAILED (" in done.output
    assert "1 of 4 slides failed" in done.output
    assert len(summaries(out)) == 3


def test_slides_of_one_stem_and_odd_names_have_files_of_their_own(finished):
    out, _, _ = finished
    stems = sorted(name.removesuffix(".summary.json") for name in summaries(out))

    assert stems[0].startswith("Müller") or stems[-1].startswith("Müller")
    assert sum(stem.startswith("a [1]") for stem in stems) == 2
    for stem in stems:
        report = validate_qupath_file(out / f"{stem}.json.gz", width=480, height=480)
        assert report.n_features == summaries(out)[f"{stem}.summary.json"]["n_nuclei"]


def test_each_slide_is_segmented_in_its_own_mask_nucleus_by_nucleus(finished):
    """The two slides of one name have two masks in one folder; half of one is under ink."""
    out, masks, _ = finished
    n_nuclei = {}
    for name, summary in summaries(out).items():
        sha256 = summary["provenance"]["slide"]["sha256"]
        of_digest = [p for p in masks.iterdir() if p.name.endswith(f".{sha256[:8]}.png")]
        stem = name.removesuffix(".summary.json")
        of_name = [
            p for p in masks.glob("*.tiff.png") if stem.startswith(p.name.removesuffix(".tiff.png"))
        ]
        (path,) = of_digest or of_name
        is_tissue, findings = split_levels(read_levels(path))
        xy = read_nuclei_table(out / name.replace(".summary.json", ".parquet")).centroid_xy
        cells = (xy / 480 * is_tissue.shape[::-1]).astype(int)
        assert is_tissue[cells[:, 1], cells[:, 0]].all()
        has_pen = bool(np.isin(findings, [Finding.PEN, Finding.PEN_ON_GLASS]).any())
        n_nuclei[name] = (len(xy), has_pen)
    inked = [n for n, has_pen in n_nuclei.values() if has_pen]
    clean = [n for n, has_pen in n_nuclei.values() if not has_pen]
    assert len(inked) == 1
    assert 0 < inked[0] < 0.7 * min(clean)


def test_labels_are_those_of_the_table(finished):
    out, _, _ = finished
    for name in summaries(out):
        stem = name.removesuffix(".summary.json")
        nuclei = read_nuclei_table(out / f"{stem}.parquet")
        labels = zarr.open_group(out / f"{stem}.zarr" / LABELS, mode="r")["0"][:]
        x, y = nuclei.centroid_xy.astype(int).T
        assert labels.shape == (480, 540)
        assert (labels[y, x] == np.arange(len(nuclei)) + 1).mean() > 0.95


def test_histoqcs_own_folder_and_the_published_layout_are_masks_too(tmp_path):
    slide = write_discs(tmp_path / "slides" / "s.tiff")
    left = np.zeros((30, 34), np.bool_)
    left[:, :15] = True
    (tmp_path / "histoqc" / "s.tiff").mkdir(parents=True)
    Image.fromarray(left).save(tmp_path / "histoqc" / "s.tiff" / "s.tiff_mask_use.png")
    (tmp_path / "published").mkdir()
    Image.fromarray(~left).save(tmp_path / "published" / "s.png")

    for source, is_left in (("histoqc", True), ("published", False)):
        out = tmp_path / f"out_{source}"
        done = run(infer_wsi.command, slide, "-b", tmp_path / source, "-o", out, "-n", "1")
        assert done.exit_code == 0, done.output
        x = read_nuclei_table(out / "s.parquet").centroid_xy[:, 0]
        assert len(x)
        assert ((x < 240) == is_left).all()


def test_help_and_engine_agree_on_when_a_slide_gets_a_zip():
    (option,) = [p for p in infer_wsi.command.params if p.name == "qupath_zip_above"]

    assert option.default == ResultOptions().qupath_zip_above == 250_000
