"""Nuclei from GeoJSON that others wrote, brought to the rules of ours."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import shapely

from hoverfast_platform.errors import StorageError
from hoverfast_platform.geometry import Mpp
from hoverfast_platform.nuclei.contours import COORDINATE_DECIMALS, repaired_polygons
from hoverfast_platform.nuclei.measurements import measure_polygons
from hoverfast_platform.nuclei.nucleus import MEASUREMENTS, Nuclei
from hoverfast_platform.storage.foreign_outlines import ForeignOutlines


@dataclass(frozen=True)
class ImportedNuclei:
    """Nuclei of a file, and what became of the rest of it.

    Attributes:
        nuclei: Rounded, valid, measured where a scale is known.
        n_dropped: Outlines of which no valid polygon could be made.
        notes: What else was left out, for people.
        class_names: ``(N,)`` each nucleus's class in the file; empty where it has none.
    """

    nuclei: Nuclei
    n_dropped: int
    notes: tuple[str, ...]
    class_names: npt.NDArray[np.object_]


def import_nuclei(
    outlines: ForeignOutlines, mpp: Mpp | None, *, is_ours: bool = False
) -> ImportedNuclei:
    """Outlines of others as nuclei; holes are filled, and annotations around nuclei left out.

    Measurements of a file of ours are kept as they are. Those of other files are not, because
    other programs mean other things by the same names.

    Args:
        outlines: Outlines of the published HoverFast, QuPath, another tool, or ours.
        mpp: Micrometres per pixel of its coordinates; without it only ``solidity`` is measured.
        is_ours: Whether all of it are nuclei for certain.

    Raises:
        StorageError: If nothing in the file is a nucleus, or they are far too small at this scale.
    """
    pixel_um2 = mpp.pixel_area_um2 if mpp is not None else None
    kept = outlines if is_ours else outlines.without_regions(pixel_um2)
    kept.refuse_if_none()
    if mpp is not None and not is_ours and (misfit := kept.misfit(mpp.mean, None)):
        raise StorageError(
            f"{kept.path}: {misfit}.", "Export in pixels, or give the scale of its coordinates."
        )
    is_valid, nuclei = _valid_nuclei(kept, mpp)
    if is_ours:
        nuclei = _with_stated(nuclei, kept.measured[is_valid])
    classes = kept.class_names[is_valid]
    return ImportedNuclei(nuclei, len(kept) - len(nuclei), kept.notes(), classes)


def _with_stated(nuclei: Nuclei, stated: npt.NDArray[np.float32]) -> Nuclei:
    """The nuclei with what their file says of them, columns in the usual order."""
    is_stated = [bool(np.isfinite(column).any()) for column in stated.T]
    columns = {
        m.column: stated[:, i] if is_stated[i] else nuclei.measurements[m.column]
        for i, m in enumerate(MEASUREMENTS)
        if is_stated[i] or m.column in nuclei.measurements
    }
    return replace(nuclei, measurements=columns)


def _valid_nuclei(
    outlines: ForeignOutlines, mpp: Mpp | None
) -> tuple[npt.NDArray[np.bool_], Nuclei]:
    filled = shapely.polygons(shapely.get_exterior_ring(outlines.polygons))
    rounded = shapely.transform(filled, lambda xy: np.round(xy, COORDINATE_DECIMALS))
    valid = repaired_polygons(shapely.remove_repeated_points(rounded))
    is_valid = np.asarray(~shapely.is_empty(valid), np.bool_).reshape(len(valid))
    kept = shapely.orient_polygons(valid[is_valid], exterior_cw=False)
    vertices, ring_of = shapely.get_coordinates(shapely.get_exterior_ring(kept), return_index=True)
    lengths = np.bincount(ring_of, minlength=len(kept))
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    nuclei = Nuclei(
        centroid_xy=shapely.get_coordinates(shapely.centroid(kept)),
        vertices_xy=vertices,
        ring_starts=starts,
        tile_index=np.zeros(len(kept), np.int32),
        decimals=COORDINATE_DECIMALS,
        measurements=_measured(kept, vertices, starts, mpp),
    )
    return is_valid, nuclei


def _measured(
    polygons: npt.NDArray[np.object_],
    vertices: npt.NDArray[np.float64],
    starts: npt.NDArray[np.int64],
    mpp: Mpp | None,
) -> dict[str, npt.NDArray[np.float32]]:
    if mpp is None:
        return {"solidity": measure_polygons(vertices, starts, Mpp(1, 1))["solidity"]}
    area_um2 = shapely.area(polygons) * mpp.pixel_area_um2
    shape = measure_polygons(vertices, starts, mpp)
    return {
        "area_um2": area_um2.astype(np.float32),
        "perimeter_um": shape["perimeter_um"],
        "equivalent_diameter_um": np.sqrt(4 / np.pi * area_um2).astype(np.float32),
        "solidity": shape["solidity"],
    }
