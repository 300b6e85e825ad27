"""Vary nuclei against their surroundings, as other organs would; needs the labels to do it.

Colour augmentation changes a whole image alike. What differs between organs is local: epithelium
has purple cytoplasm around pale nuclei, tumours have vesicular ones, glands crowd them. A student
that learned from few organs misses what none of them showed (domain randomisation, Tobin et al.,
IROS 2017; copy-paste, Ghiasi et al., CVPR 2021).
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
from scipy.ndimage import find_objects

from hoverfast_platform.arrays import InstanceMap, RgbImage
from hoverfast_platform.nuclei.stains import HEMATOXYLIN
from hoverfast_platform.storage.patch_table import split_into_pieces

OD_OF_BYTE = -np.log((np.arange(256, dtype=np.float32) + 1.0) / 256.0)
"""Optical density (base e) of each byte; black stays finite."""

_HEMATOXYLIN_OD = np.array(HEMATOXYLIN, dtype=np.float32)

_SMALLEST_CONTRAST_OD = 0.08
"""Nuclei stay so much denser in red than what is around them, or they were none."""

_EDGE_SIGMA_PX = 1.2
_RIM_PX = 2.5
"""What stays dark of a vesicular nucleus."""

_MARGIN_PX = 3
"""Around a nucleus that is copied, for its soft edge."""

_MAX_PASTED = 10
_SMALLEST_DONOR_PX = 20
"""Less is a speck, or what others pasted over it have left."""

_MAX_COVERED = 0.4
"""Of a nucleus that another is pasted over; more, and nobody could tell it from the picture."""

DensityImage = npt.NDArray[np.float32]
"""Optical density, ``(H, W, 3)``."""

Window = tuple[slice, slice]
"""Rows and columns."""


def vary_contrast(image: RgbImage, instance_map: InstanceMap, rng: np.random.Generator) -> RgbImage:
    """Paler, darker and vesicular nuclei in more or less purple surroundings.

    Args:
        image: ``(H, W, 3)`` uint8.
        instance_map: ``(H, W)``.
        rng: Decides how much of each.

    Returns:
        A varied copy. Nuclei that were denser in red than the tissue around them, on the average,
        stay so: where they would not, half of the change is taken back, up to twice, then all.
    """
    nuclei = instance_map > 0
    if not nuclei.any() or nuclei.all():
        return image
    density = OD_OF_BYTE[image]
    change = _density_of_nuclei(instance_map, rng) * density - density
    change += _stained_surroundings(density, nuclei, rng)
    before = _contrast(density, nuclei)
    for share in (1.0, 0.5, 0.25):
        varied = density + share * change
        if _contrast(varied, nuclei) >= min(before, _SMALLEST_CONTRAST_OD):
            return _to_rgb(varied)
    return image


def crowd(
    image: RgbImage, instance_map: InstanceMap, rng: np.random.Generator
) -> tuple[RgbImage, InstanceMap]:
    """Copies of nuclei, turned, set down so that they touch or overlap others.

    Args:
        image: ``(H, W, 3)`` uint8.
        instance_map: ``(H, W)``.
        rng: Decides which, how many and where.

    Returns:
        Copies of both, of the same sizes; nuclei are numbered anew. As they were where every
        nucleus is cut by the edge.
    """
    image, instance_map = image.copy(), instance_map.copy()
    donors = _whole_nuclei(instance_map)
    if not donors:
        return image, instance_map
    for _ in range(int(rng.integers(1, _MAX_PASTED + 1))):
        _paste_beside(image, instance_map, donors[rng.integers(len(donors))], rng)
    return image, split_into_pieces(instance_map)


def _density_of_nuclei(
    instance_map: InstanceMap, rng: np.random.Generator
) -> npt.NDArray[np.float32]:
    """Factor of optical density, ``(H, W, 1)``: 1 outside nuclei, soft at their edges."""
    n = int(instance_map.max())
    factors = np.ones(n + 1, dtype=np.float32)
    factors[1:] = rng.uniform(0.6, 1.25) * rng.uniform(0.8, 1.2, n)
    field = factors[instance_map]
    if rng.random() < 0.5:
        field *= _vesicular(instance_map, rng)
    return cv2.GaussianBlur(field, (0, 0), _EDGE_SIGMA_PX).astype(np.float32)[..., None]


def _vesicular(instance_map: InstanceMap, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Factor that lightens the inside of some nuclei and leaves their rim."""
    n = int(instance_map.max())
    inside = np.ones(n + 1, dtype=np.float32)
    pale = rng.random(n) < rng.uniform(0.2, 0.9)
    inside[1:][pale] = rng.uniform(0.5, 0.9, int(pale.sum()))
    depth = cv2.distanceTransform((instance_map > 0).astype(np.uint8), cv2.DIST_L2, 3)
    return np.where(depth > _RIM_PX, inside[instance_map], np.float32(1.0))


