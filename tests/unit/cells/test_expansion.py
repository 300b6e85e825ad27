"""Cells of made-up nuclei: whatever the pieces, never across a neighbour, on tissue only."""

import json
import uuid

import numpy as np
import pytest
import shapely

from hoverfast_platform.cells.cell_files import CellPart, deflate_cells
from hoverfast_platform.cells.compartments import (
    cell_measurements,
    measure_shapes,
    measure_stains,
)
from hoverfast_platform.cells.expansion import CellExpansion, SlideCells
from hoverfast_platform.mask.tissue_mask import TissueMask
from hoverfast_platform.nuclei.nucleus import Nuclei
from hoverfast_platform.stain import stain_optical_density
from tests.builders import provenance

WIDTH, HEIGHT = 700, 430
SLIDE = provenance(
    slide={"width_px": WIDTH, "height_px": HEIGHT, "mpp_x": 0.25, "mpp_y": 0.3}
).slide
DISTANCE_UM = 4.0


@pytest.fixture(scope="module")
def nuclei():
    """Bent outlines in clusters, some of which touch, down to the slide's edges."""
    rng = np.random.default_rng(2)
    rings, centres = [], []
    taken = shapely.Polygon()
    for _ in range(400):
        centre = rng.uniform((4, 4), (WIDTH - 4, HEIGHT - 4))
        angles = np.sort(rng.uniform(0, 2 * np.pi, 11))
        radius = rng.uniform(5, 14, 11)
        points = centre + radius[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        polygon = shapely.Polygon(np.clip(points, 0, (WIDTH, HEIGHT)).round(1)).buffer(0)
        polygon = shapely.set_precision(polygon, 0.1)
        if polygon.geom_type != "Polygon" or polygon.area < 60 or polygon.intersects(taken):
            continue
        taken = taken.union(polygon)
        rings.append(shapely.get_coordinates(shapely.orient_polygons(polygon)).round(1))
        centres.append(shapely.get_coordinates(polygon.centroid)[0])
    starts = np.cumsum([0, *map(len, rings)]).astype(np.int64)
    assert len(rings) > 80
    return Nuclei(
        np.array(centres), np.concatenate(rings), starts, np.zeros(len(rings), np.int32), 1
    )


def tissue():
    is_tissue = np.ones((43, 70), np.bool_)
    is_tissue[:, 30:34] = False
    return TissueMask(is_tissue, WIDTH, HEIGHT, SLIDE.mpp, "builtin")


def cells_of(nuclei, piece_px=1024, mask=None, distance_um=DISTANCE_UM):
    """Polygons of cells in the order of the nuclei."""
    expansion = CellExpansion(distance_um=distance_um, piece_px=piece_px)
    found = np.full(len(nuclei), None, np.object_)
    for piece in SlideCells(nuclei, SLIDE, mask, expansion).pieces():
        assert all(one is None for one in found[piece.rows])
        found[piece.rows] = piece.cells.polygons()
    return found


@pytest.mark.parametrize("piece_px", [64, 150])
@pytest.mark.parametrize("mask", [None, tissue()], ids=["no mask", "mask"])
def test_cells_do_not_depend_on_the_pieces(nuclei, piece_px, mask):
    whole, in_pieces = cells_of(nuclei, mask=mask), cells_of(nuclei, piece_px, mask)

    assert shapely.equals_exact(whole, in_pieces, 0).all()


def test_every_cell_is_valid_holds_its_nucleus_and_ends_at_the_distance(nuclei):
    cells = cells_of(nuclei)
    outlines = nuclei.polygons()

    assert shapely.is_valid(cells).all()
    outside = shapely.area(shapely.difference(outlines, cells))
    assert outside.max() < 1  # of 60 px and more: corners are rounded to tenths of a pixel
    assert shapely.covers(shapely.box(0, 0, WIDTH, HEIGHT), cells).all()
    um = np.array([SLIDE.mpp_x, SLIDE.mpp_y])
    in_um = [shapely.transform(one, lambda xy: xy * um) for one in (cells, outlines)]
    reach = shapely.hausdorff_distance(*in_um)
    assert reach.max() < DISTANCE_UM + 0.75  # a pixel of the grid and half its diagonal
    alone = shapely.area(cells) > 2 * shapely.area(outlines)
    assert alone.any()


def test_cells_do_not_reach_into_each_other(nuclei):
    """Beyond what two outlines share that are rounded to tenths of a pixel."""
    cells = cells_of(nuclei)
    left, right = shapely.STRtree(cells).query(cells, predicate="intersects")
    left, right = left[left < right], right[left < right]
    shared = shapely.area(shapely.intersection(cells[left], cells[right]))

    assert len(left) > 20
    assert (shared > 0.5).mean() < 0.2
    inner = shapely.buffer(cells, -2)  # a pixel of the grid
    assert shapely.area(shapely.intersection(inner[left], inner[right])).max() == 0
    inner = shapely.buffer(nuclei.polygons(), -2)
    assert shapely.area(shapely.intersection(cells[left], inner[right])).max() < 0.5


def test_cells_end_where_the_tissue_ends_and_nuclei_do_not(nuclei):
    cells = cells_of(nuclei, mask=tissue())
    gap = shapely.box(300, 0, 340, HEIGHT)
    added = shapely.difference(cells, nuclei.polygons())

    outside = shapely.area(shapely.difference(nuclei.polygons(), cells))
    assert outside.max() < 1
    # Nuclei in the gap stay as pixels of the grid, which reach up to 2 px over their outline.
    grown = shapely.difference(added, shapely.buffer(nuclei.polygons(), 2))
    assert shapely.area(shapely.intersection(grown, gap)).max() < 0.5
    free = cells_of(nuclei)
    assert shapely.area(shapely.intersection(free, gap)).sum() > 1000


def test_a_nucleus_smaller_than_a_pixel_is_its_own_cell():
    ring = np.array([[100, 100], [100.4, 100], [100.4, 100.3], [100, 100]])
    tiny = Nuclei(ring[:1], ring, np.array([0, 4]), np.zeros(1, np.int32), 1)

    assert shapely.equals(cells_of(tiny)[0], tiny.polygons()[0])


def test_no_nuclei_have_no_cells():
    assert list(SlideCells(Nuclei.empty(1), SLIDE, None).pieces()) == []


@pytest.fixture(scope="module")
def measured(nuclei):
    cells = SlideCells(nuclei, SLIDE, None, CellExpansion(distance_um=DISTANCE_UM))
    (piece,) = cells.pieces()
    rng = np.random.default_rng(0)
    rgb = rng.integers(40, 250, (piece.box.height, piece.box.width, 3), dtype=np.uint8)
    own = nuclei.take(piece.rows)
    columns = measure_shapes(own, piece.cells, SLIDE.mpp) | measure_stains(piece, rgb, "ihc_dab")
    for name, column in columns.items():
        piece.cells.measurements[name] = column
    return own, piece, rgb


def test_compartments_are_measured_on_their_own_pixels(measured):
    _, piece, rgb = measured
    density = stain_optical_density(rgb, "ihc_dab")
    found = piece.cells.measurements

    for i in (0, 17, 55):
        is_nucleus, is_cell = piece.nucleus_labels == i + 1, piece.cell_labels == i + 1
        pixels = {"nucleus": is_nucleus, "cytoplasm": is_cell & ~is_nucleus, "cell": is_cell}
        for compartment, where in pixels.items():
            for j, name in enumerate(("hematoxylin", "dab")):
                values = density[where][:, j]
                column = f"{name}_od_{compartment}"
                assert found[f"{column}_mean"][i] == pytest.approx(values.mean(), abs=1e-4)
                assert found[f"{column}_sd"][i] == pytest.approx(values.std(), abs=1e-4)


def test_areas_of_nucleus_and_cytoplasm_add_up_to_the_cell(measured):
    own, piece, _ = measured
    found = piece.cells.measurements

    total = found["nucleus_area_um2"] + found["cytoplasm_area_um2"]
    assert np.allclose(total, found["cell_area_um2"], rtol=1e-5)
    areas = shapely.area(own.polygons()) * 0.25 * 0.3
    assert np.allclose(found["nucleus_area_um2"], areas, rtol=1e-5)


def lines_of(measured, part):
    own, piece, _ = measured
    named = cell_measurements("ihc_dab")
    made = deflate_cells(own, piece.cells, named, uuid.UUID(int=3), part)
    return own, piece, [json.loads(line) for line in made.lines()]


def test_cells_are_written_as_qupath_has_them(measured):
    own, piece, features = lines_of(measured, CellPart.CELL)

    assert len(features) == len(own)
    assert {one["properties"]["objectType"] for one in features} == {"cell"}
    assert len({one["id"] for one in features}) == len(own)
    cell = shapely.geometry.shape(features[5]["geometry"])
    nucleus = shapely.geometry.shape(features[5]["nucleusGeometry"])
    assert shapely.equals(cell, piece.cells.polygons()[5])
    assert shapely.equals(nucleus, own.polygons()[5])
    names = features[5]["properties"]["measurements"]
    assert {"Nucleus: Area µm^2", "Cell: Area µm^2", "DAB: Cytoplasm: Mean"} <= set(names)


def test_cytoplasm_alone_has_a_hole_where_the_nucleus_is(measured):
    own, piece, features = lines_of(measured, CellPart.CYTOPLASM)

    shapes = np.array([shapely.geometry.shape(one["geometry"]) for one in features])
    assert shapely.is_valid(shapes).all()
    expected = shapely.area(piece.cells.polygons()) - shapely.area(own.polygons())
    assert shapely.area(shapes).sum() == pytest.approx(expected.sum(), rel=0.01)
    assert sum(len(one.interiors) for one in shapes if one.geom_type == "Polygon") > 20
