"""A wrong file of settings is told field by field, with the name that was meant."""

import pytest

from hoverfast_platform.cohorts.plan import CohortPlan
from hoverfast_platform.errors import SettingsError
from hoverfast_platform.files import read_settings_file
from hoverfast_platform.ingest.stain_rules import StainRules


@pytest.mark.parametrize(
    ("model", "text", "told"),
    [
        (
            CohortPlan,
            '{"teatcher": "classical"}',
            "teatcher is not a setting; teacher was probably",
        ),
        (CohortPlan, '{"labels": {"foldre": "x"}}', "labels.foldre is not a setting; folder was"),
        (StainRules, '{"rules": [{"fils": "*"}]}', "rules.0.fils is not a setting; files was"),
        (CohortPlan, '{"labels": {"xyz": 1}}', "settings are citation, folder, licence, made_by"),
        (CohortPlan, '{"labels": {}}', "labels.folder is missing."),
        (CohortPlan, '{"slides": 3}', "slides = 3: Input should be a valid"),
        (CohortPlan, '{"patient_pattern": "p"}', "patient_pattern = 'p': needs exactly one group"),
        (CohortPlan, '{"patient_pattern": "(p{99999999999})"}', "is not a regular expression"),
        (CohortPlan, "{", "Invalid JSON"),
    ],
)
def test_each_wrong_field_is_named_with_what_was_meant(tmp_path, model, text, told):
    path = tmp_path / "settings.json"
    path.write_text(text)

    with pytest.raises(SettingsError) as caught:
        read_settings_file(path, model, what="settings")

    assert told in str(caught.value)
    assert "pydantic" not in str(caught.value)


def test_the_settings_there_are_are_listed_once(tmp_path):
    path = tmp_path / "settings.json"
    path.write_text('{"xyz1": 1, "xyz2": 2, "labels": {"xyz3": 3}}')

    with pytest.raises(SettingsError) as caught:
        read_settings_file(path, CohortPlan, what="settings")

    assert str(caught.value).count("settings are") == 2, "of a plan, and of its labels"
