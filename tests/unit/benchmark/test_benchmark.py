"""The benchmark's parts; nothing here asserts a time."""

import dataclasses
import json
import os
import sys

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from hoverfast_platform.benchmark import starts
from hoverfast_platform.benchmark.benchmark_report import phase_table, ratios, table
from hoverfast_platform.benchmark.composed_slide import ComposedSlide, compose_slide, read_tiles
from hoverfast_platform.benchmark.engines import (
    EngineTime,
    engine_table,
    multiplications_per_pixel,
    time_engines,
)
from hoverfast_platform.benchmark.many_nuclei import measure_many
from hoverfast_platform.benchmark.measured_process import ProcessCost, run_measured
from hoverfast_platform.benchmark.post_processing_quality import compare_quality
from hoverfast_platform.benchmark.published_hoverfast import (
    check_hoverfast,
    save_published_format,
)
from hoverfast_platform.benchmark.published_hovernet import check_hovernet, save_without_nuclei
from hoverfast_platform.benchmark.relations import relations
from hoverfast_platform.benchmark.spread import Spread
from hoverfast_platform.benchmark.starts import FIRST_TILE, FURTHER_TILE
from hoverfast_platform.benchmark.whole_slide import SlideRun
from hoverfast_platform.cli.main import hoverfast
from hoverfast_platform.errors import ComputeError, SettingsError
from hoverfast_platform.evaluation.labelled_set import open_labelled_set
from hoverfast_platform.inference.engine import SegmentationEngine
from hoverfast_platform.inference.segment_image import segment_image
from hoverfast_platform.mask.builtin import find_tissue
from hoverfast_platform.model.architecture import Architecture
from hoverfast_platform.model.checkpoint import load_model
from hoverfast_platform.model.registry import DEFAULT_MODEL
from hoverfast_platform.slide import open_slide
from hoverfast_platform.teachers.hovernet.checkpoint import load_hovernet


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

    assert again.card.architecture == load_model("cross-organ").card.architecture
    for name, tensor in model.network.state_dict().items():
        assert torch.equal(again.network.state_dict()[name], tensor)


@pytest.mark.parametrize("check", [check_hoverfast, check_hovernet])
def test_another_folder_is_no_checkout(tmp_path, check):
    with pytest.raises(SettingsError, match="git clone"):
        check(tmp_path)


def test_a_checkout_that_lacks_a_package_says_which(tmp_path):
    (tmp_path / "infer").mkdir()
    (tmp_path / "infer" / "wsi.py").write_text("import no_such_package")

    with pytest.raises(SettingsError, match=r"no_such_package.*pip install docopt"):
        check_hovernet(tmp_path)


def test_hovernet_without_published_weights_finds_nothing(tmp_path):
    save_without_nuclei(tmp_path / "w.tar")

    decoder = load_hovernet(tmp_path / "w.tar").decoder
    with torch.inference_mode():
        logits = decoder["np"].u0(torch.randn(1, 64, 8, 8))
        hv_maps = decoder["hv"].u0(torch.randn(1, 64, 8, 8))
    assert logits.softmax(dim=1)[:, 1].max() < 0.01
    assert hv_maps.std() > 0.01


def _run(program, seconds):
    slide = ComposedSlide(512, 1.0)
    cost = ProcessCost(seconds, seconds, 2**30, 2**20)
    return SlideRun(slide, program, cost, 100, 5000, 0.5)


def _measured(side_px, fraction, *, cpu_seconds, peak_mib):
    mm2 = fraction * (side_px * 0.25e-3) ** 2
    cost = ProcessCost(99.0, cpu_seconds, peak_mib * 2**20, 3 * 2**20)
    return SlideRun(ComposedSlide(side_px, fraction), "this engine", cost, 10, 2**20, mm2)


