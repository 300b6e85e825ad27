"""Crowd nuclei as glands and tumours do; needs the labels to do it.

Labels of H&E show few nuclei that touch, and hardly any columnar epithelium, where they stand in
rows. A student learns to tell them apart from copies that are set down beside others (copy-paste,
Ghiasi et al., CVPR 2021; rows are ours).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
from scipy.ndimage import find_objects

from hoverfast_platform.arrays import InstanceMap, RgbImage
from hoverfast_platform.storage.patch_table import split_into_pieces

_MARGIN_PX = 3
"""Around a nucleus that is copied, for its soft edge."""

_MAX_SCATTERED = 10
_MIN_ROW, _MAX_ROW = 4, 14
"""Nuclei of one row."""

_MAX_MODELS_OF_ROW = 3
"""Nuclei that a row's are copies of: those of a gland look alike."""

_SMALLEST_DONOR_PX = 20
"""Less is a speck, or what others pasted over it have left."""

_MAX_COVERED = 0.4
"""Of a nucleus that another is pasted over; more, and nobody could tell it from the picture."""

Window = tuple[slice, slice]
"""Rows and columns."""


class _Cutout(NamedTuple):
    """A nucleus with a margin: ``pixels`` ``(h, w, 3)`` float32, ``shape`` ``(h, w)``, 0 or 1."""

    pixels: npt.NDArray[np.float32]
    shape: npt.NDArray[np.float32]


class _Ellipse(NamedTuple):
    """With the same second moments as a nucleus: axes in pixels, the long one's direction."""

    length: float
    width: float
    angle: float


def crowd(
    image: RgbImage, instance_map: InstanceMap, rng: np.random.Generator
) -> tuple[RgbImage, InstanceMap]:
    """Copies of nuclei, turned and stretched, that touch or overlap others.

    Half of the time one by one beside nuclei that are there, else as a row or two of neighbours,
    long axes abreast.

    Args:
        image: ``(H, W, 3)`` uint8.
        instance_map: ``(H, W)``.
        rng: Decides which, how many and where.

    Returns:
        Copies of both, of the same sizes; nuclei are numbered anew. As they were where every
        nucleus is cut by the edge.
    """
    image, instance_map = image.copy(), instance_map.copy()
    donors = [
        _cut_out(image, instance_map, number, box) for number, box in _whole_nuclei(instance_map)
    ]
    donors = [donor for donor in donors if donor.shape.sum() >= _SMALLEST_DONOR_PX]
    if not donors:
        return image, instance_map
    if rng.random() < 0.5:
        for _ in range(int(rng.integers(1, _MAX_SCATTERED + 1))):
            _paste_beside(image, instance_map, donors[rng.integers(len(donors))], rng)
    else:
        for _ in range(int(rng.integers(1, 3))):
            _paste_row(image, instance_map, donors, rng)
    return image, split_into_pieces(instance_map)


def _whole_nuclei(instance_map: InstanceMap) -> list[tuple[int, Window]]:
    """Number and bounding box of every nucleus that the image's edge does not cut."""
    height, width = instance_map.shape
    return [
        (number, box)
        for number, box in enumerate(find_objects(instance_map), start=1)
        if box is not None
        and box[0].start > 0
        and box[1].start > 0
        and box[0].stop < height
        and box[1].stop < width
    ]


def _cut_out(image: RgbImage, instance_map: InstanceMap, number: int, box: Window) -> _Cutout:
    rows, columns = box
    window = np.s_[
        max(0, rows.start - _MARGIN_PX) : rows.stop + _MARGIN_PX,
        max(0, columns.start - _MARGIN_PX) : columns.stop + _MARGIN_PX,
    ]
    return _Cutout(
        image[window].astype(np.float32), (instance_map[window] == number).astype(np.float32)
    )


def _paste_beside(
    image: RgbImage, instance_map: InstanceMap, donor: _Cutout, rng: np.random.Generator
) -> None:
    """Set a copy down beside a random nucleus, in place; nothing where it would cover one."""
    copy = _stretched(donor, rng.uniform(0, 2 * np.pi), 1.0, 1.0, mirrored=rng.random() < 0.5)
    neighbours = np.unique(instance_map)
    neighbour = int(rng.choice(neighbours[neighbours > 0]))
    y, x = np.nonzero(instance_map == neighbour)
    reach = np.sqrt(copy.shape.sum() / np.pi) + np.sqrt(len(y) / np.pi)
    angle, distance = rng.uniform(0, 2 * np.pi), reach * rng.uniform(0.75, 1.1)
    _paste(
        image,
        instance_map,
        copy,
        y.mean() + distance * np.sin(angle),
        x.mean() + distance * np.cos(angle),
    )


