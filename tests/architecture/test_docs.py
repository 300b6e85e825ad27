from pathlib import Path

from hoverfast_platform.nuclei.nucleus import MEASUREMENTS

DOCS = Path(__file__).parents[2] / "docs"


def test_every_measurement_is_defined_in_the_documentation():
    text = (DOCS / "results.md").read_text(encoding="utf-8")

    missing = [m for m in MEASUREMENTS if f"`{m.column}`" not in text or m.qupath_name not in text]
    assert not missing
