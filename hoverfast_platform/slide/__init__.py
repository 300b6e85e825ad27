"""Pixels in: opening slides, what is known about them, and reading at a wanted mpp.

Nothing here knows of tissue, networks or nuclei.
"""

from hoverfast_platform.slide.open import open_slide
from hoverfast_platform.slide.reader import SlideInfo, SlideReader

__all__ = ["SlideInfo", "SlideReader", "open_slide"]
