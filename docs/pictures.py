"""The pictures of README and of this documentation: ``make pictures``.

One slide goes through Dagster as with ``make demo``. All pictures are made of what that left: drawn
from the result's files, or taken of the real pages in headless Chromium. ``--folder`` keeps the
instance and the result, so that a second call only takes pictures. Look at them before a commit.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import click
import numpy as np
import numpy.typing as npt
import shapely
from matplotlib import get_data_path
from PIL import Image, ImageDraw, ImageFont

from hoverfast_platform.arrays import RgbImage
from hoverfast_platform.geometry import Box
from hoverfast_platform.nuclei.nucleus import Nuclei
from hoverfast_platform.sample_slide import sample_slide
from hoverfast_platform.slide import open_slide
from hoverfast_platform.storage.nuclei_table import read_nuclei_table
from hoverfast_platform.storage.previews import NUCLEUS_COLOUR, draw_nuclei

DOCS = Path(__file__).parent
IMAGES = DOCS / "images"
MAX_BYTES = 400_000
"""A picture of a repository is fetched by everybody who clones it."""

_PATIENCE_MS = 600_000
"""For a page that takes two seconds on an idle machine."""

_PATIENT = f"\ncode_servers:\n  local_startup_timeout: {_PATIENCE_MS // 1000}\n"
"""For Dagster's code server, which takes longer than the usual 180 s on a busy machine."""

_SIDE = 720
"""Height of the drawn pictures, pixels."""

_CLOSE_UP_PX = 360
"""Side of the close-up, level-0 pixels."""

_CHOSEN = (255, 220, 0)
"""QuPath draws the object that was clicked in this yellow."""

