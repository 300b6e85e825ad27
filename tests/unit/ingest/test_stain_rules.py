"""Which stain a slide has, by where it lies."""

from pathlib import Path

import pytest

from hoverfast_platform.errors import SettingsError
from hoverfast_platform.ingest.stain_rules import read_stain_rules


def rules(tmp_path, text):
    (tmp_path / "stains.json").write_text(text)
    return read_stain_rules(tmp_path / "stains.json")


@pytest.mark.parametrize(
    ("path", "stain", "weak"),
    [
        ("/slides/ki67/a.svs", "ihc_dab", 0.15),
        ("/slides/ki67/deep/er.svs", "ihc_dab", 0.15),
        ("/slides/he/b_ER.svs", "ihc_dab", 0.2),
        ("/slides/he/c [1].svs", "ihc_dab", 0.2),
        ("/slides/he/b_er.svs", "he", 0.2),
        ("/ki67.svs", "he", 0.2),
    ],
)
def test_first_rule_that_matches_name_or_path_decides(tmp_path, path, stain, weak):
    found = rules(
        tmp_path,
        """{"rules": [
        {"files": "*/ki67/*", "staining": {"stain": "ihc_dab", "dab_weak_od": 0.15}},
        {"files": "*_ER.svs", "staining": {"stain": "ihc_dab"}},
        {"files": "c [1].svs", "staining": {"stain": "ihc_dab"}}]}""",
    ).staining(Path(path))

    assert (found.stain, found.dab_weak_od) == (stain, weak)


def test_without_a_file_slides_are_he_and_the_default_can_be_another(tmp_path):
    assert read_stain_rules(tmp_path / "none.json").staining(Path("a.svs")).stain == "he"
    found = rules(tmp_path, '{"otherwise": {"stain": "ihc_dab"}}')
    assert found.staining(Path("a.svs")).stain == "ihc_dab"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"rules": [{"files": "*", "staining": {"stain": "dab"}}]}', "stain"),
        ('{"rules": [{"file": "*", "staining": {}}]}', "file"),
        ('{"rules": [{"files": "", "staining": {}}]}', "files"),
        ("not json", "JSON"),
    ],
)
def test_wrong_rules_are_refused_and_named(tmp_path, text, said):
    with pytest.raises(SettingsError, match=said):
        rules(tmp_path, text)
