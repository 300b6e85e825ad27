"""Masks of other programs: every way to say tissue in an image, and the slide as a witness."""

import numpy as np
import pytest
import tifffile
from PIL import Image

from hoverfast_platform.config import MaskImport
from hoverfast_platform.errors import MaskError
from hoverfast_platform.mask.foreign_pixels import read_foreign_tissue
from hoverfast_platform.mask.held_against_slide import load_mask_held
from hoverfast_platform.slide.array_reader import ArrayReader

HEIGHT, WIDTH = 60, 90
TISSUE = np.zeros((HEIGHT, WIDTH), dtype=np.bool_)
TISSUE[10:40, 20:50] = True
WHITE = np.where(TISSUE, 255, 0).astype(np.uint8)


def palette_image(colours, indices=None):
    image = Image.fromarray(TISSUE.astype(np.uint8) if indices is None else indices, "P")
    image.putpalette([value for colour in colours for value in colour])
    return image


def with_alpha(colour, mode="RGBA"):
    image = Image.new("RGB", (WIDTH, HEIGHT), colour)
    image.putalpha(Image.fromarray(WHITE))
    return image.convert(mode)


def coloured(inside, outside):
    return Image.fromarray(np.where(TISSUE[..., None], inside, outside).astype(np.uint8))


IMAGES = {
    "grey": Image.fromarray(WHITE),
    "zero and one": Image.fromarray(TISSUE.astype(np.uint8)),
    "one bit": Image.fromarray(WHITE).convert("1"),
    "16 bits": Image.fromarray(np.where(TISSUE, 65535, 0).astype(np.uint16)),
    "16 bits, zero and one": Image.fromarray(TISSUE.astype(np.uint16)),
    "12 bits in 16": Image.fromarray(np.where(TISSUE, 4095, 0).astype(np.uint16)),
    "indices, glass white and tissue red": palette_image([(255, 255, 255), (255, 0, 0)]),
    "indices, greys": palette_image([(0, 0, 0), (255, 255, 255)]),
    "indices, greys turned": palette_image(
        [(255, 255, 255), (0, 0, 0)], (~TISSUE).astype(np.uint8)
    ),
    "white, glass transparent": with_alpha((255, 255, 255)),
    "black, glass transparent": with_alpha((0, 0, 0)),
    "red, glass transparent": with_alpha((200, 0, 0)),
    "grey and alpha": with_alpha((255, 255, 255), "LA"),
    "RGB": coloured((255, 255, 255), (0, 0, 0)),
    "red on black": coloured((255, 0, 0), (0, 0, 0)),
    "green on white": coloured((0, 160, 0), (255, 255, 255)),
}


@pytest.mark.parametrize("name", IMAGES)
def test_tissue_is_read_as_it_is_meant(tmp_path, name):
    path = tmp_path / "m.png"
    IMAGES[name].save(path)

    assert np.array_equal(read_foreign_tissue(path), TISSUE)


def test_transparent_is_not_tissue_whatever_its_colour(tmp_path):
    rgba = np.dstack([np.full((HEIGHT, WIDTH, 3), 255, np.uint8), WHITE])
    rgba[:5, :, :3], rgba[:5, :, 3] = 0, 255  # opaque, and black
    Image.fromarray(rgba).save(tmp_path / "m.png")

    assert np.array_equal(read_foreign_tissue(tmp_path / "m.png"), TISSUE)


def test_an_index_may_be_named_transparent(tmp_path):
    palette_image([(255, 255, 255), (255, 255, 255)]).save(tmp_path / "m.png", transparency=0)

    assert np.array_equal(read_foreign_tissue(tmp_path / "m.png"), TISSUE)


def test_noise_of_jpeg_is_not_tissue(tmp_path):
    Image.fromarray(WHITE).convert("RGB").save(tmp_path / "m.jpg", quality=30)

    agreement = read_foreign_tissue(tmp_path / "m.jpg") == TISSUE
    assert agreement.mean() > 0.99


