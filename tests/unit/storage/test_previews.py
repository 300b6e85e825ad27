"""Pictures kept in Dagster's events are small whatever they show."""

import io

import numpy as np
import pytest
from PIL import Image

from hoverfast_platform.storage.previews import draw_mask, encode_webp


@pytest.mark.parametrize("side_px", [40, 900])
def test_picture_fits_and_is_still_the_picture(side_px):
    y, x = np.mgrid[:side_px, :side_px]
    noise = np.random.default_rng(0).integers(-60, 60, (side_px, side_px))
    grey = np.clip(255 * (x + y) / (2 * side_px) + noise, 0, 255).astype(np.uint8)

    webp = encode_webp(np.stack([grey] * 3, axis=-1), max_side_px=512, max_bytes=30_000)

    assert len(webp) <= 30_000
    with Image.open(io.BytesIO(webp)) as picture:
        assert picture.format == "WEBP"
        assert max(picture.size) == min(side_px, 512)
        shown = np.asarray(picture.convert("L"), dtype=float)
    assert shown[-8:, -8:].mean() > 200 > 60 > shown[:8, :8].mean()


def test_what_the_mask_leaves_out_is_dimmed_as_by_the_plain_formula():
    rgb = np.arange(12 * 256 * 3, dtype=np.uint32).reshape(12, 256, 3).astype(np.uint8)
    plain = (rgb.astype(np.uint16) * 2 // 5 + 90).astype(np.uint8)

    nowhere = draw_mask(rgb, np.zeros((3, 64), np.bool_))

    assert np.array_equal(nowhere, plain)
