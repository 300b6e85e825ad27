from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from openslide import OpenSlide
from PIL import Image

from hoverfast_platform.config import Scale
from hoverfast_platform.errors import ArrayContractError, UnsupportedScaleError
from hoverfast_platform.geometry import Box, ModelLattice, Mpp
from hoverfast_platform.slide import open_slide
from hoverfast_platform.slide.array_reader import ArrayReader
from hoverfast_platform.slide.digest import slide_digest
from hoverfast_platform.slide.openslide_reader import compose_on_white
from hoverfast_platform.slide.resample import check_scale, read_region_at
from hoverfast_platform.slide.thumbnail import read_thumbnail
from hoverfast_platform.synthetic.slide import write_pyramid


def reader_and_lattice(model_mpp, shape=(211, 307), mpp=0.25):
    rng = np.random.default_rng(0)
    reader = ArrayReader(rng.integers(0, 256, (*shape, 3), dtype=np.uint8), mpp=mpp)
    lattice = ModelLattice.of(
        width=shape[1], height=shape[0], slide_mpp=reader.info.mpp, model_mpp=model_mpp
    )
    return reader, lattice


@pytest.mark.parametrize("model_mpp", [0.12, 0.2, 0.25, 0.31, 0.5, 0.9])
def test_regions_read_apart_equal_one_read_whole(model_mpp):
    """What makes nuclei independent of the tile size; to the last bit, borders included."""
    reader, lattice = reader_and_lattice(model_mpp)
    whole = read_region_at(reader, lattice, lattice.box.grown(12))

    for x, y in ((-12, -12), (30, 17), (lattice.width_px - 20, lattice.height_px - 20)):
        part = read_region_at(reader, lattice, Box.of(x=x, y=y, width=32, height=32))
        assert np.array_equal(part, whole[y + 12 : y + 44, x + 12 : x + 44])


def test_native_scale_is_a_plain_read():
    reader, lattice = reader_and_lattice(0.25)

    assert lattice.is_native
    box = Box(x0=6, y0=5, x1=70, y1=50)
    assert np.array_equal(read_region_at(reader, lattice, box), reader.read_level(0, box))


def test_outside_the_slide_is_its_mirror_image():
    reader, lattice = reader_and_lattice(0.25)
    region = read_region_at(reader, lattice, Box(x0=-4, y0=-4, x1=10, y1=12))

    assert np.array_equal(region[4 - 3, 4:], region[4 + 3, 4:])


def test_resampling_keeps_the_mean_colour():
    reader, lattice = reader_and_lattice(0.9)
    whole = read_region_at(reader, lattice, lattice.box)

    assert whole.mean() == pytest.approx(
        reader.read_level(0, Box.at_origin(width=307, height=211)).mean(), abs=2
    )


def test_pixels_that_are_not_square_become_square():
    lattice = ModelLattice.of(width=100, height=100, slide_mpp=Mpp(0.25, 0.5), model_mpp=0.25)

    assert (lattice.width_px, lattice.height_px) == (100, 200)


def test_coarse_slides_are_refused_or_noted():
    reader, _ = reader_and_lattice(0.25, mpp=0.5)
    assert "Upsampled 2.00x" in check_scale(reader.info, 0.25, Scale())[0]
    with pytest.raises(UnsupportedScaleError, match="max-upsampling"):
        check_scale(reader.info, 0.2, Scale())


def test_images_of_another_kind_are_refused():
    with pytest.raises(ArrayContractError, match="RGB"):
        ArrayReader(np.zeros((4, 4), np.uint8), mpp=0.25)


def test_alpha_is_composed_on_white():
    bgra = np.zeros((1, 3, 4), np.uint8)
    bgra[0, 0] = (30, 20, 10, 255)
    bgra[0, 1] = (15, 10, 5, 128)

    assert compose_on_white(bgra).tolist() == [[[10, 20, 30], [132, 137, 142], [255, 255, 255]]]


def test_thumbnail_is_never_enlarged_and_keeps_the_shape():
    reader, _ = reader_and_lattice(0.25)

    assert read_thumbnail(reader, 5000).shape == (211, 307, 3)
    assert read_thumbnail(reader, 100).shape == (69, 100, 3)


