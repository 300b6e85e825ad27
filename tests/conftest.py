"""Fixtures shared by all tests, each a few lines."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--screenshots", help="folder in which tests with a browser keep pictures")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real slides and tiles; tests that need it are skipped where it is absent."""
    folder = Path(os.environ.get("HOVERFAST_TEST_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"real slides not present: {folder} (set HOVERFAST_TEST_DATA)")
    return folder
