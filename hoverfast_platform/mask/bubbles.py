"""Air and mounting medium under the cover slip: round bubbles, and films that reach onto glass.

Both are seen by what is grey: H&E is not. A bubble without a rim, or cut by the tissue's own
dark borders, looks like tissue.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from hoverfast_platform.arrays import TissuePixels
from hoverfast_platform.config import ArtefactDetection
from hoverfast_platform.mask.low_resolution import LowResolution
from hoverfast_platform.mask.shapes import opened, without_small

_GREY = 0.3
"""Colourfulness below which a line may be a bubble's rim, also where it lies on tissue."""

_RIM_DENSITY = 0.04
"""How much denser a rim is than what lies on both sides of it."""

_MAX_RIM_UM = 130.0
_RADII_UM = (100.0, 4_000.0)
_N_SECTORS = 72


@dataclass(frozen=True)
class Bubbles:
    """Round bubbles; ``(H, W)`` each.

    Attributes:
        inside: Their discs.
        rims: The grey lines around them; no tissue.
    """

    inside: TissuePixels
    rims: TissuePixels


def find_bubbles(low: LowResolution, ink: TissuePixels, detection: ArtefactDetection) -> Bubbles:
    """Round bubbles of air: a thin grey line that closes to a circle.

    A circle is laid through each piece of grey line. It is a bubble if enough of it is such a
    line, on tissue or on glass: a hair has no other half. Grey is what has less than half of the
    colour of this slide's tissue: silver stains have grey circles of their own.

    Args:
        low: The slide.
        ink: Ink of markers, whose strokes have thin grey rims too.
        detection: How much of the circle has to be there.
    """
    density = low.optical_density(blur_um=8).mean(axis=2)
    colourfulness = low.colourfulness(blur_um=8)
    absorbs = (density > _RIM_DENSITY) & ~ink
    usual = float(np.median(colourfulness[absorbs])) if absorbs.any() else 0.0
    is_grey = colourfulness < min(_GREY, usual / 2)
    disk = cv2.getStructuringElement(
        cv2.MORPH_ELLIPSE, (2 * max(1, round(low.px(_MAX_RIM_UM / 2))) + 1,) * 2
    )
    thin = density - cv2.morphologyEx(density, cv2.MORPH_OPEN, disk) > _RIM_DENSITY
    lines = thin & is_grey & ~ink
    inside = np.zeros(low.shape, dtype=np.uint8)
    rims = np.zeros(low.shape, dtype=np.bool_)
    _, labels, statistics, _ = cv2.connectedComponentsWithStats(
        lines.view(np.uint8), connectivity=8
    )
    sides = statistics[1:, cv2.CC_STAT_WIDTH : cv2.CC_STAT_HEIGHT + 1].max(axis=1)
    all_xy = np.argwhere(lines)[:, ::-1].astype(np.float64)
    label_of = labels[lines]
    for i in np.flatnonzero(sides >= low.px(2 * _RADII_UM[0])) + 1:
        circle = _circle_through(all_xy[label_of == i])
        if not low.px(_RADII_UM[0]) <= circle.radius <= low.px(_RADII_UM[1]):
            continue
        width = max(1.5, 0.05 * circle.radius)
        offset = all_xy - (circle.x, circle.y)
        on_rim = np.abs(np.hypot(*offset.T) - circle.radius) <= width
        sectors = np.arctan2(*offset[on_rim].T) / (2 * np.pi) * _N_SECTORS
        if len(np.unique(np.floor(sectors))) < detection.min_bubble_rim * _N_SECTORS:
            continue
        centre = (round(circle.x), round(circle.y))
        cv2.circle(inside, centre, round(circle.radius), 1, thickness=-1)
        ring = cv2.circle(
            np.zeros_like(inside), centre, round(circle.radius), 1, thickness=2 * round(width) + 3
        )
        rims |= ring.view(np.bool_) & is_grey
    return Bubbles(inside.view(np.bool_), rims)


@dataclass(frozen=True)
class _Circle:
    x: float
    y: float
    radius: float


def _circle_through(xy: npt.NDArray[np.float64]) -> _Circle:
    """The circle nearest to points ``(N, 2)`` by the squares of its equation."""
    equations = np.column_stack([2 * xy, np.ones(len(xy))])
    (x, y, rest), *_ = np.linalg.lstsq(equations, (xy**2).sum(axis=1), rcond=None)
    return _Circle(float(x), float(y), float(np.sqrt(max(0.0, rest + x * x + y * y))))


def find_film(
    low: LowResolution, tissue: TissuePixels, detection: ArtefactDetection
) -> TissuePixels:
    """Tissue under air or mounting medium: inside the hull of a flat grey film on the glass.

    Only films that reach onto glass are seen, and of those only the part inside their convex
    hull; a bubble wholly over tissue looks like tissue.
    """
    density = low.optical_density(blur_um=16).mean(axis=2)
    chroma = low.rgb.max(axis=2).astype(np.int16) - low.rgb.min(axis=2)
    grey_of_glass = float(low.glass.max() - low.glass.min())
    film = (density > 0.008) & (density < 0.1) & (chroma < grey_of_glass + 8) & ~tissue
    film = opened(film & (low.fine_texture < 0.01), low.px(40))
    film = without_small(film, low.area_px(detection.min_film_area_um2))
    hulls = np.zeros(low.shape, dtype=np.uint8)
    contours, _ = cv2.findContours(film.view(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    for contour in contours:
        cv2.fillConvexPoly(hulls, cv2.convexHull(contour), 1)
    return hulls.view(np.bool_) & tissue
