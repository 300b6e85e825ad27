"""Pictures in an asset's metadata, inline, so that nobody has to leave the UI."""

from __future__ import annotations

import base64

import dagster as dg

from hoverfast_platform.arrays import RgbImage
from hoverfast_platform.storage.previews import encode_jpeg

_MAX_BYTES = 60_000
"""They are stored with every event."""


def inline_picture(rgb: RgbImage, title: str) -> dg.MarkdownMetadataValue:
    """A small JPEG that the UI shows behind 'Show Markdown'."""
    jpeg = encode_jpeg(rgb, max_side_px=512, max_bytes=_MAX_BYTES)
    return dg.MetadataValue.md(
        f"![{title}](data:image/jpeg;base64,{base64.b64encode(jpeg).decode()})"
    )
