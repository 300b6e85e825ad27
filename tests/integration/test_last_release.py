"""What the last release wrote is read by this version; ``tests/last_release.py`` made the files."""

import json
import shutil

import numpy as np
import pytest

from hoverfast_platform.catalogue import Catalogue
from hoverfast_platform.evaluation.promotion import Judgement
from hoverfast_platform.files import file_sha256
from hoverfast_platform.mask.mask_file import read_mask, read_record
from hoverfast_platform.model.quantised import Int8Card
from hoverfast_platform.model.registry import read_card
from hoverfast_platform.neighbourhood.neighbour_table import read_neighbour_table
from hoverfast_platform.provenance import Provenance
from hoverfast_platform.review.log import ReviewLog
from hoverfast_platform.review.state import add_up
from hoverfast_platform.storage.nuclei_table import read_nuclei_table, read_table_metadata
from hoverfast_platform.storage.patch_table import PatchTable
from hoverfast_platform.storage.qupath_validation import validate_qupath_file
from hoverfast_platform.storage.summary import SegmentationSummary
from tests.last_release import FOLDER

FACTS = json.loads((FOLDER / "facts.json").read_text())


def test_the_kept_files_are_those_that_were_written():
    assert FACTS["sha256"] == {
        path.name: file_sha256(path)
        for path in sorted(FOLDER.iterdir())
        if path.name != "facts.json"
    }
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 1_000_000


def test_summary_table_and_qupath_file_tell_the_same_result():
    summary = SegmentationSummary.read(FOLDER / "slide.summary.json")
    nuclei = read_nuclei_table(FOLDER / "slide.parquet")
    said = Provenance.found_in(read_table_metadata(FOLDER / "slide.parquet"), "the table")
    report = validate_qupath_file(FOLDER / "slide.json.gz", width=320, height=240)

    assert summary.n_nuclei == len(nuclei) == report.n_features == FACTS["n_nuclei"] > 5
    assert said == summary.provenance
    assert said.segmentation_id == FACTS["segmentation_id"]
    assert np.mean(nuclei.measurements["area_um2"]) == pytest.approx(FACTS["mean_area_um2"])


def test_the_table_of_neighbours_belongs_to_it():
    columns = read_neighbour_table(FOLDER / "slide.parquet", FACTS["segmentation_id"])

    assert {len(column) for column in columns.values()} == {FACTS["n_nuclei"]}


def test_the_mask_is_read_with_its_record():
    mask = read_mask(FOLDER / "slide.mask.png")

    assert mask is not None
    assert mask.is_tissue.any()
    assert read_record(FOLDER / "slide.mask.png") is not None


def test_the_catalogue_is_brought_to_the_newest_form_with_all_its_rows(tmp_path):
    shutil.copy(FOLDER / "catalogue.sqlite", tmp_path)
    with Catalogue.open(tmp_path / "catalogue.sqlite") as catalogue:
        (slide,) = catalogue.slides.all()
        (result,) = catalogue.results.current()

    assert (slide.key, slide.sha256) == (FACTS["slide_key"], FACTS["slide_sha256"])
    assert result.segmentation_id == FACTS["segmentation_id"]
    assert result.n_nuclei == FACTS["n_nuclei"]


def test_the_log_of_edits_adds_up_as_it_did():
    state = add_up(ReviewLog(FOLDER / "slide.edits.jsonl").edits())

    assert (state.removed, state.last) == ({}, 4)
    assert [one.by for one in state.drawn.values()] == ["Bohr, Niels"]
    assert len(state.regions) == 1


def test_the_training_set_has_its_image_and_labels():
    table = PatchTable(FOLDER / "set_train.pytable")
    (patch,) = table

    assert patch.image.shape == (48, 64, 3)
    assert sorted(np.unique(patch.instance_map)) == [0, 1, 2]
    assert table.provenance.labels[0].licence == "CC0-1.0"


def test_cards_and_verdict_are_read():
    assert read_card(FOLDER / "model.json").name == "cross-organ"
    assert Int8Card.model_validate_json((FOLDER / "model.int8.json").read_text()).checks
    verdict = Judgement.model_validate_json((FOLDER / "verdict.json").read_text())
    assert (verdict.scope, verdict.verdict.passed) == ("skin", True)
