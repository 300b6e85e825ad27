"""Memory that the engine and its workers share, without a name that could be left behind.

On Linux it is a file without a name, whatever the size of ``/dev/shm``, which containers limit
to 64 MB by default. Workers open it through ``/proc`` of the engine's process. It is gone when the
last process that holds it ends, however that ends.
"""

from __future__ import annotations

import contextlib
import itertools
import mmap
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hoverfast_platform.arrays import PredictedMaps, RgbImage
from hoverfast_platform.errors import ComputeError

_serial_numbers = itertools.count()


@dataclass(frozen=True)
class SlotAddress:
    """Where a worker finds the slots.

    Attributes:
        path: To open.
        serial: Tells slots apart whose paths are alike, one after the other.
        n_slots: How many regions there is room for.
        height: Height of a region.
        width: Width of a region.
    """

    path: str
    serial: int
    n_slots: int
    height: int
    width: int


class RegionSlots:
    """Room for maps and pixels of several regions of one shape; a slot holds one.

    Attributes:
        address: What workers are given.
        maps: ``(n_slots, 2, H, W)`` float16.
        pixels: ``(n_slots, H, W, 3)`` uint8.
        free: Slots nobody uses.

    Raises:
        ComputeError: If there is not so much memory.
    """

    def __init__(self, n_slots: int, region_shape: tuple[int, int]) -> None:
        n_bytes = _n_bytes(n_slots, *region_shape)
        self._file, path = -1, ""
        try:
            self._file, path = _nameless_file() if hasattr(os, "memfd_create") else _named_file()
            _fill(self._file, n_bytes, is_nameless=path.startswith("/proc/"))
            memory = mmap.mmap(self._file, n_bytes)
        except OSError as error:
            self._forget_file(path)
            raise ComputeError(
                f"There is no room for {n_bytes / 2**20:.0f} MiB that the post-processing workers "
                f"share: {error.strerror or error}.",
                "Use fewer --workers, a smaller --batch-size or --tile-size, or raise the limit of "
                "memory.",
            ) from error
        self.address = SlotAddress(path, next(_serial_numbers), n_slots, *region_shape)
        self.maps, self.pixels = _arrays(memory, self.address)
        self.free = list(range(n_slots))

    def close(self) -> None:
        """Give the memory back, as soon as nobody uses an array of it any more."""
        del self.maps, self.pixels
        self._forget_file(self.address.path)

    def _forget_file(self, path: str) -> None:
        if self._file >= 0:
            os.close(self._file)
        if path and not path.startswith("/proc/"):
            with contextlib.suppress(FileNotFoundError):
                Path(path).unlink()


_attached: dict[SlotAddress, tuple[PredictedMaps, RgbImage]] = {}


def attached_slots(address: SlotAddress) -> tuple[PredictedMaps, RgbImage]:
    """In a worker: maps and pixels of all slots, to be read only. The last slots stay open."""
    if address not in _attached:
        _attached.clear()
        file = os.open(address.path, os.O_RDONLY)
        try:
            n_bytes = _n_bytes(address.n_slots, address.height, address.width)
            memory = mmap.mmap(file, n_bytes, access=mmap.ACCESS_READ)
        finally:
            os.close(file)
        _attached[address] = _arrays(memory, address)
    return _attached[address]


def _nameless_file() -> tuple[int, str]:
    file = os.memfd_create("hoverfast")
    return file, f"/proc/{os.getpid()}/fd/{file}"


def _named_file() -> tuple[int, str]:
    return tempfile.mkstemp(prefix="hoverfast-")


def _fill(file: int, n_bytes: int, *, is_nameless: bool) -> None:
    """A file on a disk gets its room now: a later write that finds none would kill the process."""
    if is_nameless:
        os.ftruncate(file, n_bytes)
        return
    zeros = bytes(1 << 20)
    for start in range(0, n_bytes, len(zeros)):
        os.write(file, zeros[: n_bytes - start])


def _n_map_bytes(n_slots: int, height: int, width: int) -> int:
    return n_slots * 2 * height * width * np.dtype(np.float16).itemsize


def _n_bytes(n_slots: int, height: int, width: int) -> int:
    return _n_map_bytes(n_slots, height, width) + n_slots * height * width * 3


def _arrays(memory: mmap.mmap, address: SlotAddress) -> tuple[PredictedMaps, RgbImage]:
    n_slots, shape = address.n_slots, (address.height, address.width)
    maps: PredictedMaps = np.ndarray((n_slots, 2, *shape), np.float16, memory)
    pixels: RgbImage = np.ndarray(
        (n_slots, *shape, 3), np.uint8, memory, _n_map_bytes(n_slots, *shape)
    )
    return maps, pixels
