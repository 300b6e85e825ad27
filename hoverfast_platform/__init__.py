"""Finds every cell nucleus in H&E whole slide images, fast.

The engine: knows no Dagster, usable from Python and the command line. Importing it is
cheap; what needs torch is imported on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hoverfast_platform.version import __version__

if TYPE_CHECKING:
    from hoverfast_platform.inference.segment_image import SegmentedImage, segment_image
    from hoverfast_platform.inference.segment_slide import SegmentedSlide, segment_slide

__all__ = ["SegmentedImage", "SegmentedSlide", "__version__", "segment_image", "segment_slide"]

_HOME = {
    "SegmentedImage": "hoverfast_platform.inference.segment_image",
    "segment_image": "hoverfast_platform.inference.segment_image",
    "SegmentedSlide": "hoverfast_platform.inference.segment_slide",
    "segment_slide": "hoverfast_platform.inference.segment_slide",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOME[name]), name)
