"""Which value is white in pixels of more than 8 bits, where the file does not say it.

Cameras of 10, 12 and 14 bits are kept in 16, so that the range of the type says nothing.
"""

from __future__ import annotations

import math

_STEPS = {"u": (255.0, 1023.0, 4095.0, 16383.0, 65535.0), "f": (1.0, 255.0)}


def white_level(kind: str, brightest: float) -> float | None:
    """The smallest usual range that holds the brightest value.

    Args:
        kind: ``u`` for whole numbers, ``f`` for floating point.
        brightest: Brightest value of the pixels, or of many of them.

    Returns:
        None if no usual range holds it.
    """
    if not math.isfinite(brightest):
        return None
    return next((step for step in _STEPS[kind] if brightest <= step), None)
