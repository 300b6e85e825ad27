"""An RGB image in memory as a slide: ROIs, and tests that need no file."""

from __future__ import annotations

from typing import Self

import numpy as np

from hoverfast_platform.arrays import RgbImage
from hoverfast_platform.errors import ArrayContractError
from hoverfast_platform.geometry import Box, Mpp
from hoverfast_platform.slide.reader import SlideInfo


class ArrayReader:
    """One level, full frame; see :class:`hoverfast_platform.slide.SlideReader`.

    Args:
        rgb: ``(H, W, 3)`` uint8.
        mpp: Micrometres per pixel, the same in x and y.
        name: For messages and results.

    Raises:
        ArrayContractError: If ``rgb`` is not such an image.
    """

    def __init__(self, rgb: RgbImage, *, mpp: float, name: str = "image") -> None:
        if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8 or rgb.size == 0:
            raise ArrayContractError(
                f"{name}: expected a non-empty (H, W, 3) uint8 RGB image, got {rgb.dtype} of "
                f"shape {rgb.shape}.",
                "Convert it first, for instance with PIL's image.convert('RGB').",
            )
        self._rgb = rgb
        height, width = rgb.shape[:2]
        self.info = SlideInfo(
            name=name,
            vendor="array",
            width=width,
            height=height,
            mpp=Mpp(mpp, mpp),
            mpp_source="override",
            level_sizes=((width, height),),
        )

    def read_level(self, level: int, box: Box) -> RgbImage:
        """Pixels of ``box``; outside the image is white."""
        if level != 0:
            raise ArrayContractError(
                f"{self.info.name} has one level, level {level} was asked for."
            )
        out = np.full((box.height, box.width, 3), 255, dtype=np.uint8)
        part = box.clipped(Box.at_origin(width=self.info.width, height=self.info.height))
        if not part.is_empty:
            out[part.y0 - box.y0 : part.y1 - box.y0, part.x0 - box.x0 : part.x1 - box.x0] = (
                self._rgb[part.y0 : part.y1, part.x0 : part.x1]
            )
        return out

    def expect_readers(self, n_threads: int) -> None:
        """See ``SlideReader``. All pixels are in memory."""

    def close(self) -> None:
        """Nothing to release."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()
