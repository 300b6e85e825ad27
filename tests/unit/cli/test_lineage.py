"""``hoverfast lineage`` with a catalogue: a result that was changed is not shown as good."""

import dataclasses
import json

import pytest
from click.testing import CliRunner

from hoverfast_platform.catalogue import Catalogue
from hoverfast_platform.cli.lineage import command
from hoverfast_platform.files import file_sha256
from tests.builders import segmentation


@pytest.fixture
def recorded(tmp_path):
    """A catalogue, and the file of a result that it knows; another is on another machine."""
    path = tmp_path / "A.json.gz"
    path.write_bytes(b"nuclei")
    files = {str(path): file_sha256(path), "/elsewhere/A.parquet": "d" * 64}
    with Catalogue.open(tmp_path / "catalogue.sqlite") as catalogue:
        catalogue.results.record(dataclasses.replace(segmentation(), files=files))
    return tmp_path / "catalogue.sqlite", path


def test_an_unchanged_result_is_shown(recorded):
    catalogue, path = recorded
    done = CliRunner().invoke(command, [str(path), "--catalogue", str(catalogue), "--json"])

    assert done.exit_code == 0
    assert json.loads(done.output)[0]["files"][str(path)] == file_sha256(path)


def test_a_changed_result_is_shown_and_told(recorded):
    catalogue, path = recorded
    path.write_bytes(b"edited")

    done = CliRunner().invoke(command, ["A 1.svs", "--catalogue", str(catalogue), "--json"])

    assert done.exit_code == 1
    assert f"{path} is not what was recorded" in done.stderr
    assert json.loads(done.stdout)[0]["n_nuclei"] == 5
