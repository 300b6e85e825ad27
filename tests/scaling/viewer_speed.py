"""A million nuclei on a real pyramid in a real browser: how fast is the viewer, how large is it?

    python -m tests.scaling.viewer_speed --tiles FOLDER --out viewer.json

The slide is made of blocks of the tissue in FOLDER, with JPEG tiles and three levels. Nuclei are
jittered ellipses of 20 corners with all measurements of an H&E slide, in blocks as the engine
writes them. The server is the real command in a process of its own; Chromium draws by software.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from PIL import Image

from hoverfast_platform.benchmark.benchmark_report import machine
from hoverfast_platform.benchmark.quick_slide import QuickSlide, write_quick_slide
from hoverfast_platform.files import file_sha256
from hoverfast_platform.nuclei.nucleus import MEASUREMENTS, Nuclei
from hoverfast_platform.slide.digest import slide_digest
from hoverfast_platform.storage.nuclei_table import write_nuclei_table
from hoverfast_platform.storage.publish import SUMMARY, TABLE
from hoverfast_platform.storage.summary import Distribution, Seams, SegmentationSummary
from tests.builders import NAMESPACE, provenance

_BLOCK_PX = 2048
_CORNERS = 20
_COLUMNS = [m.column for m in MEASUREMENTS if m.stain in (None, "he")]
_N_TILES = 60

_WATCH_FRAMES = """
() => { window.frames_ms = []; let last = performance.now(); window.watching = true;
  const next = (now) => { window.frames_ms.push(now - last); last = now;
    if (window.watching) requestAnimationFrame(next); };
  requestAnimationFrame(next); }"""


def main() -> None:
    """Write figures as JSON, to a file and to the terminal."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tiles", type=Path, required=True, help="tissue, PNG at 40x")
    parser.add_argument("--nuclei", type=int, default=1_000_000)
    parser.add_argument("--area-mm2", type=float, default=100.0)
    parser.add_argument("--folder", type=Path, help="kept and used again; else a temporary one")
    parser.add_argument("--out", type=Path, default=Path("viewer.json"))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hoverfast-viewer-") as temporary:
        folder = arguments.folder or Path(temporary)
        side_px = write_result(folder, arguments.tiles, arguments.nuclei, arguments.area_mm2)
        with Server(folder) as server:
            figures = {
                "machine": machine(),
                "nuclei": arguments.nuclei,
                "side_px": side_px,
                **measure_page(server),
                **measure_tiles(server, side_px),
                "server_peak_mib": round(server.peak_bytes / 2**20),
            }
    arguments.out.write_text(json.dumps(figures, indent=2))
    print(json.dumps(figures, indent=2))  # noqa: T201 - a command's output


def write_result(folder: Path, tiles: Path, n_nuclei: int, area_mm2: float) -> int:
    """Write a slide and its result, unless they are there; returns the slide's side."""
    quick = QuickSlide(area_mm2)
    slide = folder / "large.tiff"
    if not slide.exists():
        pictures = [np.asarray(Image.open(p).convert("RGB")) for p in sorted(tiles.glob("*.png"))]
        write_quick_slide(slide, quick, pictures)
    table, summary = folder / f"large{TABLE}", folder / f"large{SUMMARY}"
    if not summary.exists():
        blocks = list(_blocks(quick.side_px, n_nuclei))
        write_nuclei_table(table, blocks, _COLUMNS, metadata={}, namespace=NAMESPACE)
        _summary(slide, table, quick.side_px, blocks).write(summary)
    return quick.side_px


