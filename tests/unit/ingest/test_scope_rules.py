"""Which scope a slide belongs to: by a lab's own table, by where it lies, by its stain."""

import json
from pathlib import Path

import pytest

from hoverfast_platform.errors import SettingsError
from hoverfast_platform.ingest.scope_rules import read_scope_rules

RULES = [
    {"files": "*/breast/*", "scope": "breast"},
    {"stain": "ihc_dab", "scope": "ihc"},
]


def rules(tmp_path, **fields):
    (tmp_path / "scopes.json").write_text(json.dumps(fields))
    return read_scope_rules(tmp_path / "scopes.json")


def test_first_rule_that_matches_place_and_stain_decides(tmp_path):
    found = rules(tmp_path, rules=RULES)

    assert found.scope(Path("/w/breast/a.svs"), "ihc_dab") == "breast"
    assert found.scope(Path("/w/skin/a.svs"), "ihc_dab") == "ihc"
    assert found.scope(Path("/w/skin/a.svs"), "he") == "default"
    assert found.names() == ("default", "breast", "ihc")


def test_table_of_the_lab_goes_before_rules(tmp_path):
    (tmp_path / "slides.csv").write_text("slide,Tissue\na.svs,mamma\nb,skin\nc,\n")
    table = {"file": "slides.csv", "column": "Tissue", "scopes": {"mamma": "breast"}}
    found = rules(tmp_path, table=table, rules=RULES)

    named = [found.scope(Path(f"/w/{stem}.svs"), "ihc_dab") for stem in "abcd"]
    assert named == ["breast", "skin", "ihc", "ihc"]
    assert found.names() == ("default", "breast", "ihc", "skin")


def test_without_a_file_every_slide_is_in_the_default_scope(tmp_path):
    found = read_scope_rules(tmp_path / "none.json")

    assert found.names() == ("default",)
    assert found.scope(Path("/w/a.svs"), "he") == "default"


@pytest.mark.parametrize(
    "fields", [{"rules": [{"scope": ""}]}, {"table": {"file": "none.csv"}}, {"scopes": {}}]
)
def test_wrong_rules_are_explained(tmp_path, fields):
    with pytest.raises(SettingsError):
        rules(tmp_path, **fields).names()