_FONT = Path(get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")
"""A font with the micro sign, wherever this runs."""

Points: TypeAlias = npt.NDArray[np.float64]

_CLOSE_UP_AT = (0.52, 0.40)
"""Middle of the close-up, as shares of the slide's width and height."""


@dataclass(frozen=True)
class Made:
    """What the demo left.

    Attributes:
        slide: The slide's file.
        folder: Everything: artefacts and Dagster's instance.
        table: The nuclei table of the slide's result.
    """

    slide: Path
    folder: Path
    table: Path

    @property
    def artefacts(self) -> Path:
        return self.folder / "artefacts"

    @property
    def qupath_file(self) -> Path:
        """The file that QuPath imports."""
        return self.table.with_suffix(".json.gz")

    def nuclei(self) -> Nuclei:
        """All nuclei, level-0 pixels."""
        return read_nuclei_table(self.table)

    def close_up(self) -> tuple[Box, RgbImage]:
        """A place of the slide at full resolution."""
        with open_slide(self.slide) as reader:
            width, height = reader.info.width, reader.info.height
            x, y = (
                int(share * size - _CLOSE_UP_PX / 2)
                for share, size in zip(_CLOSE_UP_AT, (width, height), strict=True)
            )
            box = Box.of(x=x, y=y, width=_CLOSE_UP_PX, height=_CLOSE_UP_PX)
            return box, reader.read_level(0, box)


def _environment(folder: Path) -> dict[str, str]:
    home = folder / "dagster_home"
    if not home.exists():
        home.mkdir(parents=True)
        settings = (DOCS.parent / "deploy" / "dagster.yaml").read_text(encoding="utf-8")
        (home / "dagster.yaml").write_text(settings + _PATIENT)
    places = {"DAGSTER_HOME": str(home), "HOVERFAST_ARTEFACTS": str(folder / "artefacts")}
    return os.environ | places


def run_demo(folder: Path, slide: Path | None) -> Made:
    """Send the slide, or the sample, through Dagster; one that went through already is found."""
    folder.mkdir(parents=True, exist_ok=True)
    path = slide or sample_slide(folder).path
    tables = sorted((folder / "artefacts" / "nuclei").glob(f"*/{path.stem}.parquet"))
    if not tables:
        demo = [sys.executable, "-m", "hoverfast_platform.assets.demo", str(path)]
        subprocess.run(demo, env=_environment(folder), cwd=DOCS.parent, check=True)
        tables = sorted((folder / "artefacts" / "nuclei").glob(f"*/{path.stem}.parquet"))
    return Made(path, folder, tables[0])


def result(made: Made) -> None:
    """``result.jpg``: the slide with all nuclei, and a place of it at full resolution."""
    nuclei = made.nuclei()
    box, pixels = made.close_up()
    with open_slide(made.slide) as reader:
        width, height = reader.info.width, reader.info.height
        whole = reader.read_level(0, Box.at_origin(width=width, height=height))
    size = (round(_SIDE * width / height), _SIDE)
    shrunk = np.asarray(Image.fromarray(whole).resize(size, Image.Resampling.LANCZOS))
    scale = height / _SIDE
    left = Image.fromarray(draw_nuclei(shrunk, [nuclei], scale_x=scale, scale_y=scale))
    corners = [value / scale for value in (box.x0, box.y0, box.x1, box.y1)]
    ImageDraw.Draw(left).rectangle(corners, outline=(0, 0, 0), width=3)
    sheet = Image.new("RGB", (left.width + 12 + _SIDE, _SIDE), "white")
    sheet.paste(left, (0, 0))
    rings = [nuclei.ring(i) for i in range(len(nuclei))]
    sheet.paste(_outlined(pixels, box, rings, NUCLEUS_COLOUR), (left.width + 12, 0))
    _keep(sheet, "result.jpg")


def qupath(made: Made) -> None:
    """``qupath.jpg``: drawn from the file that QuPath imports, and from nothing else."""
    box, pixels = made.close_up()
    file = json.loads(gzip.decompress(made.qupath_file.read_bytes()))
    features = [one for one in file["features"] if _lies_in(one, box)]
    middle = shapely.Point((box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2)
    chosen = min(features, key=lambda one: _polygon(one).distance(middle))
    says = chosen["properties"]
    drawn = _outlined(
        pixels, box, [_ring(one) for one in features], tuple(says["classification"]["color"])
    )
    drawn = _outlined(np.asarray(drawn), box, [_ring(chosen)], _CHOSEN)
    sheet = Image.new("RGB", (_SIDE + 480, _SIDE), "white")
    sheet.paste(drawn, (0, 0))
    lines = [
        (f"{says['objectType']}, class {says['classification']['name']}", ""),
        ("", ""),
        *((name, f"{value:.4g}") for name, value in says["measurements"].items()),
    ]
    write, font = ImageDraw.Draw(sheet), ImageFont.truetype(_FONT, 16)
    for i, (name, value) in enumerate(lines):
        write.text((_SIDE + 16, 14 + 26 * i), name, "black", font)
        write.text((_SIDE + 380, 14 + 26 * i), value, "black", font)
    _keep(sheet, "qupath.jpg")


def architecture(_made: Made) -> None:
    """``architecture.png``: the first drawing of ``architecture.md``."""
    script = DOCS / "_static" / "mermaid.min.js"
    if not script.is_file():
        raise click.ClickException("The drawings' script is not there: run `make docs` first.")
    text = (DOCS / "architecture.md").read_text(encoding="utf-8")
    drawing = text.split("```mermaid\n")[1].split("```")[0]
    with _browser(1100, 900) as page:
        page.set_content(
            f'<body><pre class="mermaid">{drawing.replace("<br/>", "&lt;br/&gt;")}</pre>'
        )
        page.add_script_tag(path=script)
        page.evaluate("mermaid.initialize({startOnLoad: false}); mermaid.run()")
        drawn = page.locator("pre svg")
        drawn.wait_for(timeout=_PATIENCE_MS)
        _keep(Image.open(io.BytesIO(drawn.screenshot())), "architecture.png")


def dagster(made: Made) -> None:
    """``dagster-lineage.png``: what nuclei come from, in the real page of Dagster."""
    port = _free_port()
    program = str(Path(sys.executable).parent / "dagster-webserver")
    code = ["-m", "hoverfast_platform.assets.definitions"]
    root = f"http://127.0.0.1:{port}"
    path = "/assets/nuclei?view=lineage&lineageScope=upstream&lineageDepth=20"
    with (
        _running([program, *code, "-h", "127.0.0.1", "-p", str(port)], made),
        _browser(1500, 1000) as page,
    ):
        _wait_for(lambda: urllib.request.urlopen(f"{root}/server_info", timeout=5))
        page.goto(f"{root}{path}", timeout=_PATIENCE_MS)
        for asset in ("cohort", "tissue_mask"):
            page.get_by_text(asset, exact=True).first.wait_for(timeout=_PATIENCE_MS)
        page.wait_for_timeout(5000)  # the graph is laid out
        _keep(Image.open(io.BytesIO(page.screenshot())), "dagster-lineage.png")


def viewer(made: Made) -> None:
    """``viewer-density.jpg`` and ``viewer-nuclei.jpg``: the real page on the demo's result."""
    view = [sys.executable, "-m", "hoverfast_platform.cli.main", "view", str(made.artefacts)]
    port = _free_port()
    options = ["--no-browser", "--token", "picture", "--port", str(port)]
    folder = ["--slides", str(made.slide.parent)]
    root = f"http://127.0.0.1:{port}/?token=picture"
    nuclei, (box, _) = made.nuclei(), made.close_up()
    middle = np.array([(box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2])
    x, y = nuclei.centroid_xy[np.argmin(np.hypot(*(nuclei.centroid_xy - middle).T))]
    with _running([*view, *options, *folder], made), _browser(1300, 900) as page:
        _wait_for(lambda: socket.create_connection(("127.0.0.1", port), timeout=5))
        for name, place, keys in (
            ("viewer-density.jpg", "", ()),
            ("viewer-nuclei.jpg", f"&x={x:.0f}&y={y:.0f}&r=0.5", ("Enter",)),
        ):
            # A busy machine is idle on the network before it asks for the first pixels.
            with page.expect_response(lambda answer: "/image/" in answer.url, timeout=_PATIENCE_MS):
                page.goto(f"{root}{place}", timeout=_PATIENCE_MS)
            page.wait_for_load_state("networkidle", timeout=_PATIENCE_MS)
            for key in keys:
                page.locator("#frame").focus()
                page.keyboard.press(key)
                page.locator("#nucleus table").wait_for(timeout=_PATIENCE_MS)
            page.wait_for_load_state("networkidle", timeout=_PATIENCE_MS)
            page.wait_for_timeout(1500)  # drawn after it came
            _keep(Image.open(io.BytesIO(page.screenshot())), name)


PICTURES: dict[str, Callable[[Made], None]] = {
    one.__name__: one for one in (result, qupath, architecture, viewer, dagster)
}


def _ring(feature: dict[str, Any]) -> Points:
    return np.asarray(feature["geometry"]["coordinates"][0], np.float64)


def _polygon(feature: dict[str, Any]) -> shapely.Polygon:
    return shapely.Polygon(_ring(feature))


def _lies_in(feature: dict[str, Any], box: Box) -> bool:
    return bool(_polygon(feature).within(shapely.box(box.x0, box.y0, box.x1, box.y1)))


def _outlined(
    pixels: RgbImage, box: Box, rings: Sequence[Points], colour: tuple[int, int, int]
) -> Image.Image:
    """The close-up, enlarged, with outlines of level-0 pixels; drawn twice as large, so smooth."""
    large = (2 * _SIDE, 2 * _SIDE)
    picture = Image.fromarray(pixels).resize(large, Image.Resampling.LANCZOS)
    pen = ImageDraw.Draw(picture)
    for ring in rings:
        here = (ring - (box.x0, box.y0)) * (2 * _SIDE / _CLOSE_UP_PX)
        if (here > 0).any() and (here < 2 * _SIDE).any():
            pen.line([*map(tuple, here)], fill=colour, width=4, joint="curve")
    return picture.resize((_SIDE, _SIDE), Image.Resampling.LANCZOS)


def _keep(picture: Image.Image, name: str) -> None:
    """Write a picture, as small as it may be."""
    path = IMAGES / name
    if name.endswith(".png"):
        picture.convert("P", palette=Image.Palette.ADAPTIVE, colors=64).save(path, optimize=True)
    else:
        picture.convert("RGB").save(path, quality=82, optimize=True)
    n_bytes = path.stat().st_size
    if n_bytes > MAX_BYTES:
        raise click.ClickException(f"{path} has {n_bytes} bytes, more than {MAX_BYTES}.")
    click.echo(
        f"{path.relative_to(DOCS.parent)}  {picture.width} x {picture.height}  {n_bytes} bytes"
    )


@contextlib.contextmanager
def _browser(width: int, height: int) -> Iterator[Any]:
    """A page of Debian's Chromium, or of the one that Playwright got for itself."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        yield browser.new_page(viewport={"width": width, "height": height})
        browser.close()


@contextlib.contextmanager
def _running(command: list[str], made: Made) -> Iterator[None]:
    """A server; it ends with the block."""
    environment = _environment(made.folder)
    with (made.folder / "server.log").open("ab") as log:
        process = subprocess.Popen(
            command, env=environment, cwd=DOCS.parent, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            yield
        finally:
            process.terminate()
            process.wait()


def _wait_for(answer: Callable[[], Any]) -> None:
    """Ask until there is an answer."""
    deadline = time.monotonic() + _PATIENCE_MS / 1000
    while True:
        with contextlib.suppress(OSError):
            answer().close()
            return
        if time.monotonic() > deadline:
            raise click.ClickException("The server did not answer; see server.log.")
        time.sleep(1)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(list(PICTURES)))
@click.option(
    "--slide",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The slide. [default: the one of `hoverfast sample`]",
)
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=DOCS.parent / "demo" / "pictures",
    help="Keeps the result and Dagster's instance. [default: demo/pictures]",
)
def main(names: tuple[str, ...], slide: Path | None, folder: Path) -> None:
    """Make the pictures NAMES, or all of them."""
    made = run_demo(folder.resolve(), slide and slide.resolve())
    for name in names or PICTURES:
        PICTURES[name](made)


if __name__ == "__main__":
    main()