def test_relations_leave_out_what_every_run_costs():
    """A start of 5 s, 40 s per mm2 of tissue, half a second per mm2 of glass."""
    runs = []
    for side_px in (2048, 8192):
        mm2 = (side_px * 0.25e-3) ** 2
        runs += [
            _measured(side_px, 0.0, cpu_seconds=5 + 0.5 * mm2, peak_mib=1000),
            _measured(side_px, 0.5, cpu_seconds=5 + 40 * mm2 / 2, peak_mib=1000),
            _measured(side_px, 1.0, cpu_seconds=5 + 40 * mm2, peak_mib=1000 + mm2),
        ]

    value = {relation.name: relation.value for relation in relations(runs)}

    assert value["tissue over blank area, CPU s per mm2"] == pytest.approx(80)
    assert value["one more mm2 of tissue, dearest over cheapest, CPU s"] == pytest.approx(1)
    assert value["peak memory, 8192px-100pct over 2048px-100pct"] == pytest.approx(1.0038, abs=1e-3)
    assert value["largest peak memory, MiB"] == pytest.approx(1004, abs=1)
    assert value["disk at its most over what is left, 2048px-0pct"] == 3


def test_blank_area_that_costs_less_than_noise_has_no_ratio():
    runs = [
        _measured(side_px, fraction, cpu_seconds=cpu, peak_mib=1)
        for side_px, fraction, cpu in ((512, 0, 5.1), (2048, 0, 5), (512, 1, 9), (2048, 1, 99))
    ]

    (blank,) = (r for r in relations(runs) if "blank" in r.name)

    assert blank.value is None


def test_phases_of_two_programs_have_tables_of_their_own():
    runs = [
        dataclasses.replace(_run("ours", 1.0), phases=(("predict", 3.0), ("total", 2.0))),
        dataclasses.replace(_run("theirs", 5.0), phases=(("network", 4.0),)),
        _run("silent", 3.0),
    ]

    assert phase_table(runs).splitlines() == [
        "| ours | predict | total | phases over total |", "|---|---|---|---|",
        "| 512px-100pct | 3 | 2 | 1.5 |", "",
        "| theirs | network |", "|---|---|", "| 512px-100pct | 4 |",
    ]  # fmt: skip


def test_the_network_multiplies_as_its_layers_say():
    """Full resolution 18,144, half 91,136 / 4, and so on: the sum of the paper's table."""
    assert multiplications_per_pixel(load_model(DEFAULT_MODEL)) == 246_048


def test_every_engine_here_is_timed_and_the_others_say_why():
    rgb = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)

    times = time_engines(
        load_model(DEFAULT_MODEL), rgb, 1, threads=[1], without=("torch.compile fp32",)
    )

    ran = {t.name for t in times if not t.skipped}
    assert {"torch eager fp32", "OpenVINO fp32", "OpenVINO int8"} <= ran
    (onnx,) = (t for t in times if t.name == "ONNX Runtime fp32")
    assert bool(onnx.seconds) != ("pip install onnxruntime" in onnx.skipped)
    assert all(len(t.seconds) == 1 for t in times if not t.skipped)
    assert engine_table(times).count("\n") == len(times) + 1


def test_engines_are_compared_with_eager_torch_round_by_round():
    times = [
        EngineTime("torch eager fp32", 1, (4.0, 6.0), (4.0, 6.0), 8.0),
        EngineTime("OpenVINO int8", 1, (1.0, 2.0), (2.0, 2.0), 8.0),
        EngineTime("ONNX Runtime fp32", 1, (), (), 8.0, "pip install it"),
    ]

    lines = engine_table(times).splitlines()

    assert lines[3] == "| OpenVINO int8 | 1 | 1.5 (1-2) | 2 | 4 | 2.5 (2-3) | 3.5 (3-4) |"
    assert lines[4] == "| ONNX Runtime fp32 | 1 | not run: pip install it | | | | |"


