"""Files say the version of their form, and forms newer than the program are refused as such."""

import json

import pytest
from pydantic import ValidationError

from hoverfast_platform.config import FileRecord
from hoverfast_platform.errors import CheckpointError
from hoverfast_platform.evaluation.promotion import Judgement
from hoverfast_platform.mask.mask_file import MaskRecord
from hoverfast_platform.model.card import ModelCard
from hoverfast_platform.model.quantised import Int8Card
from hoverfast_platform.model.registry import read_card
from hoverfast_platform.provenance import Provenance
from hoverfast_platform.review.state import Edit
from hoverfast_platform.storage.patch_table import LabelProvenance
from hoverfast_platform.storage.shared_manifest import Manifest

RECORDS = (
    *(Provenance, MaskRecord, ModelCard, Int8Card, LabelProvenance),
    *(Edit, Judgement, Manifest),
)


def test_every_record_of_a_file_is_held_to_this():
    assert set(RECORDS) == set(FileRecord.__subclasses__())


@pytest.mark.parametrize("record", RECORDS)
def test_a_form_newer_than_the_program_is_refused_before_its_fields_are(record):
    newer = {"schema_version": record.newest_form + 1, "a_field_of_the_future": True}

    with pytest.raises(ValidationError, match="made by a newer version") as refused:
        record.model_validate(newer)

    assert refused.value.error_count() == 1


def test_what_is_written_says_its_form(tmp_path):
    path = tmp_path / "m.json"
    path.write_text(ModelCard(name="m", version="1").model_dump_json())

    assert json.loads(path.read_text())["schema_version"] == 1
    assert read_card(path).name == "m"


def test_a_card_of_a_newer_version_is_named_as_that(tmp_path):
    path = tmp_path / "m.json"
    path.write_text(json.dumps({"name": "m", "version": "1", "schema_version": 2, "new": 1}))

    with pytest.raises(CheckpointError, match=r"its form is 2, this version reads up to 1"):
        read_card(path)


def test_a_record_without_a_version_is_of_the_first_form():
    assert ModelCard.model_validate({"name": "m", "version": "1"}).schema_version == 1