def test_digest_follows_content_not_name(tmp_path):
    (tmp_path / "a.svs").write_bytes(b"same")
    (tmp_path / "b.svs").write_bytes(b"same")
    (tmp_path / "c.svs").write_bytes(b"sane")

    assert slide_digest(tmp_path / "a.svs") == slide_digest(tmp_path / "b.svs")
    assert slide_digest(tmp_path / "a.svs") != slide_digest(tmp_path / "c.svs")


def test_digest_of_mrxs_includes_its_folder(tmp_path):
    (tmp_path / "a.mrxs").write_bytes(b"index")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "Data0000.dat").write_bytes(b"1")
    before = slide_digest(tmp_path / "a.mrxs")
    (tmp_path / "a" / "Data0000.dat").write_bytes(b"2")

    assert slide_digest(tmp_path / "a.mrxs") != before


def test_a_thumbnail_takes_the_size_of_a_level_rather_than_read_a_finer_one(tmp_path):
    """Of levels 1, 4 and 16, 341 px would be shrunk from 1024: 256 px are there."""
    pixels = np.full((768, 1024, 3), 200, np.uint8)
    write_pyramid(tmp_path / "s.tiff", pixels, mpp=0.25)

    with open_slide(tmp_path / "s.tiff") as reader:
        assert read_thumbnail(reader, 341).shape == (192, 256, 3)
        assert read_thumbnail(reader, 600).shape == (450, 600, 3)
        assert read_thumbnail(reader, 64).shape == (48, 64, 3)


def test_pixels_are_those_of_openslides_own_bindings(tmp_path):
    """Also beyond the border, which these leave transparent."""
    pixels = np.random.default_rng(0).integers(0, 256, (768, 1024, 3), dtype=np.uint8)
    write_pyramid(tmp_path / "s.tiff", pixels, mpp=0.25)

    with open_slide(tmp_path / "s.tiff") as reader, OpenSlide(tmp_path / "s.tiff") as plain:
        for level, x, y in ((0, 0, 0), (0, 900, -40), (1, 200, 150)):
            factor = 4**level
            theirs = plain.read_region((x * factor, y * factor), level, (301, 207))
            on_white = Image.new("RGBA", theirs.size, "white")
            on_white.alpha_composite(theirs)
            ours = reader.read_level(level, Box.of(x=x, y=y, width=301, height=207))
            assert np.array_equal(ours, np.asarray(on_white)[..., :3])


def test_a_thumbnail_is_the_same_however_many_threads_read_its_bands(tmp_path, monkeypatch):
    pixels = np.random.default_rng(0).integers(0, 256, (1300, 700, 3), dtype=np.uint8)
    write_pyramid(tmp_path / "s.tiff", pixels, mpp=0.25)
    seen = []
    with open_slide(tmp_path / "s.tiff") as reader:
        for n_cores in (1, 4):
            monkeypatch.setattr(
                "hoverfast_platform.slide.thumbnail.available_cores", lambda n=n_cores: n
            )
            seen.append(read_thumbnail(reader, 1000))
        whole = reader.read_level(0, Box.at_origin(width=700, height=1300))

    plain = cv2.resize(whole, seen[0].shape[1::-1], interpolation=cv2.INTER_AREA)
    assert np.array_equal(seen[0], plain)
    assert np.array_equal(seen[1], plain)


def test_threads_do_not_draw_into_each_others_regions(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (768, 1024, 3), dtype=np.uint8)
    write_pyramid(tmp_path / "s.tiff", pixels, mpp=0.25)
    boxes = [Box.of(x=7 * i, y=5 * i, width=300, height=200) for i in range(60)]

    with open_slide(tmp_path / "s.tiff") as reader:
        reader.expect_readers(4)
        alone = [reader.read_level(0, box) for box in boxes]
        with ThreadPoolExecutor(4) as threads:
            together = list(threads.map(lambda box: reader.read_level(0, box), boxes))

    assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))


def test_nothing_is_composed_to_nothing():
    assert compose_on_white(np.zeros((0, 5, 4), np.uint8)).shape == (0, 5, 3)
