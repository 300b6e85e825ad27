"""Pictures in an asset's metadata, inline, so that nobody has to leave the UI."""

from __future__ import annotations

import base64

import dagster as dg

from hoverfast_platform.arrays import RgbImage
from hoverfast_platform.storage.previews import encode_webp
from hoverfast_platform.texts import markdown

_MAX_BYTES = 30_000
"""They are stored with every event, and are most of what is: a WebP of that size looks like a
JPEG of twice as many bytes."""


def inline_picture(rgb: RgbImage, title: str, legend: str = "") -> dg.MarkdownMetadataValue:
    """A small picture that the UI shows behind 'Show Markdown', and below it what it shows."""
    webp = encode_webp(rgb, max_side_px=512, max_bytes=_MAX_BYTES)
    return dg.MetadataValue.md(
        f"![{markdown(title)}](data:image/webp;base64,{base64.b64encode(webp).decode()})"
        + (f"\n\n**{markdown(title)}**: {legend}" if legend else "")
    )


def inline_drawing(svg: str, title: str) -> dg.MarkdownMetadataValue:
    """A drawing that the UI shows likewise; as an image nothing in it is run."""
    coded = base64.b64encode(svg.encode()).decode()
    return dg.MetadataValue.md(f"![{markdown(title)}](data:image/svg+xml;base64,{coded})")
