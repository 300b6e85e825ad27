"""How large something may become when it is read: a small file must not fill the memory.

Slides need none of this, they are read region by region.
"""

from __future__ import annotations

MAX_FLAT_PIXELS = 178_956_970
"""Most pixels of an image read as a whole. Pillow, too, takes a larger file for a bomb."""

MAX_EXPANSION = 100
"""Bytes of JSON per byte of gzip. Outlines of nuclei have 3 to 10; a bomb has 1,000."""
ALWAYS_BYTES = 256 << 20
"""What any file may expand to."""

TABLE_BYTES = 32 << 20
"""A manifest or a list of masks of this size has half a million rows."""


def check_pixels(*shape: int) -> None:
    """Refuse an image by its header, before its pixels are read.

    Raises:
        ValueError: If it has too many.
    """
    n_pixels = 1
    for length in shape:
        n_pixels *= int(length)
    if n_pixels > MAX_FLAT_PIXELS:
        raise ValueError(f"its header announces {n_pixels:,} pixels, more than {MAX_FLAT_PIXELS:,}")