def test_quality_of_our_post_processing_is_scored_image_by_image(tmp_path, tiles):
    """Its own nuclei as truth: nothing can be better."""
    for name in ("image", "label"):
        (tmp_path / name).mkdir()
    rgb = tiles[0][:192, :256]
    with SegmentationEngine.of() as engine:
        found = segment_image(rgb, mpp=0.25, engine=engine)
        Image.fromarray(rgb).save(tmp_path / "image" / "a.png")
        Image.fromarray(found.instance_map.astype(np.uint16)).save(tmp_path / "label" / "a.png")

    quality = compare_quality(engine.model, open_labelled_set(tmp_path, mpp=0.25), None)

    assert quality.ours[0] > 0.9
    with pytest.raises(SettingsError, match="not resampled"):
        compare_quality(engine.model, open_labelled_set(tmp_path, mpp=0.5), None)


def test_many_nuclei_are_written_validated_and_read(tmp_path, tiles):
    found = segment_image(tiles[0][:192, :256], mpp=0.25).nuclei

    many = measure_many(found, 3000, tmp_path)

    assert 3000 <= many.n_nuclei < 3000 + len(found)
    assert [name for name, _ in many.cpu_seconds] == [
        "GeoJSON written", "Parquet written", "GeoJSON validated", "GeoJSON read", "Parquet read",
    ]  # fmt: skip
    assert many.peak_bytes > 2**20
    assert list(tmp_path.iterdir()) == []


def test_ratios_are_taken_round_by_round():
    runs = [_run("ours", 1.0), _run("theirs", 5.0), _run("ours", 2.0), _run("theirs", 12.0)]

    assert "theirs takes 5.5 (5-6) times as long as ours" in ratios(runs)
    assert "| 512px-100pct | ours | 1.5 (1-2) | 1.5 (1-2) | 3 (2-4) | 100 |" in table(runs)
    assert str(Spread.of([2.0, 2.0])) == "2"


@pytest.mark.parametrize(
    "options",
    [["--areas", "3"], ["--tissue", "200"], ["--areas", "x"], ["--parts", "slides,speed"]],
)
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
         "--rounds", "1", "--parts", "slides,steps"],
        standalone_mode=False, catch_exceptions=False,
    )  # fmt: skip

    measured = json.loads((tmp_path / "bench.json").read_text())
    assert measured["schema_version"] == 1
    (run,) = measured["runs"]
    assert run["n_nuclei"] > 10
    assert run["cost"]["peak_bytes"] > 50 * 2**20
    assert run["tissue_area_mm2"] == pytest.approx((512 * 0.25e-3) ** 2, rel=0.2)
    assert {"read", "predict", "decode", "contour"} <= set(run["phases"])
    assert {step["name"] for step in measured["steps"]} >= {"read a region", "decode"}
    assert all(step["milliseconds"] for step in measured["steps"])
    assert {relation["name"] for relation in measured["relations"]} >= {"largest peak memory, MiB"}
    assert run["cost"]["peak_disk_bytes"] >= run["disk_bytes"] > 0
    assert "512px-100pct" in done.output
    assert "| write Parquet |" in done.output
    assert [path.name for path in tmp_path.iterdir()] == ["bench.json"]
    assert np.isfinite(run["cost"]["seconds"])


def test_a_first_tile_and_further_ones_are_told_apart(tmp_path, tiles, monkeypatch):
    monkeypatch.setattr(starts, "_N_FURTHER", 2)

    costs = {step.name: step.median for step in starts.time_starts(tiles, "", 1, tmp_path)}

    assert costs["start Python"] < costs["hoverfast --help"] < costs[FIRST_TILE]
    assert costs[FURTHER_TILE] < costs[FIRST_TILE]
    assert len(list((tmp_path / "roi" / "json").iterdir())) == 3


def test_a_network_that_the_published_program_cannot_build_is_not_written_for_it(tmp_path):
    lean = Architecture(kernel_sizes=(3,), pixel_block=2)
    model = load_model(DEFAULT_MODEL)
    model = dataclasses.replace(model, card=model.card.model_copy(update={"architecture": lean}))

    with pytest.raises(SettingsError, match="does not"):
        save_published_format(tmp_path / "w.pth", model)
    assert not (tmp_path / "w.pth").exists()
