"""A slide whose nuclei are drawn by hand, and settings for it."""

import cv2
import numpy as np

from hoverfast_platform.config import SegmentationSettings, Tiling


def drawn_tissue(height, width, seed=0):
    """Pink tissue with purple nuclei about 24 px apart, and where they were put."""
    rng = np.random.default_rng(seed)
    rgb = np.full((height, width, 3), (232, 180, 210), np.uint8)
    centres = [
        (x + int(rng.integers(-6, 7)), y + int(rng.integers(-6, 7)))
        for y in range(20, height, 40)
        for x in range(20, width, 40)
    ]
    for x, y in centres:
        axes = (int(rng.integers(8, 13)), int(rng.integers(7, 11)))
        cv2.ellipse(rgb, (x, y), axes, float(rng.uniform(0, 180)), 0, 360, (95, 50, 130), -1)
    noise = rng.normal(0, 6, rgb.shape)
    rgb = np.clip(cv2.GaussianBlur(rgb, (0, 0), 1.2) + noise, 0, 255).astype(np.uint8)
    return rgb, centres


def settings_of(tile_size=256):
    return SegmentationSettings(tiling=Tiling(tile_size_px=tile_size))
