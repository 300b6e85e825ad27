"""How large something may become when it is read: a small file must not fill the memory.

Slides need none of this, they are read region by region.
"""

from __future__ import annotations

import gzip
import json
import zlib
from pathlib import Path
from typing import Any, BinaryIO, cast

MAX_FLAT_PIXELS = 178_956_970
"""Of an image read as a whole; where Pillow, too, takes a file for a decompression bomb."""

_MAX_EXPANSION = 100
"""Bytes of JSON per byte of gzip. Outlines of nuclei have 3 to 10; a bomb has 1,000."""
_ALWAYS_BYTES = 256 << 20
_CHUNK_BYTES = 16 << 20


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


def read_json(path: Path) -> Any:
    """What a ``.json`` or gzip file holds, if it is no larger than such files are.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is damaged, no JSON, nested beyond reason, or expands beyond reason.
    """
    limit = max(_ALWAYS_BYTES, _MAX_EXPANSION * path.stat().st_size)
    try:
        with path.open("rb") as raw:
            if path.suffix == ".gz":
                with gzip.open(raw, "rb") as file:
                    text = _read_bounded(cast("BinaryIO", file), limit)
            else:
                text = _read_bounded(raw, limit)
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except (EOFError, zlib.error) as error:
        raise ValueError(f"it is damaged: {error}") from error


def _read_bounded(file: BinaryIO, limit: int) -> bytes:
    parts: list[bytes] = []
    n_bytes = 0
    while part := file.read(_CHUNK_BYTES):
        n_bytes += len(part)
        if n_bytes > limit:
            raise ValueError(f"it expands to more than {limit / 1e6:,.0f} MB")
        parts.append(part)
    return b"".join(parts)
