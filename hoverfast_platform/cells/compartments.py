"""What is measured of a cell: nucleus, cytoplasm (the cell without its nucleus) and cell.

Shapes are those of the outlines. Stains are taken on the grid on which cells grow, for all three
compartments from the same pixels, in QuPath's optical density. Names are QuPath's.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hoverfast_platform.arrays import InstanceMap, RgbImage
from hoverfast_platform.cells.expansion import Piece
from hoverfast_platform.config import Stain
from hoverfast_platform.geometry import Mpp
from hoverfast_platform.nuclei.measurements import measure_polygons
from hoverfast_platform.nuclei.nucleus import Measurement, Nuclei
from hoverfast_platform.nuclei.pixel_sums import sum_shape_and_stains
from hoverfast_platform.nuclei.rings import enclosed_areas
from hoverfast_platform.stain import StainPair, density_by_byte

Columns = dict[str, npt.NDArray[np.float32]]

_COMPARTMENTS = ("nucleus", "cytoplasm", "cell")
_SHAPES: tuple[Measurement, ...] = (
    Measurement("nucleus_area_um2", "Nucleus: Area µm^2", "Area of the nucleus's outline."),
    Measurement("nucleus_perimeter_um", "Nucleus: Length µm", "Length of the nucleus's outline."),
    Measurement("nucleus_solidity", "Nucleus: Solidity", "Its area over that of its hull."),
    Measurement("cell_area_um2", "Cell: Area µm^2", "Area of the cell's outline."),
    Measurement("cell_perimeter_um", "Cell: Length µm", "Length of the cell's outline."),
    Measurement("cell_solidity", "Cell: Solidity", "Its area over that of its hull."),
    Measurement("cytoplasm_area_um2", "Cytoplasm: Area µm^2", "The cell without its nucleus."),
    Measurement("nucleus_cell_ratio", "Nucleus/Cell area ratio", "Area of nucleus over cell."),
)


def cell_measurements(stain: Stain | None) -> tuple[Measurement, ...]:
    """Everything that is measured of cells, in the order in which files list it.

    Args:
        stain: What the slide is stained with; None where its pixels are not at hand.
    """
    if stain is None:
        return _SHAPES
    stains = [
        Measurement(
            f"{name}_od_{compartment}_{short}",
            f"{_title(name)}: {compartment.title()}: {title}",
            f"{title} of the optical density of {name} over the {compartment}'s pixels.",
        )
        for name in StainPair.of(stain).names
        for compartment in _COMPARTMENTS
        for short, title in (("mean", "Mean"), ("sd", "Std.Dev."))
    ]
    return (*_SHAPES, *stains)


def _title(stain_name: str) -> str:
    return "DAB" if stain_name == "dab" else stain_name.title()


def measure_shapes(nuclei: Nuclei, cells: Nuclei, mpp: Mpp) -> Columns:
    """Areas, lengths and solidity of nuclei and their cells, row by row."""
    found: Columns = {}
    for name, outlines in (("nucleus", nuclei), ("cell", cells)):
        areas = enclosed_areas(outlines.vertices_xy, outlines.ring_starts)
        shape = measure_polygons(outlines.vertices_xy, outlines.ring_starts, mpp)
        found[f"{name}_area_um2"] = (areas * mpp.pixel_area_um2).astype(np.float32)
        found[f"{name}_perimeter_um"] = shape["perimeter_um"]
        found[f"{name}_solidity"] = shape["solidity"]
    nucleus, cell = found["nucleus_area_um2"], found["cell_area_um2"]
    found["cytoplasm_area_um2"] = np.maximum(cell - nucleus, 0)
    found["nucleus_cell_ratio"] = np.minimum(nucleus / cell, 1)
    return found


def measure_stains(piece: Piece, rgb: RgbImage, stain: Stain) -> Columns:
    """Mean and standard deviation of both stains in each compartment; NaN where it has no pixel.

    Args:
        piece: Cells and their pixels.
        rgb: ``(H, W, 3)`` the pixels of the piece's box.
        stain: What the slide is stained with.
    """
    nucleus = _sums(piece.nucleus_labels, len(piece.rows), rgb, stain)
    cell = _sums(piece.cell_labels, len(piece.rows), rgb, stain)
    found: Columns = {}
    sums = {"nucleus": nucleus, "cytoplasm": cell - nucleus, "cell": cell}
    for i, name in enumerate(StainPair.of(stain).names):
        for compartment, each in sums.items():
            n = np.where(each[:, 0] > 0, each[:, 0], np.nan)
            mean = each[:, 1 + i] / n
            spread = np.sqrt(np.maximum(each[:, 3 + i] / n - mean**2, 0))
            found[f"{name}_od_{compartment}_mean"] = mean.astype(np.float32)
            found[f"{name}_od_{compartment}_sd"] = spread.astype(np.float32)
    return found


def _sums(labels: InstanceMap, n: int, rgb: RgbImage, stain: Stain) -> npt.NDArray[np.float64]:
    """``(n, 5)`` pixels, sums of both densities, sums of their squares, of labels 1 to n."""
    row_of = np.arange(-1, n, dtype=np.int32)
    shape, stains = sum_shape_and_stains(labels, row_of, n, rgb, density_by_byte(stain))
    return np.concatenate([shape[:, :1].astype(np.float64), stains], axis=1)
