"""The checkout is a project of ``dg``, as Dagster's own programs see it."""

import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import REPOSITORY
from tests.dagster import definitions_snapshot

DG = Path(sys.executable).parent / "dg"


def dg(*words, **environment):
    return subprocess.run(
        [DG, *words],
        cwd=REPOSITORY,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY), "NO_COLOR": "1"} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_dg_loads_the_project_without_a_warning_of_superseded_parts(tmp_path):
    """`make check` checks its TOML and YAML."""
    done = dg("check", "defs", DAGSTER_HOME=str(tmp_path), HOVERFAST_ARTEFACTS=str(tmp_path / "a"))

    assert done.returncode == 0, done.stdout + done.stderr
    assert "Supersession" not in done.stdout + done.stderr


def test_importing_the_code_location_reads_nothing_from_outside():
    """A wrong variable is told when the location is loaded, with its name, not at an import."""
    load = "from hoverfast_platform.assets.definitions import defs; print('imported'); defs()"
    done = subprocess.run(
        [sys.executable, "-c", load],
        env=os.environ | {"PYTHONPATH": str(REPOSITORY), "HOVERFAST_SETTLE_S": "soon"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stdout == "imported\n"
    assert "settle_s" in done.stderr


def test_definitions_are_those_of_the_snapshot():
    """`python -m tests.dagster.definitions_snapshot` writes it anew, for a person to read."""
    assert definitions_snapshot.text() == definitions_snapshot.SNAPSHOT.read_text(encoding="utf-8")
