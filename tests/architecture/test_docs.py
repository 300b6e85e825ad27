from pathlib import Path

from hoverfast_platform.nuclei.nucleus import MEASUREMENTS
from hoverfast_platform.resources.environment import Environment, reference_page
from hoverfast_platform.storage.exporters.table import EXPORTERS, with_reference_table

DOCS = Path(__file__).parents[2] / "docs"


def test_every_measurement_is_defined_in_the_documentation():
    text = (DOCS / "results.md").read_text(encoding="utf-8")

    missing = [m for m in MEASUREMENTS if f"`{m.column}`" not in text or m.qupath_name not in text]
    assert not missing


def test_the_page_of_environment_variables_is_what_is_read():
    page = (DOCS / "environment.md").read_text(encoding="utf-8")

    assert page == reference_page(), (
        "python -m hoverfast_platform.resources.environment writes it anew"
    )


def test_environment_variables_become_settings(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name, value in {
        "ARTEFACTS": "here",
        "SLIDES": f"{tmp_path}/a:{tmp_path}/b",
        "SENSORS": "on",
        "SETTLE_S": "5",
    }.items():
        monkeypatch.setenv(f"HOVERFAST_{name}", value)
    monkeypatch.delenv("HOVERFAST_CATALOGUE", raising=False)

    found = Environment()

    assert found.artefacts == tmp_path / "here"
    assert found.slides == (tmp_path / "a", tmp_path / "b")
    assert (found.sensors, found.resegment, found.settle_s) == (True, False, 5.0)
    assert found.catalogue == ""


def test_the_table_of_forms_is_what_convert_writes():
    page = (DOCS / "results.md").read_text(encoding="utf-8")

    assert page == with_reference_table(page), (
        "python -m hoverfast_platform.storage.exporters.table docs/results.md writes it anew"
    )
    assert all(f"| `{one.name}` |" in page for one in EXPORTERS)
