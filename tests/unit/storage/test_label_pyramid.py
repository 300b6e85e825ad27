import numpy as np
import pytest
import zarr
from ome_zarr_models.v05 import ImageLabel, Labels

from hoverfast_platform.errors import StorageError
from hoverfast_platform.geometry import Mpp
from hoverfast_platform.nuclei.nucleus import Nuclei
from hoverfast_platform.storage.label_pyramid import LABELS, write_label_pyramid


def discs(centres, radius=8.0, tile_px=1000):
    angle = np.linspace(0, 2 * np.pi, 33)
    circle = np.round(radius * np.stack([np.cos(angle), np.sin(angle)], axis=1), 1)
    circle[-1] = circle[0]
    centres = np.asarray(centres, float).reshape(-1, 2)
    n = len(centres)
    return Nuclei(
        centroid_xy=centres,
        vertices_xy=(circle[None] + centres[:, None]).reshape(-1, 2).clip(0),
        ring_starts=33 * np.arange(n + 1, dtype=np.int64),
        tile_index=(centres[:, 0] // tile_px).astype(np.int32),
        decimals=1,
    )


@pytest.fixture
def pyramid(tmp_path):
    """Two blocks on a 2500 x 1300 slide; one nucleus across a chunk's edge, one at the corner."""
    blocks = [discs([(5, 5), (1024, 600), (990, 40)]), discs([(2490, 1290), (1700, 1024)])]
    path = tmp_path / "slide.zarr"
    n = write_label_pyramid(
        path, blocks, width=2500, height=1300, mpp=Mpp(0.25, 0.5), provenance={"a": 1}
    )
    return path, n


def test_an_independent_reader_finds_valid_metadata(pyramid):
    path, _ = pyramid

    labels = Labels.from_zarr(zarr.open_group(path / "labels", mode="r"))
    label = ImageLabel.from_zarr(zarr.open_group(path / LABELS, mode="r"))

    assert labels.attributes.ome.labels == ["nuclei"]
    (multiscale,) = label.attributes.ome.multiscales
    assert [axis.name for axis in multiscale.axes] == ["y", "x"]
    scales = [d.coordinateTransformations[0].scale for d in multiscale.datasets]
    assert scales == [[0.5, 0.25], [1.0, 0.5], [2.0, 1.0]]


def test_ome_zarr_py_opens_the_labels_with_their_scale(pyramid):
    io = pytest.importorskip("ome_zarr.io", reason="ome-zarr is not installed")
    from ome_zarr.reader import Reader

    path, _ = pyramid
    (node,) = Reader(io.parse_url(path / LABELS))()

    transformations = node.metadata["coordinateTransformations"]
    assert transformations[0] == [{"type": "scale", "scale": [0.5, 0.25]}]
    assert len(transformations) == len(node.data) == 3
    assert set(np.unique(np.asarray(node.data[0]))) == {0, 1, 2, 3, 4, 5}


def test_each_nucleus_has_its_row_as_label_where_its_polygon_is(pyramid):
    path, n = pyramid
    level = zarr.open_group(path / LABELS, mode="r")["0"]
    pixels = level[:]

    assert n == 5
    assert level.shape == (1300, 2500)
    assert level.dtype == np.int32
    assert set(np.unique(pixels)) == {0, 1, 2, 3, 4, 5}
    assert np.bincount(pixels.ravel())[[2, 3, 5]] == pytest.approx(
        np.pi * 64, rel=0.05
    )  # 208 pixel centres lie in such a disc
    rows, columns = np.nonzero(pixels == 2)
    assert rows.mean() + 0.5 == pytest.approx(600, abs=0.1)
    assert columns.mean() + 0.5 == pytest.approx(1024, abs=0.1)


def test_lower_levels_hold_every_second_pixel_and_no_new_label(pyramid):
    path, _ = pyramid
    group = zarr.open_group(path / LABELS, mode="r")

    assert np.array_equal(group["1"][:], group["0"][::2, ::2])
    assert np.array_equal(group["2"][:], group["1"][::2, ::2])


def test_chunks_without_nuclei_are_not_written(pyramid):
    path, _ = pyramid

    chunks = {
        str(p.relative_to(path / LABELS / "0" / "c")) for p in (path / LABELS).glob("0/c/*/*")
    }

    assert chunks == {"0/0", "0/1", "1/1", "1/2"}


def test_no_nuclei_is_a_valid_pyramid_and_an_older_one_is_replaced(pyramid):
    path, _ = pyramid

    assert write_label_pyramid(path, [], width=30, height=20, mpp=Mpp(1, 1), provenance={}) == 0

    level = zarr.open_group(path / LABELS, mode="r")["0"]
    assert level.shape == (20, 30)
    assert not level[:].any()


def test_a_failure_leaves_the_older_one_and_no_rest(pyramid):
    path, _ = pyramid

    def broken():
        yield discs([(50, 50)])
        raise OSError(28, "No space left on device")

    with pytest.raises(StorageError, match="No space left"):
        write_label_pyramid(path, broken(), width=2500, height=1300, mpp=Mpp(1, 1), provenance={})

    assert zarr.open_group(path / LABELS, mode="r")["0"].shape == (1300, 2500)
    assert [p.name for p in path.parent.iterdir()] == ["slide.zarr"]
