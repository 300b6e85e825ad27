"""Records of the benchmark, read for people who choose a model."""

import json

import pytest
from click.testing import CliRunner

from hoverfast_platform.benchmark.recorded_speed import read_speed
from hoverfast_platform.cli.models import command
from hoverfast_platform.errors import SettingsError


def write_record(folder, model, runs):
    folder.mkdir()
    record = {
        "machine": {"cpu": "Some Processor", "cores": 2},
        "options": {"model": model},
        "runs": [
            {"program": program, "cost": {"cpu_seconds": seconds}, "tissue_area_mm2": area}
            for program, seconds, area in runs
        ],
    }
    (folder / "bench.json").write_text(json.dumps(record))
    return folder


def test_the_largest_slide_counts_and_other_programs_do_not(tmp_path):
    runs = [
        ("this engine, int8", 9.0, 0.25),
        ("this engine, int8", 20.0, 2.0),
        ("this engine, int8", 26.0, 2.0),
        ("this engine, int8", 22.0, 2.0),
        ("published HoverFast, fp32", 900.0, 2.0),
    ]

    speed = read_speed(write_record(tmp_path / "a", "cross-organ-lean", runs))

    assert (speed.model, speed.processor) == ("cross-organ-lean", "Some Processor")
    assert speed.cpu_s_per_mm2 == 11.0


def test_the_listing_shows_what_was_measured_beside_its_model(tmp_path):
    lean = write_record(tmp_path / "a", "cross-organ-lean", [("this engine, int8", 12.5, 1.0)])
    default = write_record(tmp_path / "b", "", [("this engine, int8", 41.7, 1.0)])

    done = CliRunner().invoke(command, ["--bench", str(lean), "--bench", str(default)])
    rows = {line.split()[0]: line.split() for line in done.output.splitlines()[1:4]}
    as_json = CliRunner().invoke(command, ["--bench", str(lean), "--json"])
    measured = {card["name"]: card["measured"] for card in json.loads(as_json.output)}

    assert rows["cross-organ-lean"][3] == "12.5"
    assert rows["cross-organ"][3] == "41.7"
    assert rows["cross-organ-20x"][3] == "-"
    assert measured["cross-organ-lean"]["cpu_s_per_mm2"] == 12.5
    assert measured["cross-organ"] is None


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"machine": {}}', "<html>"])
def test_another_file_is_refused(tmp_path, text):
    (tmp_path / "bench.json").write_text(text)

    with pytest.raises(SettingsError, match="a record of `hoverfast bench`"):
        read_speed(tmp_path)


def test_a_record_without_slides_says_what_to_measure(tmp_path):
    with pytest.raises(SettingsError, match="says nothing of slides"):
        read_speed(write_record(tmp_path / "a", "cross-organ", []))
