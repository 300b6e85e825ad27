"""How many pixels a compressed tile says it has, before memory is taken for them.

A tile of some bytes may announce billions of pixels, and codecs believe it. Codecs that are told
how much to unpack (zstd, LZW, deflate) are not here; WebP cannot announce more than 16383 squared.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

_SIZE_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_ALONE = frozenset({0x01, *range(0xD0, 0xDA)})
_SEARCHED = 4096


def announced_pixels(data: bytes) -> int:
    """Pixels by the tile's own header; 0 where its form has none, or the header is cut off."""
    for start, size in _FORMS:
        if data.startswith(start):
            try:
                return size(data)
            except (struct.error, IndexError):
                return 0  # cut off: the codec says so
    return 0


def _png(data: bytes) -> int:
    width, height = struct.unpack_from(">II", data, 16)
    return int(width * height)


def _lerc(data: bytes) -> int:
    height, width = struct.unpack_from("<II", data, 14)
    return int(width * height)


def _jpeg(data: bytes) -> int:
    at = 2
    while data[at] == 0xFF:
        marker = data[at + 1]
        if marker in _SIZE_MARKERS:
            height, width = struct.unpack_from(">HH", data, at + 5)
            return int(width * height)
        at += 2 if marker in _ALONE else 2 + max(2, struct.unpack_from(">H", data, at + 2)[0])
    return 0


def _jpeg_2000(data: bytes) -> int:
    at = data.find(b"\xff\x4f\xff\x51", 0, _SEARCHED)
    if at < 0:
        return 0
    right, bottom, left, top = struct.unpack_from(">IIII", data, at + 8)
    return max(0, int(right - left)) * max(0, int(bottom - top))


def _jpeg_xr(data: bytes) -> int:
    (at,) = struct.unpack_from("<I", data, 4)
    (n_entries,) = struct.unpack_from("<H", data, at)
    entries = [struct.unpack_from("<HHII", data, at + 2 + 12 * i) for i in range(n_entries)]
    sides = {tag: value & 0xFFFF if kind == 3 else value for tag, kind, _, value in entries}
    return int(sides.get(0xBC80, 0) * sides.get(0xBC81, 0))


def _jpeg_xl(data: bytes) -> int:
    at = data.find(b"\xff\x0a", 0, _SEARCHED)
    if at < 0:
        return 0
    bits = _Bits(data[at + 2 : at + 14])
    is_small = bits.take(1)
    height = bits.side(is_small)
    ratio = bits.take(3)
    return height * (bits.side(is_small) if ratio == 0 else height * 2)  # ratios go to 2


class _Bits:
    """Numbers of few bits, the lowest first."""

    def __init__(self, data: bytes) -> None:
        self._left = int.from_bytes(data, "little")

    def take(self, n_bits: int) -> int:
        value = self._left & ((1 << n_bits) - 1)
        self._left >>= n_bits
        return value

    def side(self, is_small: int) -> int:
        """A width or a height as JPEG XL writes it."""
        if is_small:
            return 8 * (1 + self.take(5))
        return 1 + self.take((9, 13, 18, 30)[self.take(2)])


_FORMS: tuple[tuple[bytes, Callable[[bytes], int]], ...] = (
    (b"\xff\xd8", _jpeg),
    (b"\x89PNG\r\n\x1a\n", _png),
    (b"Lerc2 ", _lerc),
    (b"\xff\x4f\xff\x51", _jpeg_2000),
    (b"\0\0\0\x0cjP  ", _jpeg_2000),
    (b"II\xbc", _jpeg_xr),
    (b"\xff\x0a", _jpeg_xl),
    (b"\0\0\0\x0cJXL ", _jpeg_xl),
)
