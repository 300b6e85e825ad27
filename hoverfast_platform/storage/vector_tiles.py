"""Outlines as Mapbox vector tiles, which map programs draw; knows nothing of files.

A tile holds one layer of polygons. Each has its number as id and one tag, ``v``, with a small
whole number by which it is coloured.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

EXTENT = 4096
"""Units across a tile."""

_POLYGON = b"\x18\x03"
_CLOSE, _MOVE = 15, 9


def encode_tile(
    rings_xy: npt.NDArray[np.float64],
    ring_starts: npt.NDArray[np.int64],
    ids: npt.NDArray[np.int64],
    values: npt.NDArray[np.int64],
) -> bytes:
    """A vector tile with a layer ``nuclei``.

    Args:
        rings_xy: ``(V, 2)`` closed rings one after another, in units of the tile; may leave it.
        ring_starts: ``(N + 1,)`` as in :class:`hoverfast_platform.nuclei.nucleus.Nuclei`.
        ids: ``(N,)`` not negative.
        values: ``(N,)`` of tag ``v``, not negative.

    Returns:
        The tile; empty bytes without polygons, which is a valid tile.
    """
    if not len(ids):
        return b""
    points, lengths = _wound_right(np.rint(rings_xy).astype(np.int64), ring_starts)
    geometry, ends = _geometry(points, lengths)
    different, which = np.unique(values, return_inverse=True)
    starts = np.concatenate([[0], ends[:-1]])
    features = bytearray()
    for start, end, number, tag in zip(
        starts.tolist(), ends.tolist(), ids.tolist(), which.tolist(), strict=True
    ):
        tags = b"\x00" + _varint(tag)
        feature = b"\x08" + _varint(number) + _field(0x12, tags) + _POLYGON
        features += _field(0x12, feature + _field(0x22, geometry[start:end]))
    layer = b"\x78\x02" + _field(0x0A, b"nuclei") + bytes(features) + _field(0x1A, b"v")
    for value in different.tolist():
        layer += _field(0x22, b"\x28" + _varint(value))
    return _field(0x1A, layer + b"\x28" + _varint(EXTENT))


def _wound_right(
    points: npt.NDArray[np.int64], ring_starts: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Open rings of positive area (y down), as the format wants outer rings, and their lengths."""
    lengths = np.diff(ring_starts)
    cross = points[:-1, 0] * points[1:, 1] - points[1:, 0] * points[:-1, 1]
    cross = np.append(cross, 0)
    cross[ring_starts[1:] - 1] = 0  # from the end of a ring to the begin of the next
    is_turned = np.add.reduceat(cross, ring_starts[:-1]) < 0
    n_open = lengths - 1
    ring_of = np.repeat(np.arange(len(lengths)), n_open)
    starts = np.concatenate([[0], np.cumsum(n_open)])[:-1]
    place = np.arange(len(ring_of)) - starts[ring_of]
    place = np.where(is_turned[ring_of], n_open[ring_of] - 1 - place, place)
    return points[ring_starts[:-1][ring_of] + place], n_open


def _geometry(
    points: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]
) -> tuple[bytes, npt.NDArray[np.int64]]:
    """Drawing commands of all rings, and where each ring's bytes end."""
    ring_of = np.repeat(np.arange(len(lengths)), lengths)
    first_point = np.concatenate([[0], np.cumsum(lengths)])[:-1]
    steps = np.diff(points, axis=0, prepend=0)
    steps[first_point] = points[first_point]  # every feature begins at the tile's corner
    n_commands = 2 * lengths + 3
    ends = np.cumsum(n_commands)
    begins = ends - n_commands
    commands = np.empty(ends[-1], np.int64)
    place = np.arange(len(points)) - first_point[ring_of]
    at = begins[ring_of] + np.where(place == 0, 1, 2 + 2 * place)
    zigzag = (steps << 1) ^ (steps >> 63)
    commands[at], commands[at + 1] = zigzag[:, 0], zigzag[:, 1]
    commands[begins] = _MOVE
    commands[begins + 3] = ((lengths - 1) << 3) | 2
    commands[ends - 1] = _CLOSE
    encoded, offsets = _varints(commands)
    return encoded, offsets[ends]


def _varints(numbers: npt.NDArray[np.int64]) -> tuple[bytes, npt.NDArray[np.int64]]:
    """All numbers below 2**35 in seven bits a byte, and ``(N + 1,)`` where each begins."""
    sizes = np.ones(len(numbers), np.int64)
    for bits in (7, 14, 21, 28):
        sizes += numbers >= 1 << bits
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    content = np.empty(offsets[-1], np.uint8)
    for k in range(int(sizes.max())):
        has = sizes > k
        more = (sizes[has] > k + 1).astype(np.int64) << 7
        content[offsets[:-1][has] + k] = (numbers[has] >> 7 * k) & 127 | more
    return content.tobytes(), offsets


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def _field(tag: int, content: bytes) -> bytes:
    return bytes([tag]) + _varint(len(content)) + content
