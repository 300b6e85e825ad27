"""A slide with eight nuclei whose places are known, and two results of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from hoverfast_platform.files import file_sha256
from hoverfast_platform.geometry import Mpp
from hoverfast_platform.mask.findings import Finding
from hoverfast_platform.mask.mask_file import mask_record, write_mask
from hoverfast_platform.mask.tissue_mask import TissueMask
from hoverfast_platform.nuclei.nucleus import Nuclei
from hoverfast_platform.slide.digest import slide_digest
from hoverfast_platform.storage.nuclei_table import write_nuclei_table
from hoverfast_platform.storage.publish import MASK, SUMMARY, TABLE
from hoverfast_platform.storage.summary import Distribution, Seams, SegmentationSummary
from tests.builders import NAMESPACE, provenance, write_slide

WIDTH, HEIGHT = 1200, 800
LONE, PALE, LEFT_OF_PAIR, RIGHT_OF_PAIR, LONG, FAR, TWIN, BESIDE_FAR = range(8)
CENTRES = np.array(
    [
        *([200, 200], [390, 200], [600, 400], [636, 400]),
        *([300, 600], [1000, 650], [900, 150], [1080, 580]),
    ],
    float,
)
AXES = np.array(
    [[20, 15], [18, 18], [18, 14], [18, 14], [40, 14], [20, 20], [20, 14], [16, 16]], float
)


@dataclass(frozen=True)
class Exhibition:
    """Where the slide and its results lie.

    Attributes:
        slide: The file.
        results: Folder of both results, ``first`` and ``second``.
    """

    slide: Path
    results: Path


def write_exhibition(folder: Path, *, name: str = "skin.tiff") -> Exhibition:
    """Write the slide and two results; the second lacks a nucleus and has another's shifted."""
    slide = write_slide(folder / "slides" / name, _pixels(), mpp=0.25)
    results = folder / "results"
    _write_result(results / "first", slide, "cross-organ", CENTRES, AXES)
    _write_mask(results / "first" / f"{slide.stem}{MASK}", slide)
    also = [LONE, PALE, LEFT_OF_PAIR, RIGHT_OF_PAIR, LONG, TWIN, BESIDE_FAR]
    moved = CENTRES[also] + [[0, 60 if number == LONE else 0] for number in also]
    _write_result(results / "second", slide, "lean", moved, AXES[also])
    return Exhibition(slide, results)


def _pixels() -> np.ndarray:
    rng = np.random.default_rng(0)
    rgb = np.full((HEIGHT, WIDTH, 3), (232, 190, 214), np.float64)
    rgb += cv2.GaussianBlur(rng.normal(0, 60, (HEIGHT, WIDTH, 1)), (0, 0), 6)[..., None]
    for centre, axes in zip(CENTRES, AXES, strict=True):
        at, size = tuple(map(int, centre)), tuple(map(int, axes))
        cv2.ellipse(rgb, at, size, 0, 0, 360, (110, 60, 140), -1, cv2.LINE_AA)
    return np.clip(rgb, 0, 255).astype(np.uint8)


def _write_mask(path: Path, slide: Path) -> None:
    """Of 12 x 8 pixels: a column of glass, and of ink that costs a twelfth of the slide."""
    is_tissue, findings = np.ones((8, 12), np.bool_), np.zeros((8, 12), np.uint8)
    is_tissue[:, 10:] = False
    findings[:, 10] = Finding.PEN
    mask = TissueMask(is_tissue, WIDTH, HEIGHT, Mpp(0.25, 0.25), "builtin", findings=findings)
    write_mask(path, mask, mask_record(mask, slide.name, slide_digest(slide)))


def ellipses(centres: np.ndarray, axes: np.ndarray) -> Nuclei:
    """Outlines of 24 corners."""
    angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    rings = (centres[:, None] + axes[:, None] * circle).round(1)
    closed = np.concatenate([rings, rings[:, :1]], axis=1)
    n = len(centres)
    area = np.pi * axes.prod(axis=1) * 0.25**2
    return Nuclei(
        centroid_xy=centres,
        vertices_xy=closed.reshape(-1, 2),
        ring_starts=25 * np.arange(n + 1, dtype=np.int64),
        tile_index=np.zeros(n, np.int32),
        decimals=1,
        measurements={
            "area_um2": area.astype(np.float32),
            "confidence": np.linspace(0.55, 0.95, n, dtype=np.float32),
        },
    )


def _write_result(
    folder: Path, slide: Path, model: str, centres: np.ndarray, axes: np.ndarray
) -> None:
    folder.mkdir(parents=True)
    nuclei = ellipses(centres, axes)
    table = folder / f"{slide.stem}{TABLE}"
    write_nuclei_table(table, [nuclei], list(nuclei.measurements), metadata={}, namespace=NAMESPACE)
    made_from = provenance(
        f"seg-{model}-0123456789",
        slide={"sha256": slide_digest(slide), "width_px": WIDTH, "height_px": HEIGHT},
        model={"name": model},
    ).model_copy(update={"settings": {"tiling": {"tile_size_px": 512}}})
    SegmentationSummary(
        provenance=made_from,
        n_nuclei=len(nuclei),
        tissue_area_mm2=0.06,
        tissue_fraction=1.0,
        nuclei_per_mm2=len(nuclei) / 0.06,
        distributions={
            name: distribution
            for name, values in nuclei.measurements.items()
            if (distribution := Distribution.of(values))
        },
        n_tiles=6,
        seams=Seams(n_near_seams=1, n_duplicates=0, density_ratio=1.02),
        finished_at="2026-01-01T00:00:00+00:00",
        files={table.name: file_sha256(table)},
    ).write(folder / f"{slide.stem}{SUMMARY}")
