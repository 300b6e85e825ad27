"""The table of packages in ``docs/architecture.md`` is held against the imports of the code."""

import ast
import re
from pathlib import Path

import pytest

ENGINE = Path(__file__).parents[2] / "hoverfast_platform"
PAGE = ENGINE.parent / "docs" / "architecture.md"
PACKAGES = {path.name for path in ENGINE.iterdir() if (path / "__init__.py").is_file()} - {
    "explanations"
}
DOORS = {"cli", "assets", "resources"}
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.read_text(encoding="utf-8").split("## The packages")[1].splitlines()
    if line.startswith("| `")
]
MAY_IMPORT = {
    name: set(re.findall(r"`(\w+)`", row[2])) | ({"every"} if "every craft" in row[2] else set())
    for row in ROWS[: next(i for i, row in enumerate(ROWS) if row[0].startswith("`use_cases."))]
    for name in re.findall(r"`(\w+)`", row[0])
}


def imported_by(package):
    found = set()
    for path in (ENGINE / package).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                found |= set(re.findall(r"^hoverfast_platform\.(\w+)", node.module))
    return found & PACKAGES - {package}


def test_every_package_has_its_place_in_the_table():
    assert set(MAY_IMPORT) == PACKAGES - DOORS


@pytest.mark.parametrize("package", sorted(MAY_IMPORT))
def test_a_package_imports_what_the_table_says_and_nothing_else(package):
    allowed = MAY_IMPORT[package]

    assert "every" in allowed or imported_by(package) == allowed
