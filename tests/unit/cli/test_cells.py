"""``hoverfast cells`` as people call it."""

import gzip
import json

import numpy as np
import pytest
from click.testing import CliRunner

from hoverfast_platform.cli.cells import command
from hoverfast_platform.errors import SettingsError, UnreadableSlideError
from hoverfast_platform.storage.nuclei_table import read_nuclei_table
from tests.builders import write_slide
from tests.unit.cli.test_summarise import write_result


def run(*arguments):
    return CliRunner().invoke(command, [str(a) for a in arguments], catch_exceptions=False)


def test_cells_and_their_table_lie_beside_the_result(tmp_path):
    write_result(tmp_path, "a", 12)

    done = run(tmp_path / "a.parquet", "--distance", 1.5)

    assert done.exit_code == 0, done.output
    assert "a.parquet: 12 cells" in done.output
    with gzip.open(tmp_path / "a.cells.json.gz") as file:
        content = json.load(file)
    assert content["provenance"]["cells"] == {"distance_um": 1.5, "mpp": 0.5}
    assert len(content["features"]) == 12
    table = read_nuclei_table(tmp_path / "a.cells.parquet")
    ratio = table.measurements["nucleus_cell_ratio"]
    assert (ratio[:10] < 0.5).all()
    assert ratio[11] == 1  # not on tissue, where its cell could grow
    assert not [path for path in tmp_path.iterdir() if path.name.endswith(".part")]


def test_another_slide_is_refused(tmp_path):
    write_result(tmp_path, "a", 3)
    other = write_slide(tmp_path / "other.tiff", np.full((64, 48, 3), 200, np.uint8))

    with pytest.raises(UnreadableSlideError, match="not the slide of this result"):
        run(tmp_path / "a.parquet", "--slide", other)
    assert not list(tmp_path.glob("*.cells*"))


def test_a_table_that_is_not_a_slides_is_refused(tmp_path):
    write_result(tmp_path, "a", 3)
    run(tmp_path / "a.parquet", "--part", "cytoplasm")

    assert (tmp_path / "a.cytoplasm.json.gz").is_file()
    with pytest.raises(SettingsError, match="not the table of a slide's result"):
        run(tmp_path / "a.cells.parquet")
