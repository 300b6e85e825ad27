"""The check of a GPU, tried without one: what it keeps, whatever its parts do."""

import json

import numpy as np
import pytest

from hoverfast_platform.benchmark import gpu_check
from hoverfast_platform.benchmark.gpu_record import (
    Figure,
    PartEnd,
    append_line,
    read_lines,
    record_text,
)
from hoverfast_platform.benchmark.quick_slide import QuickSlide, write_quick_slide
from hoverfast_platform.errors import SettingsError
from hoverfast_platform.geometry import Box
from hoverfast_platform.slide import open_slide


def test_a_part_that_fails_hangs_or_dies_does_not_keep_the_next_from_running(tmp_path, monkeypatch):
    monkeypatch.setattr(gpu_check, "_GRACE_S", 1.0)
    limits = (("raises", 60.0), ("hangs", 1.0), ("dies", 60.0), ("measures", 60.0))
    check = gpu_check.GpuCheck(
        out_dir=tmp_path,
        budget_s=300,
        parts=limits,
        device="cpu",
        model="cross-organ",
        tiles=tmp_path,
        areas="1",
        module="tests.unit.benchmark.parts_that_fail",
    )

    text = gpu_check.run_check(check)

    figures, ends = read_lines(tmp_path / "gpu-check.jsonl")
    failures = {end.part: end.failure for end in ends}
    assert list(failures) == ["raises", "hangs", "dies", "measures"]
    assert "it cannot be measured" in failures["raises"]
    assert "ended after" in failures["hangs"]
    assert "exit code 9" in failures["dies"]
    assert failures["measures"] == ""
    assert [figure.name for figure in figures] == ["before", "begun", "answer"]
    assert "cannot be measured" in text
    assert json.loads((tmp_path / "gpu-check.json").read_text())["schema_version"] == 1


def test_parts_beyond_the_budget_are_named(tmp_path):
    check = gpu_check.GpuCheck(
        out_dir=tmp_path, budget_s=0, parts=(("machine", 1.0),), device="cpu",
        model="cross-organ", tiles=tmp_path, areas="1",
    )  # fmt: skip

    assert "left out: the budget was spent" in gpu_check.run_check(check)


def test_a_record_that_was_cut_off_in_a_line_keeps_the_lines_before(tmp_path):
    path = tmp_path / "lines"
    append_line(path, Figure("network", "half precision", 0.159, "s/mm2", "of one"))
    append_line(path, PartEnd("network", 4.1))
    whole = path.read_text()
    path.write_text(whole + '{"kind": "Figure", "part": "netw')

    figures, ends = read_lines(path)

    assert figures == [Figure("network", "half precision", 0.159, "s/mm2", "of one")]
    assert ends == [PartEnd("network", 4.1)]
    assert "0.159 s/mm2  (of one)" in record_text(figures, ends)
    assert read_lines(tmp_path / "none") == ([], [])


def test_a_quick_slide_is_a_slide_whose_levels_show_the_same(tmp_path):
    y, x = np.mgrid[:512, :512]
    tile = np.stack([100 + x // 8, 90 + y // 8, 160 + 0 * x], axis=2).astype(np.uint8)
    slide = QuickSlide(area_mm2=0.05)

    write_quick_slide(tmp_path / "a.tiff", slide, [tile])
    write_quick_slide(tmp_path / "b.tiff", slide, [tile])

    assert (tmp_path / "a.tiff").read_bytes() == (tmp_path / "b.tiff").read_bytes()
    with open_slide(tmp_path / "a.tiff") as reader:
        side = slide.side_px  # these slides are square
        assert (reader.info.width, reader.info.height) == (side, side)
        assert side * side * 0.25**2 / 1e6 >= 0.05
        assert reader.info.mpp.x == pytest.approx(0.25)
        assert [round(xy[0]) for xy in reader.info.level_downsamples] == [1, 4, 16]
        fine = reader.read_level(0, Box.of(x=0, y=0, width=side, height=side)).astype(float)
        for level, factor in ((1, 4), (2, 16)):
            n = side // factor
            coarse = reader.read_level(level, Box.of(x=0, y=0, width=n, height=n)).astype(float)
            mean = fine.reshape(n, factor, n, factor, 3).mean(axis=(1, 3))
            assert np.abs(coarse - mean).mean() < 4


def test_tiles_too_small_for_a_slide_are_refused(tmp_path):
    with pytest.raises(SettingsError, match="256 px"):
        write_quick_slide(
            tmp_path / "a.tiff", QuickSlide(0.01), [np.zeros((100, 300, 3), np.uint8)]
        )
