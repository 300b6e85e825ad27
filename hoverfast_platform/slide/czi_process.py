"""libCZI in a process of its own: on some damaged files it ends the process that it runs in.

The process that asks knows no libCZI. It is told what lies in a file, and gets pixels.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, cast

import numpy as np

from hoverfast_platform.child_processes import starting_children
from hoverfast_platform.errors import UnreadableSlideError
from hoverfast_platform.geometry import Box

_CACHE_BYTES = 256 * 2**20
"""Unpacked tiles that are kept: a tile of the scanner reaches over several rows of ours."""
_PATIENCE_S = 600.0
"""A row of a large slide takes seconds, and from a busy network drive minutes."""
_END_S = 5.0


@dataclass(frozen=True)
class StoredTile:
    """A tile of full resolution as the file's directory names it.

    Attributes:
        box: Where it lies, in the file's pixels.
        coordinate: Dimension to value; ``S`` is the scene.
        pixel_type: Such as ``Bgr24``.
    """

    box: Box
    coordinate: Mapping[str, int]
    pixel_type: str


@dataclass(frozen=True)
class WantedPixels:
    """A part of one plane.

    Attributes:
        box: In the file's pixels.
        zoom: 1 for full resolution, less for fewer pixels.
        plane: Value of every dimension.
        scene: Number of the scene in the file; None where it has none.
        pixel_type: As the tiles have it.
        background: Where no tile lies, 0 to 1 for black to white.
    """

    box: Box
    zoom: float
    plane: Mapping[str, int]
    scene: int | None
    pixel_type: str
    background: float


class CziProcess:
    """An open CZI.

    Args:
        path: The file; it is opened by the first question.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        context = get_context("spawn")
        self._ours, theirs = context.Pipe()
        self._process = context.Process(target=_answer, args=(theirs, str(path)), daemon=True)
        with starting_children():
            self._process.start()
        theirs.close()

    def directory(self) -> tuple[str, list[StoredTile]]:
        """The file's text about itself, XML, and its tiles of full resolution.

        Raises:
            UnreadableSlideError: If the file is damaged.
        """
        return cast("tuple[str, list[StoredTile]]", self._ask(None))

    def pixels(self, wanted: WantedPixels) -> np.ndarray[Any, Any]:
        """``(H, W, colours)`` as stored, blue first.

        Raises:
            UnreadableSlideError: If the file is damaged there.
        """
        return cast("np.ndarray[Any, Any]", self._ask(wanted))

    def _ask(self, wanted: WantedPixels | None) -> object:
        try:
            with self._lock:
                self._ours.send(wanted)
                if not self._ours.poll(_PATIENCE_S):
                    raise self._damaged(f"libCZI gave no answer in {_PATIENCE_S:.0f} s")
                answer = self._ours.recv()
        except (EOFError, ConnectionError) as error:
            raise self._damaged("libCZI ended its process on it") from error
        if isinstance(answer, _Failed):
            raise self._damaged(answer.why)
        return answer

    def _damaged(self, why: str) -> UnreadableSlideError:
        return UnreadableSlideError(
            f"{self._path.name} is not a readable CZI: {why}.",
            "The file is damaged or incomplete; copy it again.",
        )

    def close(self) -> None:
        """End the process."""
        self._ours.close()
        self._process.join(_END_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._process.close()


@dataclass(frozen=True)
class _Failed:
    why: str


def _answer(theirs: Connection, path: str) -> None:
    """The process: answers questions until nobody asks any more."""
    file: Any = None
    while True:
        try:
            wanted = theirs.recv()
        except EOFError:
            return
        try:
            if file is None:
                file = _opened(path)
            answer: object = _directory(file) if wanted is None else _pixels(file, wanted)
        except Exception as error:  # libCZI raises whatever it likes for damaged bytes
            answer = _Failed(str(error) or type(error).__name__)
        try:
            theirs.send(answer)
        except ConnectionError:  # who asked was killed
            return


def _opened(path: str) -> Any:
    from pylibCZIrw import czi

    return czi.CziReader(path, cache_options=czi.CacheOptions(max_memory_usage=_CACHE_BYTES))


def _directory(file: Any) -> tuple[str, list[StoredTile]]:
    tiles: list[StoredTile] = []

    def take(_index: int, tile: Any) -> bool:
        rect, stored = tile.logicalRect, tile.physicalSize
        if (rect.w, rect.h) == (stored.w, stored.h):  # else of a coarser level
            box = Box.of(x=rect.x, y=rect.y, width=rect.w, height=rect.h)
            tiles.append(StoredTile(box, tile.coordinate.to_dict(), tile.pixelType.name))
        return True

    file.enumerate_subblocks(take)
    return file.raw_metadata, tiles


def _pixels(file: Any, wanted: WantedPixels) -> np.ndarray[Any, Any]:
    box = wanted.box
    found = file.read(
        roi=(box.x0, box.y0, box.width, box.height),
        plane=dict(wanted.plane),
        scene=wanted.scene,
        zoom=wanted.zoom,
        pixel_type=wanted.pixel_type,
        background_pixel=(wanted.background,) * 3,
    )
    return np.ascontiguousarray(found)
