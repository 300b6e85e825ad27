"""``hoverfast summarise`` and ``mask --regions`` as people call them."""

import csv
import json

import numpy as np
import pytest
from click.testing import CliRunner

from hoverfast_platform.cli import mask, neighbours, summarise
from hoverfast_platform.mask.mask_file import mask_record, read_mask, write_mask
from hoverfast_platform.mask.tissue_mask import TissueMask
from hoverfast_platform.reports.run_report import write_run_report
from hoverfast_platform.storage.nuclei_table import write_nuclei_table
from tests.builders import NAMESPACE, provenance, squares, write_tissue_slide
from tests.unit.reports.test_run_report import summary_of


def run(command, *arguments):
    return CliRunner().invoke(command, [str(a) for a in arguments], catch_exceptions=False)


def region(x0, y0, x1, y1, name):
    ring = [[x0, y0], [x1, y0], [x1, y1], [x0, y1], [x0, y0]]
    return {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {"objectType": "annotation", "name": name},
    }


def write_regions(path, *regions):
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"type": "FeatureCollection", "features": list(regions)}))
    return path


def write_result(folder, name, n):
    """A result of 12 squares on a slide of 400 by 100 px, of which the left half is tissue."""
    is_tissue = np.zeros((10, 40), np.bool_)
    is_tissue[:, :20] = True
    source = provenance().slide
    made = TissueMask(is_tissue, 400, 100, source.mpp, "builtin")
    said = provenance("ab" * 16, mask={"sha256": made.digest()})
    summary = summary_of(n).model_copy(update={"provenance": said})
    folder.mkdir(exist_ok=True)
    summary.write(folder / f"{name}.summary.json")
    write_mask(folder / f"{name}.mask.png", made, mask_record(made, "", source.sha256))
    write_nuclei_table(
        folder / f"{name}.parquet",
        [squares(n)],
        list(squares(1).measurements),
        metadata=said.model_dump(mode="json"),
        namespace=NAMESPACE,
    )


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_regions_of_two_slides_become_one_table_and_a_part_of_the_report(tmp_path):
    for name in ("a", "b"):
        write_result(tmp_path / "out", name, 12)
    write_regions(tmp_path / "regions/a.geojson", region(0, 0, 100, 50, "five"))
    write_regions(
        tmp_path / "regions/b.geojson",
        region(100, 0, 300, 50, "half <tissue>"),
        region(300, 50, 400, 100, "none"),
    )

    done = run(summarise.command, tmp_path / "out", "--regions", tmp_path / "regions")

    assert done.exit_code == 0, done.output
    assert "a, five: 5 nuclei on 0.0003 mm2 of tissue, 16000 per mm2" in done.output
    rows = rows_of(tmp_path / "out/regions.csv")
    assert [(row["slide"], row["region"], row["n_nuclei"]) for row in rows] == [
        ("a", "five", "5"), ("b", "half <tissue>", "7"), ("b", "none", "0")
    ]  # fmt: skip
    assert float(rows[1]["tissue_area_mm2"]) == pytest.approx(100 * 50 * 0.25**2 * 1e-6)
    assert rows[2]["nuclei_per_mm2"] == ""
    page = write_run_report(tmp_path / "out").read_text("utf-8")
    assert "half &lt;tissue&gt;" in page


def test_a_slide_without_a_file_of_regions_fails_alone(tmp_path):
    for name in ("a", "b"):
        write_result(tmp_path / "out", name, 12)
    write_regions(tmp_path / "regions/a.geojson", region(0, 0, 100, 50, "five"))

    done = run(summarise.command, tmp_path / "out", "--regions", tmp_path / "regions")

    assert done.exit_code == 1
    assert "b.parquet: FAILED (wrong_regions): No regions for b" in done.output
    assert len(rows_of(tmp_path / "out/regions.csv")) == 1


def test_corrected_nuclei_are_counted_by_class(tmp_path):
    features = [region(20 * i, 0, 20 * i + 15, 12, "") for i in range(8)]
    for i, one in enumerate(features):
        kind = "Tumour" if i < 3 else "Lymphocyte"
        one["properties"] = {"objectType": "detection", "classification": {"name": kind}}
    path = write_regions(tmp_path / "in/corrected.geojson", *features)

    done = run(summarise.command, path, "--mpp", 0.5, "-o", tmp_path / "t.csv")

    assert done.exit_code == 0, done.output
    rows = rows_of(tmp_path / "t.csv")
    assert [(row["nucleus_class"], row["n_nuclei"]) for row in rows] == [
        ("", "8"), ("Lymphocyte", "5"), ("Tumour", "3")
    ]  # fmt: skip
    assert "areas of tissue are unknown" in done.output


