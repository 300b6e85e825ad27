"""Where a slide's nuclei lie, as a heat map."""

import numpy as np

from hoverfast_platform.geometry import Mpp
from hoverfast_platform.storage.previews import draw_density_of


def picture_of(xy, *, width_px=1280, height_px=640):
    """The heat map and its legend, 24 x 24 pixels per cell of 64 pixels of the slide."""
    return draw_density_of(
        np.array(xy, dtype=np.float64), width_px=width_px, height_px=height_px, mpp=Mpp(0.25, 0.25)
    )


def heat_of(xy, *, width_px=1280, height_px=640):
    """The heat map above its legend, one value per cell of 64 pixels (20 x 10 cells)."""
    return picture_of(xy, width_px=width_px, height_px=height_px)[:-48:24, ::24]


def is_blank(cells):
    return (cells == 255).all(axis=-1)


def test_a_centroid_on_the_far_edge_counts_in_the_last_cell():
    heat = heat_of([(1280.0, 640.0)])

    assert heat.shape[:2] == (10, 20)
    assert np.argwhere(~is_blank(heat)).tolist() == [[9, 19]]


def test_a_centroid_before_the_slide_counts_in_the_first_cell_and_not_in_the_last():
    assert np.argwhere(~is_blank(heat_of([(-0.2, -0.2)]))).tolist() == [[0, 0]]


def test_x_is_across():
    assert np.argwhere(~is_blank(heat_of([(1000.0, 100.0)]))).tolist() == [[1, 15]]


def test_the_legend_ends_at_the_colour_of_the_densest_cell():
    picture = picture_of([(1000.0, 100.0)] * 7 + [(100.0, 500.0)])
    ramp = picture[-48 + 12, 10:210]

    assert (ramp[-1] == picture[1 * 24, 15 * 24]).all()
    assert (ramp[0] != ramp[-1]).any()
    sparse = picture[7 * 24, 1 * 24].astype(int)  # one nucleus of seven
    nearest = np.abs(ramp.astype(int) - sparse).sum(axis=-1).argmin()
    assert abs(nearest / 199 - 1 / 7) < 0.02