@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
def test_tiff_is_read_as_it_is_shown(tmp_path, photometric):
    pixels = WHITE if photometric == "minisblack" else 255 - WHITE
    tifffile.imwrite(tmp_path / "m.tif", pixels, photometric=photometric)

    assert np.array_equal(read_foreign_tissue(tmp_path / "m.tif"), TISSUE)


def test_a_probability_of_a_half_is_the_border(tmp_path):
    tifffile.imwrite(tmp_path / "m.tif", np.where(TISSUE, 0.8, 0.3).astype(np.float32))

    assert np.array_equal(read_foreign_tissue(tmp_path / "m.tif"), TISSUE)


THREE = TISSUE.astype(np.uint8) + 2 * (np.arange(WIDTH) > 70).astype(np.uint8)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (palette_image([(0, 0, 0), (255, 0, 0), (0, 255, 0)], THREE), "3 classes"),
        (coloured((200, 40, 90), (128, 128, 128)), "picture"),
        (Image.fromarray(np.where(TISSUE, 3, 0).astype(np.uint8)), "tissue_levels"),
    ],
)
def test_what_leaves_a_guess_is_refused(tmp_path, image, message):
    image.save(tmp_path / "m.png")

    with pytest.raises(MaskError, match=message):
        read_foreign_tissue(tmp_path / "m.png")


def test_two_colours_are_refused(tmp_path):
    rgb = np.asarray(coloured((255, 0, 0), (0, 0, 0))).copy()
    rgb[45:, 60:] = (0, 0, 255)
    Image.fromarray(rgb).save(tmp_path / "m.png")

    with pytest.raises(MaskError, match="2 colours"):
        read_foreign_tissue(tmp_path / "m.png")


def test_several_masks_in_a_file_are_refused_and_a_pyramid_is_not(tmp_path):
    tifffile.imwrite(tmp_path / "two.tif", np.stack([WHITE, 255 - WHITE]), photometric="minisblack")
    with tifffile.TiffWriter(tmp_path / "pyramid.tif") as file:
        file.write(WHITE, photometric="minisblack")
        file.write(WHITE[::2, ::2], photometric="minisblack")

    with pytest.raises(MaskError, match="2 images"):
        read_foreign_tissue(tmp_path / "two.tif")
    assert np.array_equal(read_foreign_tissue(tmp_path / "pyramid.tif"), TISSUE)


def slide():
    """Stained where the mask has tissue; glass elsewhere."""
    large = np.kron(TISSUE, np.ones((10, 10), np.bool_))
    rgb = np.where(large[..., None], (190, 120, 170), (243, 241, 244)).astype(np.uint8)
    return ArrayReader(rgb, mpp=0.5)


def test_a_right_mask_passes_without_a_word(tmp_path):
    Image.fromarray(WHITE).save(tmp_path / "m.png")

    assert load_mask_held(tmp_path / "m.png", slide()).warnings == ()


def test_an_inverted_mask_is_refused_unless_it_is_said_to_be_right(tmp_path):
    Image.fromarray(255 - WHITE).save(tmp_path / "m.png")

    with pytest.raises(MaskError, match="looks inverted"):
        load_mask_held(tmp_path / "m.png", slide())
    taken = load_mask_held(tmp_path / "m.png", slide(), MaskImport(is_right=True))
    assert "inverted" in taken.warnings[-1]


@pytest.mark.parametrize(
    ("pixels", "said"),
    [
        (np.full((HEIGHT, WIDTH), 255, np.uint8), "calls all of the slide tissue"),
        (np.roll(WHITE, 40, axis=1), "does not follow"),
    ],
)
def test_a_mask_that_does_not_fit_the_slide_is_noted(tmp_path, pixels, said):
    Image.fromarray(pixels).save(tmp_path / "m.png")

    assert said in load_mask_held(tmp_path / "m.png", slide()).warnings[0]