def _stained_surroundings(
    density: DensityImage, nuclei: npt.NDArray[np.bool_], rng: np.random.Generator
) -> DensityImage:
    """What to add to density outside nuclei: a factor, and patches of haematoxylin in tissue."""
    height, width = nuclei.shape
    outside = 1.0 - cv2.GaussianBlur(nuclei.astype(np.float32), (0, 0), _EDGE_SIGMA_PX)
    coarse = rng.random((6, 6)).astype(np.float32)
    patches = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).clip(0, 1)
    tissue = (density.mean(axis=2) / 0.25).clip(0, 1)
    purple = rng.uniform(0, 0.35) * patches * tissue * outside
    factor = np.float32(rng.uniform(0.8, 1.35) - 1.0)
    added: DensityImage = (
        density * (factor * outside)[..., None] + purple[..., None] * _HEMATOXYLIN_OD
    )
    return added


def _contrast(density: DensityImage, nuclei: npt.NDArray[np.bool_]) -> float:
    """How much denser nuclei are in red than the tissue around them."""
    red = density[..., 0]
    around = ~nuclei & (density.mean(axis=2) > 0.1)
    return float(red[nuclei].mean() - red[around].mean()) if around.any() else 1.0


def _to_rgb(density: DensityImage) -> RgbImage:
    return np.clip(256.0 * np.exp(-density) - 0.5, 0, 255).astype(np.uint8)


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


def _paste_beside(
    image: RgbImage,
    instance_map: InstanceMap,
    donor: tuple[int, Window],
    rng: np.random.Generator,
) -> None:
    """Set a copy of a nucleus down beside a random one, in place; nothing where it covers it."""
    number, (rows, columns) = donor
    window = np.s_[
        max(0, rows.start - _MARGIN_PX) : rows.stop + _MARGIN_PX,
        max(0, columns.start - _MARGIN_PX) : columns.stop + _MARGIN_PX,
    ]
    shape = (instance_map[window] == number).astype(np.float32)
    pixels = image[window].astype(np.float32)
    turns, flip = int(rng.integers(4)), bool(rng.random() < 0.5)
    shape, pixels = np.rot90(shape, turns), np.rot90(pixels, turns)
    if flip:
        shape, pixels = shape[:, ::-1], pixels[:, ::-1]
    shape = np.ascontiguousarray(shape)
    if shape.sum() < _SMALLEST_DONOR_PX:
        return
    neighbours = np.unique(instance_map)
    neighbour = int(rng.choice(neighbours[neighbours > 0]))
    ny, nx = np.nonzero(instance_map == neighbour)
    reach = np.sqrt(shape.sum() / np.pi) + np.sqrt(len(ny) / np.pi)
    angle, distance = rng.uniform(0, 2 * np.pi), reach * rng.uniform(0.75, 1.1)
    top = round(ny.mean() + distance * np.sin(angle) - shape.shape[0] / 2)
    left = round(nx.mean() + distance * np.cos(angle) - shape.shape[1] / 2)
    height, width = instance_map.shape
    if top < 0 or left < 0 or top + shape.shape[0] > height or left + shape.shape[1] > width:
        return
    target = np.s_[top : top + shape.shape[0], left : left + shape.shape[1]]
    covered = np.bincount(instance_map[target][shape > 0], minlength=1)
    areas = np.bincount(instance_map.ravel(), minlength=len(covered))[: len(covered)]
    if (covered[1:] > _MAX_COVERED * areas[1:]).any():
        return
    alpha = cv2.GaussianBlur(shape, (0, 0), 1.0)[..., None]
    image[target] = (alpha * pixels + (1 - alpha) * image[target]).round().astype(np.uint8)
    instance_map[target][shape > 0] = instance_map.max() + 1