def test_a_mask_is_restricted_to_regions_and_made_again_when_they_change(tmp_path):
    slide = write_tissue_slide(tmp_path / "a.tiff")
    regions = write_regions(tmp_path / "regions/a.geojson", region(300, 300, 500, 400, "x"))

    first = run(mask.command, slide, "-o", tmp_path / "out", "--regions", regions)
    again = run(mask.command, slide, "-o", tmp_path / "out", "--regions", regions)

    assert "0.020 mm2 usable" in first.output
    assert "already done" not in first.output
    assert "already done" in again.output
    made = read_mask(tmp_path / "out/a.tiff.png")
    assert made.tissue_area_mm2 == pytest.approx(0.02)
    assert not made.is_tissue[:, -10:].any()
    write_regions(regions, region(300, 300, 500, 350, "x"))
    changed = run(mask.command, slide, "-o", tmp_path / "out", "--regions", regions)
    assert "0.010 mm2 usable" in changed.output


def test_neighbourhoods_are_added_up_and_slides_compared_on_a_page(tmp_path):
    for name in ("a", "b"):
        write_result(tmp_path, name, 12)

    without = run(summarise.command, tmp_path, "--neighbours")
    measured = run(neighbours.command, tmp_path)
    done = run(summarise.command, tmp_path, "--neighbours", "--page", tmp_path / "slides.html")

    assert without.exit_code == 1
    assert "hoverfast neighbours a.parquet" in without.output
    assert "a.neighbours.parquet: 12 nuclei" in measured.output
    assert done.exit_code == 0, done.output
    row = rows_of(tmp_path / "slides.csv")[0]
    assert float(row["nearest_um_p50"]) == 5
    page = (tmp_path / "slides.html").read_text("utf-8")
    assert "too few to say what is usual" in page
    assert page.count("nuclei per mm2") >= 2


def test_cohorts_of_slides_are_compared_on_the_page(tmp_path):
    for name in ("a", "b"):
        write_result(tmp_path, name, 12)
    (tmp_path / "cohorts.csv").write_text("slide,cohort\na,young\nb,old\n")
    options = ["--cohorts", tmp_path / "cohorts.csv"]

    refused = run(summarise.command, tmp_path, *options)
    done = run(summarise.command, tmp_path, *options, "--page", tmp_path / "slides.html")

    assert "give --page" in refused.output
    assert done.exit_code == 0, done.output
    page = (tmp_path / "slides.html").read_text("utf-8")
    assert "Slide by slide: young" in page
    assert "superiority" in page


def test_results_of_the_same_stem_in_two_folders_have_a_name_each(tmp_path):
    folders = [tmp_path / "first/2024/out", tmp_path / "second/2024/out"]
    for folder, n in zip(folders, (12, 7), strict=True):
        folder.parent.mkdir(parents=True)
        write_result(folder, "a", n)
    write_result(folders[0], "b", 12)

    done = run(summarise.command, *folders, "-o", tmp_path / "t.csv", "--page", tmp_path / "p.html")

    assert done.exit_code == 0, done.output
    counted = {row["slide"]: row["n_nuclei"] for row in rows_of(tmp_path / "t.csv")}
    assert counted == {"first/2024/out/a": "12", "second/2024/out/a": "7", "b": "12"}
    page = (tmp_path / "p.html").read_text("utf-8")
    for name, n in counted.items():
        assert f"{name}: nuclei per mm2" in page
        assert f"{name}: Area µm^2, tallest bar {n}" in page


def test_a_table_and_corrected_nuclei_of_one_slide_have_a_name_each(tmp_path):
    write_result(tmp_path / "out", "a", 12)
    corrected = write_regions(tmp_path / "out/a.geojson", region(20, 0, 35, 12, ""))

    done = run(
        summarise.command,
        tmp_path / "out/a.parquet",
        corrected,
        "--mpp",
        0.5,
        "-o",
        tmp_path / "t.csv",
    )

    assert done.exit_code == 0, done.output
    assert {row["slide"] for row in rows_of(tmp_path / "t.csv")} == {"a.parquet", "a.geojson"}


def test_slides_of_the_same_stem_have_their_own_regions_or_are_told_that_they_share_them(tmp_path):
    for name in ("first", "second"):
        write_result(tmp_path / name, "a", 12)
    write_regions(tmp_path / "regions/a.geojson", region(0, 0, 100, 50, "five"))
    (tmp_path / "regions/second").mkdir()
    write_regions(tmp_path / "regions/second/a.geojson", region(0, 0, 60, 50, "three"))
    arguments = [tmp_path / "first", tmp_path / "second", "--regions", tmp_path / "regions"]

    done = run(summarise.command, *arguments, "-o", tmp_path / "t.csv")

    assert done.exit_code == 0, done.output
    rows = [(row["slide"], row["region"], row["n_nuclei"]) for row in rows_of(tmp_path / "t.csv")]
    assert rows == [("first/a", "five", "5"), ("second/a", "three", "3")]
    assert "first/a: a.geojson is taken for every result that is called a" in done.output
    assert "second/a: a.geojson is taken" not in done.output
