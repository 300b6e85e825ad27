import re

import numpy as np
import pytest
from PIL import Image

from hoverfast_platform.catalogue import Catalogue
from hoverfast_platform.catalogue.records import FailureRecord
from hoverfast_platform.errors import StorageError
from hoverfast_platform.files import file_sha256
from hoverfast_platform.reports.run_report import write_run_report
from hoverfast_platform.storage.nuclei_table import write_nuclei_table
from hoverfast_platform.storage.summary import (
    DabPositivity,
    Distribution,
    Seams,
    SegmentationSummary,
)
from tests.builders import NAMESPACE, provenance, squares


def summary_of(n, dab=None):
    values = np.full(n, 6.5)
    distribution = Distribution.of(values)
    return SegmentationSummary(
        provenance=provenance(NAMESPACE.hex),
        n_nuclei=n,
        tissue_area_mm2=0.5 if n else 0,
        tissue_fraction=0.1,
        nuclei_per_mm2=2 * n if n else None,
        distributions={"area_um2": distribution} if distribution else {},
        n_tiles=1,
        seams=Seams(n_near_seams=0, n_duplicates=0, density_ratio=None),
        warnings=("pixels are < square",),
        seconds={"total": 2.5, "predict": 2.0},
        dab=dab,
        finished_at="2026-01-01T00:00:00+00:00",
    )


def write_result(folder, name, n):
    summary_of(n).write(folder / f"{name}.summary.json")
    columns = list(squares(1).measurements)
    blocks = [squares(n)] if n else []
    write_nuclei_table(
        folder / f"{name}.parquet", blocks, columns, metadata={}, namespace=NAMESPACE
    )
    Image.new("RGB", (64, 32), "pink").save(folder / f"{name}.preview.jpg")


def test_a_page_holds_slides_failures_and_pictures_and_loads_nothing(tmp_path):
    write_result(tmp_path, "<b>ñ", 12)
    write_result(tmp_path, "none", 0)
    with Catalogue.open(tmp_path / "catalogue.sqlite") as catalogue:
        for _ in range(2):
            catalogue.results.record_failure(
                FailureRecord("/s/bad.svs", "unreadable_slide", "It is cut.", "Copy it.", "")
            )

    page = write_run_report(tmp_path).read_text("utf-8")

    assert "&lt;b&gt;ñ" in page
    assert "<b>" not in page
    assert page.count("It is cut.") == 1
    assert page.count("<svg") == 1  # of the only measurement with values
    assert page.count("data:image/jpeg") == 4  # preview and density of both
    assert not re.search(r"""(src|href)=["'](?!data:)""", page)


def test_a_lost_table_or_a_damaged_summary_is_said_and_the_rest_is_shown(tmp_path):
    write_result(tmp_path, "good", 3)
    write_result(tmp_path, "lost", 3)
    (tmp_path / "lost.parquet").unlink()
    (tmp_path / "cut.summary.json").write_text("{")

    page = write_run_report(tmp_path).read_text("utf-8")

    assert "lost.parquet is missing" in page
    assert "cut.summary.json is not a readable summary" in page
    assert page.count("data:image/jpeg") == 2


def test_a_changed_or_damaged_file_is_told_and_the_other_slides_are_shown(tmp_path):
    for name in ("good", "cut", "other"):
        write_result(tmp_path, name, 3)
        seal(tmp_path, name)
    (tmp_path / "cut.parquet").write_bytes((tmp_path / "cut.parquet").read_bytes()[:-9])
    Image.new("RGB", (64, 32), "blue").save(tmp_path / "other.preview.jpg")

    page = write_run_report(tmp_path).read_text("utf-8")

    assert "A file of cut is damaged" in page
    assert "cut.parquet changed since cut.summary.json was written" in page
    assert "other.preview.jpg changed since" in page
    assert "good.parquet changed" not in page
    assert page.count("data:image/jpeg") == 4  # preview and density of the two others


def seal(folder, name):
    """The summary as publishing writes it, with the digests of the other files."""
    files = {f"{name}{ending}": file_sha256(folder / f"{name}{ending}")
             for ending in (".parquet", ".preview.jpg")}  # fmt: skip
    summary_of(3).model_copy(update={"files": files}).write(folder / f"{name}.summary.json")


def test_images_are_reported_with_their_positivity(tmp_path):
    (tmp_path / "summary").mkdir()
    dab = DabPositivity(
        n_negative=3, n_weak=1, n_moderate=0, n_strong=0, positive_fraction=0.25, h_score=25
    )
    summary_of(4, dab).write(tmp_path / "summary" / "roi.json")

    page = write_run_report(tmp_path).read_text("utf-8")

    assert "<td>25.0</td>" in page
    assert "H-score" in page


def test_a_folder_without_results_is_refused(tmp_path):
    with pytest.raises(StorageError, match="holds no results"):
        write_run_report(tmp_path)
    assert not list(tmp_path.iterdir())