def _blocks(side_px: int, n_nuclei: int) -> Iterator[Nuclei]:
    rng = np.random.default_rng(0)
    n = -(-side_px // _BLOCK_PX)
    angle = np.linspace(0, 2 * np.pi, _CORNERS, endpoint=False)
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    for index in range(n * n):
        count = n_nuclei * (index + 1) // n**2 - n_nuclei * index // n**2
        corner = np.array([index % n, index // n]) * _BLOCK_PX
        centres = np.minimum(corner + rng.uniform(0, _BLOCK_PX, (count, 2)), side_px - 1)
        axes = rng.uniform(9, 17, (count, 1, 2))
        rings = centres[:, None] + axes * circle * rng.uniform(0.9, 1.1, (count, _CORNERS, 1))
        rings = np.concatenate([rings, rings[:, :1]], axis=1).round(1)
        yield Nuclei(
            centroid_xy=centres,
            vertices_xy=rings.reshape(-1, 2),
            ring_starts=(_CORNERS + 1) * np.arange(count + 1, dtype=np.int64),
            tile_index=np.full(count, index, np.int32),
            decimals=1,
            measurements={c: rng.normal(1, 0.2, count).astype(np.float32) for c in _COLUMNS},
        )


def _summary(slide: Path, table: Path, side_px: int, blocks: list[Nuclei]) -> SegmentationSummary:
    n_nuclei, area_mm2 = sum(map(len, blocks)), (side_px * 0.25e-3) ** 2
    distributions = {
        column: Distribution.of(np.concatenate([b.measurements[column] for b in blocks]))
        for column in _COLUMNS
    }
    return SegmentationSummary(
        provenance=provenance(
            "seg-large-0123456789",
            slide={"sha256": slide_digest(slide), "width_px": side_px, "height_px": side_px},
        ).model_copy(update={"settings": {"tiling": {"tile_size_px": 1024}}}),
        n_nuclei=n_nuclei,
        tissue_area_mm2=area_mm2,
        tissue_fraction=1.0,
        nuclei_per_mm2=n_nuclei / area_mm2,
        distributions={name: d for name, d in distributions.items() if d is not None},
        n_tiles=(side_px // 1024) ** 2,
        seams=Seams(n_near_seams=0, n_duplicates=0, density_ratio=1.0),
        finished_at="2026-01-01T00:00:00+00:00",
        files={table.name: file_sha256(table)},
    )


class Server:
    """``hoverfast view`` in a process of its own, whose memory is watched.

    Attributes:
        url: Of the page.
        peak_bytes: Most resident memory seen.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.peak_bytes = 0

    def __enter__(self) -> Server:
        run = "from hoverfast_platform.cli.main import main; main()"
        options = [self._folder, "--slides", self._folder, "--no-browser", "--token", "secret"]
        self._process = subprocess.Popen(
            [sys.executable, "-c", run, "view", *map(str, options)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.url = ""
        while not self.url:
            found = re.search(r"http://\S+/\?", self._process.stdout.readline())
            self.url = found[0].removesuffix("?") if found else ""
        self._watch = threading.Thread(target=self._see_memory, daemon=True)
        self._watch.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._process.terminate()
        self._process.wait()

    def _see_memory(self) -> None:
        process = psutil.Process(self._process.pid)
        while self._process.poll() is None:
            self.peak_bytes = max(self.peak_bytes, process.memory_info().rss)
            time.sleep(0.05)


def measure_page(server: Server) -> dict[str, Any]:
    """First view and frames while a hand pans, in Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        page = browser.new_page(viewport={"width": 1300, "height": 900})
        page.goto(f"{server.url}?token=secret")
        first = _first_view_ms(page)
        page.wait_for_load_state("networkidle")
        figures: dict[str, Any] = {"first_view_ms": first}
        for name, resolution in (("full_resolution", 1), ("half_resolution", 2)):
            page.goto(f"{server.url}?x=15000&y=15000&r={resolution}")
            _first_view_ms(page)
            page.wait_for_load_state("networkidle")
            figures[f"frame_ms_{name}"] = _pan(page)
        browser.close()
    return figures


def _first_view_ms(page: Any) -> float:
    """From the page's arrival to everything of the first view drawn."""
    while not page.evaluate("performance.getEntriesByName('view-drawn').length"):
        time.sleep(0.05)  # the page's own policy forbids what `wait_for_function` does
    drawn = page.evaluate(
        "performance.getEntriesByName('view-drawn')[0].startTime"
        " - performance.getEntriesByType('navigation')[0].responseEnd"
    )
    return round(float(drawn))


def _pan(page: Any) -> dict[str, float]:
    box = page.locator("#map").bounding_box()
    x, y = box["x"] + box["width"] * 0.85, box["y"] + box["height"] * 0.7
    page.mouse.move(x, y)
    page.evaluate(_WATCH_FRAMES)
    page.mouse.down()
    for step in range(1, 121):
        page.mouse.move(x - 5 * step, y - 3 * step)
        page.wait_for_timeout(16)
    page.mouse.up()
    frames = page.evaluate("() => { window.watching = false; return window.frames_ms; }")
    return _spread(frames[1:])


def measure_tiles(server: Server, side_px: int) -> dict[str, Any]:
    """Tiles that nobody asked for before, one after the other."""
    rng = np.random.default_rng(1)
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    opener.open(f"{server.url}?token=secret").read()
    (slide,) = json.load(opener.open(f"{server.url}api/slides.json"))["slides"]
    figures: dict[str, Any] = {}
    for name, kind, zoom in (
        ("image_tile", "image/{z}/{x}/{y}.jpg", 0),
        ("image_tile_between_levels", "image/{z}/{x}/{y}.jpg", 3),
        ("vector_tile", "nuclei/{z}/{x}/{y}.mvt", 1),
    ):
        times, sizes = [], []
        n = side_px // (512 << zoom)
        for place in rng.permutation(n * n)[:_N_TILES].tolist():
            address = kind.format(z=zoom, x=place % n, y=place // n)
            begin = time.perf_counter()
            content = opener.open(f"{server.url}api/slides/{slide['key']}/{address}").read()
            times.append(1000 * (time.perf_counter() - begin))
            sizes.append(len(content))
        figures[f"{name}_ms"] = _spread(times)
        figures[f"{name}_kib"] = round(float(np.median(sizes)) / 1024)
    figures["nuclei_per_vector_tile"] = round(slide["n_nuclei"] * (1024 / side_px) ** 2)
    return figures


def _spread(values: list[float]) -> dict[str, float]:
    middle, high = np.percentile(values, [50, 95])
    return {"median": round(float(middle), 1), "p95": round(float(high), 1)}


if __name__ == "__main__":
    main()
