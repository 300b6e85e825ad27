"""Nuclei from GeoJSON that others wrote, brought to the rules of ours."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely

from hoverfast_platform.errors import StorageError
from hoverfast_platform.geometry import Mpp
from hoverfast_platform.nuclei.contours import COORDINATE_DECIMALS, repaired_polygons
from hoverfast_platform.nuclei.measurements import measure_polygons
from hoverfast_platform.nuclei.nucleus import Nuclei
from hoverfast_platform.storage.geojson_reading import Feature, GeoJsonFile


def read_imported_nuclei(path: Path, mpp: Mpp | None) -> tuple[Nuclei, int]:
    """Polygons of a GeoJSON file as nuclei: rounded, valid, measured where a scale is known.

    Cells give their nucleus, multipolygons one nucleus per part; holes are filled.

    Args:
        path: Of the published HoverFast, QuPath, or ours; gzip if it ends in ``.gz``.
        mpp: Micrometres per pixel of its coordinates; without it only ``solidity`` is measured.

    Returns:
        The nuclei, and how many were dropped because no valid polygon could be made of them.

    Raises:
        StorageError: If it cannot be read, or holds something else than polygons.
    """
    polygons = np.array(list(_polygons(path)), dtype=np.object_)
    rounded = shapely.transform(polygons, lambda xy: np.round(xy, COORDINATE_DECIMALS))
    valid = repaired_polygons(shapely.remove_repeated_points(rounded))
    kept = shapely.orient_polygons(valid[~shapely.is_empty(valid)], exterior_cw=False)
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
    return nuclei, len(polygons) - len(kept)


def _polygons(path: Path) -> Iterator[shapely.Polygon]:
    for feature in GeoJsonFile(path):
        try:
            for rings in polygon_rings(feature):
                yield shapely.Polygon(rings[0])
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            raise StorageError(
                f"{path} holds something that is no polygon: {error!r}.",
                "Expected features with Polygon or MultiPolygon geometries.",
            ) from error


def polygon_rings(feature: Feature) -> list[list[Any]]:
    """Rings of each polygon of a feature; a cell's nucleus where it is given.

    Raises:
        ValueError: If it is a point or a line.
    """
    geometry = feature.get("nucleusGeometry") or feature["geometry"]
    if geometry["type"] == "Polygon":
        return [geometry["coordinates"]]
    if geometry["type"] == "MultiPolygon":
        return list(geometry["coordinates"])
    raise ValueError(f"a {geometry['type']}")


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
