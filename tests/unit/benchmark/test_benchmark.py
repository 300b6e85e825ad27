"""The benchmark's parts; nothing here asserts a time."""

import json
import os
import sys

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from hoverfast_platform.benchmark.composed_slide import ComposedSlide, compose_slide, read_tiles
from hoverfast_platform.benchmark.measured_process import ProcessCost, run_measured
from hoverfast_platform.benchmark.published_tool import check_checkout, save_published_format
from hoverfast_platform.benchmark.report import Spread, ratios, table
from hoverfast_platform.benchmark.whole_slide import SlideRun
from hoverfast_platform.cli.main import hoverfast
from hoverfast_platform.errors import ComputeError, SettingsError
from hoverfast_platform.mask.builtin import find_tissue
from hoverfast_platform.model.checkpoint import load_model
from hoverfast_platform.model.registry import DEFAULT_MODEL
from hoverfast_platform.slide import open_slide


@pytest.fixture(scope="module")
def tiles():
    return read_tiles(None)


@pytest.mark.parametrize("fraction", [0.0, 0.5, 1.0])
def test_composed_slides_hold_the_tissue_asked_for(tmp_path, tiles, fraction):
    compose_slide(tmp_path / "s.tiff", ComposedSlide(1024, fraction), tiles)

    with open_slide(tmp_path / "s.tiff") as reader:
        assert reader.info.mpp.x == pytest.approx(0.25, rel=1e-3)
        assert find_tissue(reader).is_tissue.mean() == pytest.approx(
            fraction, abs=0.1
        )  # it grows 16 um


def test_equal_arguments_give_equal_pixels(tmp_path, tiles):
    for name in ("a.tiff", "b.tiff"):
        compose_slide(tmp_path / name, ComposedSlide(512, 1.0, seed=3), tiles)

    assert (tmp_path / "a.tiff").read_bytes() == (tmp_path / "b.tiff").read_bytes()


def test_memory_of_children_is_counted(tmp_path):
    child = "x = bytearray(200 * 2**20); import time; time.sleep(1.5)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"

    cost = run_measured([sys.executable, "-c", parent], log_path=tmp_path / "log", env=os.environ)

    assert cost.peak_bytes > 200 * 2**20
    assert cost.seconds > 1


def test_a_failing_program_is_an_error_with_its_last_words(tmp_path):
    with pytest.raises(ComputeError, match="no such slide"):
        run_measured(
            [sys.executable, "-c", "raise SystemExit('no such slide')"],
            log_path=tmp_path / "log", env=os.environ,
        )  # fmt: skip


def test_a_program_that_hangs_is_ended(tmp_path):
    with pytest.raises(ComputeError, match="did not end"):
        run_measured(
            [sys.executable, "-c", "import time; time.sleep(60)"],
            log_path=tmp_path / "log", env=os.environ, timeout_s=0.5,
        )  # fmt: skip


def test_weights_in_the_published_format_come_back(tmp_path):
    model = load_model(DEFAULT_MODEL)
    save_published_format(tmp_path / "w.pth", model)

    again = load_model(tmp_path / "w.pth")

    assert (again.card.depth, again.card.first_filters) == (3, 16)
    for name, tensor in model.network.state_dict().items():
        assert torch.equal(again.network.state_dict()[name], tensor)


def test_another_folder_is_no_checkout(tmp_path):
    with pytest.raises(SettingsError, match="git clone"):
        check_checkout(tmp_path)


def _run(program, seconds):
    slide = ComposedSlide(512, 1.0)
    return SlideRun(slide, program, ProcessCost(seconds, seconds, 2**30), 100, 5000, 0.5)


def test_ratios_are_taken_round_by_round():
    runs = [_run("ours", 1.0), _run("theirs", 5.0), _run("ours", 2.0), _run("theirs", 12.0)]

    assert "theirs takes 5.5 (5-6) times as long as ours" in ratios(runs)
    assert "| 512px-100pct | ours | 1.5 (1-2) | 1.5 (1-2) | 3 (2-4) | 100 |" in table(runs)
    assert str(Spread.of([2.0, 2.0])) == "2"


@pytest.mark.parametrize("options", [["--areas", "3"], ["--tissue", "200"], ["--areas", "x"]])
def test_numbers_that_cannot_be_are_refused(tmp_path, options):
    with pytest.raises(SettingsError):
        CliRunner().invoke(
            hoverfast, ["bench", "-o", str(tmp_path), *options],
            standalone_mode=False, catch_exceptions=False,
        )  # fmt: skip


def test_one_slide_is_measured_as_a_user_would_run_it(tmp_path):
    done = CliRunner().invoke(
        hoverfast,
        ["bench", "-o", str(tmp_path), "--side", "512", "--areas", "1", "--tissue", "100",
         "--rounds", "1"],
        standalone_mode=False, catch_exceptions=False,
    )  # fmt: skip

    measured = json.loads((tmp_path / "bench.json").read_text())
    (run,) = measured["runs"]
    assert run["n_nuclei"] > 10
    assert run["cost"]["peak_bytes"] > 50 * 2**20
    assert run["tissue_area_mm2"] == pytest.approx((512 * 0.25e-3) ** 2, rel=0.2)
    assert {"read", "predict", "decode", "contour"} <= set(run["phases"])
    assert {step["name"] for step in measured["steps"]} >= {"read a region", "decode"}
    assert all(step["milliseconds"] for step in measured["steps"])
    assert "512px-100pct" in done.output
    assert "| write Parquet |" in done.output
    assert [path.name for path in tmp_path.iterdir()] == ["bench.json"]
    assert np.isfinite(run["cost"]["seconds"])
