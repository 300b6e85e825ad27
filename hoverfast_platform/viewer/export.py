"""A region of a slide as a folder of files: the page, opened from any file server, without ours.

Each file is what the application answers at an address that the page asks for, so the export
shows what the viewer shows. Colours by a measurement, which are made when they are asked for, and
corrections need the program.
"""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from starlette.applications import Starlette

from hoverfast_platform.errors import SettingsError, StorageError
from hoverfast_platform.files import written_atomically
from hoverfast_platform.progress import OnProgress, Progress, ignore_progress
from hoverfast_platform.storage.nuclei_lookup import Place
from hoverfast_platform.viewer.app import STATIC, check_built
from hoverfast_platform.viewer.pixels import TILE_PX, n_zooms
from hoverfast_platform.viewer.showroom import MOST_ZOOMED_OUT, OpenExhibit

MAX_NUCLEI = 50_000
"""Most nuclei of an export; for more than this the viewer itself is the right place."""


def export_region(
    app: Starlette,
    token_cookie: tuple[str, str],
    shown: OpenExhibit,
    region: Place | None,
    folder: Path,
    *,
    on_progress: OnProgress = ignore_progress,
) -> int:
    """Write the page with one slide and its nuclei.

    Args:
        app: The viewer that is asked.
        token_cookie: Name and value of the cookie that lets it answer.
        shown: The slide.
        region: What is shown at full resolution, level-0 pixels; None for the whole slide.
        folder: Where the files are written; it must be new or empty.
        on_progress: Is called after every file.

    Returns:
        How many files were written.

    Raises:
        SettingsError: If the folder holds something, or the region has too many nuclei.
        StorageError: If a file cannot be written.
    """
    check_built()
    if folder.exists() and any(folder.iterdir()):
        raise SettingsError(f"{folder} is not empty.", "Give a new folder.")
    whole = Place(0, 0, *map(float, shown.size_px))
    addresses = list(_addresses(shown, region or whole))
    shutil.copytree(STATIC, folder, dirs_exist_ok=True)
    cookie = f"{token_cookie[0]}={token_cookie[1]}"
    for i, address in enumerate(addresses):
        content = asyncio.run(_asked(app, address, cookie))
        if content is not None:
            if address.endswith(".json"):
                content = _without_program(address, content, shown.exhibit.key)
            path = folder / address
            path.parent.mkdir(parents=True, exist_ok=True)
            with written_atomically(path) as part:
                part.write_bytes(content)
        on_progress(Progress("exporting", i + 1, len(addresses), "files"))
    return len(addresses)


def _addresses(shown: OpenExhibit, region: Place) -> Iterator[str]:
    """All addresses that the page may ask for: at every zoom only the tiles over the region."""
    one = f"api/slides/{shown.exhibit.key}"
    yield "api/slides.json"
    yield f"{one}.json"
    yield from (f"{one}/{name}" for name in ("thumbnail.jpg", "review.json", "torn.json"))
    if shown.exhibit.mask_path is not None:
        yield f"{one}/mask.png"
    has_nuclei = shown.exhibit.table_path is not None
    for z in range(n_zooms(*shown.size_px)):
        for x, y in _tiles(region, z):
            yield f"{one}/image/{z}/{x}/{y}.jpg"
            if has_nuclei:
                yield f"{one}/density/{z}/{x}/{y}.png"
                if z <= MOST_ZOOMED_OUT:
                    yield f"{one}/nuclei/{z}/{x}/{y}.mvt"
    if has_nuclei:
        yield f"{one}/queue.json"
        rows = shown.lookup.within(region).rows.tolist()
        if len(rows) > MAX_NUCLEI:
            raise SettingsError(
                f"The region has {len(rows)} nuclei; an export holds at most {MAX_NUCLEI}.",
                "Give a smaller --region.",
            )
        yield from (f"{one}/nucleus/{row}.json" for row in rows)


def _tiles(region: Place, z: int) -> Iterator[tuple[int, int]]:
    side = TILE_PX << z
    for y in range(int(region.y0 // side), int(-(-region.y1 // side))):
        for x in range(int(region.x0 // side), int(-(-region.x1 // side))):
            yield x, y


async def _asked(app: Starlette, address: str, cookie: str) -> bytes | None:
    """What the application answers at an address; None where there is nothing."""
    told: dict[str, Any] = {"body": b""}
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": f"/{address}",
        "raw_path": f"/{address}".encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [(b"host", b"127.0.0.1"), (b"cookie", cookie.encode())],
        "client": None,
        "server": ("127.0.0.1", 80),
    }

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        told["status"] = message.get("status", told.get("status"))
        told["body"] += message.get("body", b"")

    await app(scope, receive, send)
    if told["status"] == 404:
        return None
    if told["status"] != 200:
        raise StorageError(f"{address}: {told['body'].decode('utf-8', 'replace')}", "")
    return bytes(told["body"])


def _without_program(address: str, content: bytes, key: str) -> bytes:
    """An answer, changed where it promises what only the program can do."""
    value = json.loads(content)
    if address == "api/slides.json":
        # What failed before says where files lie.
        shown = [slide for slide in value["slides"] if slide["key"] == key]
        value["slides"] = [{**slide, "failures": []} for slide in shown]
        value["failures"], value["folder"] = [], ""
    elif address.endswith(f"{key}.json"):
        value["others"], value["failures"], value["may_write"] = [], [], False
        if value["result"] is not None:
            value["result"]["measurements"] = []
    return json.dumps(value).encode()