def _paste_row(
    image: RgbImage, instance_map: InstanceMap, donors: list[_Cutout], rng: np.random.Generator
) -> None:
    """Set copies down side by side along an arc, in place, their long axes across it.

    Columnar epithelium: nuclei longer than wide, at different heights in their cells
    (pseudostratified), each touching or overlapping the next.
    """
    models = [donors[rng.integers(len(donors))] for _ in range(_MAX_MODELS_OF_ROW)]
    aspect, size = rng.uniform(1.1, 2.2), rng.uniform(0.9, 1.5)
    pitch, stagger = rng.uniform(0.7, 1.05), rng.uniform(0.0, 0.5)
    heading, bend = rng.uniform(0, 2 * np.pi), rng.normal(0, 0.08)
    y, x = rng.uniform((0, 0), instance_map.shape)
    for _ in range(int(rng.integers(_MIN_ROW, _MAX_ROW + 1))):
        model = models[rng.integers(len(models))]
        own = _ellipse_of(model)
        wanted = aspect * rng.uniform(0.85, 1.15)
        along = size * math.sqrt(wanted * own.width / own.length)
        across = size * math.sqrt(own.length / own.width / wanted)
        axis = heading + np.pi / 2 + rng.normal(0, 0.15)
        copy = _stretched(model, axis, along, across, mirrored=rng.random() < 0.5)
        aside = rng.uniform(-stagger, stagger) * own.length * along
        _paste(image, instance_map, copy, y + aside * np.sin(axis), x + aside * np.cos(axis))
        step = pitch * own.width * across
        y, x = y + step * np.sin(heading), x + step * np.cos(heading)
        heading += bend


def _ellipse_of(nucleus: _Cutout) -> _Ellipse:
    y, x = np.nonzero(nucleus.shape)
    variances, directions = np.linalg.eigh(np.cov(np.stack([x, y])))
    width, length = 4.0 * np.sqrt(np.maximum(variances, 1 / 12))
    return _Ellipse(float(length), float(width), math.atan2(directions[1, 1], directions[0, 1]))


def _stretched(
    nucleus: _Cutout, angle: float, along: float, across: float, *, mirrored: bool
) -> _Cutout:
    """The nucleus with its long axis turned to ``angle`` and both axes stretched."""
    own = _ellipse_of(nucleus)
    scales = np.diag([along, -across if mirrored else across])
    matrix = _rotation(angle) @ scales @ _rotation(-own.angle)
    height, width = nucleus.shape.shape
    reach = np.abs(matrix) @ np.array([width, height])
    new_width, new_height = (math.ceil(side) for side in reach)
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    shift = np.array([(new_width - 1) / 2, (new_height - 1) / 2]) - matrix @ centre
    forward = np.column_stack([matrix, shift])
    size = (new_width, new_height)
    pixels = cv2.warpAffine(nucleus.pixels, forward, size, borderMode=cv2.BORDER_REPLICATE)
    shape = cv2.warpAffine(nucleus.shape, forward, size)
    return _Cutout(pixels.astype(np.float32), (shape >= 0.5).astype(np.float32))


def _rotation(angle: float) -> npt.NDArray[np.float64]:
    cos, sin = math.cos(angle), math.sin(angle)
    return np.array([[cos, -sin], [sin, cos]])


def _paste(
    image: RgbImage, instance_map: InstanceMap, nucleus: _Cutout, y: float, x: float
) -> None:
    """Set a nucleus down around a point, in place, with soft edges.

    Nothing where it would reach over the image's edge or hide another nucleus.
    """
    shape = nucleus.shape
    top, left = round(y - shape.shape[0] / 2), round(x - shape.shape[1] / 2)
    height, width = instance_map.shape
    if top < 0 or left < 0 or top + shape.shape[0] > height or left + shape.shape[1] > width:
        return
    target = np.s_[top : top + shape.shape[0], left : left + shape.shape[1]]
    covered = np.bincount(instance_map[target][shape > 0], minlength=1)
    areas = np.bincount(instance_map.ravel(), minlength=len(covered))[: len(covered)]
    if (covered[1:] > _MAX_COVERED * areas[1:]).any():
        return
    alpha = cv2.GaussianBlur(shape, (0, 0), 1.0)[..., None]
    image[target] = (alpha * nucleus.pixels + (1 - alpha) * image[target]).round().astype(np.uint8)
    instance_map[target][shape > 0] = instance_map.max() + 1
