"""How well the built-in engine finds planted artefacts on slides composed of real tissue.

`pytest -m slow -s tests/integration/test_mask_quality.py` prints the figures of docs/masks.md.
Each slide is a disk of one patient's tiles; planted are a marker's stroke, a field blurred by a
Gaussian of 4 um, and a fold: the tissue's density plus that of the tissue beside it.
"""

import cv2
import numpy as np
import pytest
from PIL import Image

from hoverfast_platform.mask.builtin import find_tissue
from hoverfast_platform.mask.findings import Finding
from hoverfast_platform.mask.statistics import mask_statistics
from hoverfast_platform.slide.array_reader import ArrayReader

MPP = 0.5
GLASS = 242.0
INKS = ((40, 150, 90), (50, 60, 170), (35, 35, 40), (200, 40, 60))
CODES = {
    "pen": [Finding.PEN, Finding.PEN_ON_GLASS],
    "blur": [Finding.BLUR],
    "fold": [Finding.FOLD_DARK],
}


def disk_of_tissue(tiles, rng):
    """RGB at ``MPP`` on white glass, and where it is tissue."""
    rows = [
        np.concatenate([tiles[rng.integers(len(tiles))][:: rng.choice([-1, 1])] for _ in range(12)])
        for _ in range(12)
    ]
    tissue = np.concatenate(rows, axis=1)
    size = tissue.shape[0]
    rgb = np.full((size + 1200, size + 1200, 3), GLASS, np.float32)
    rgb[600:-600, 600:-600] = tissue
    centre = (size // 2 + 600,) * 2
    is_tissue = cv2.circle(np.zeros(rgb.shape[:2], np.uint8), centre, size // 2, 1, -1) > 0
    rgb[~is_tissue] = GLASS
    return rgb, is_tissue


def plant(rgb, is_tissue, ink):
    """Planted artefacts by name, and the slide with them."""
    height, width = is_tissue.shape
    x, y = width // 2, height // 2
    blur = np.zeros((height, width), np.bool_)
    blur[y:, x + 300 :] = is_tissue[y:, x + 300 :]
    out = np.where(blur[..., None], cv2.GaussianBlur(rgb, (0, 0), 4 / MPP), rgb)
    line = np.zeros((height, width), np.uint8)
    fold = cv2.line(line.copy(), (x - 900, y - 300), (x - 250, y + 700), 1, 300) > 0
    fold &= is_tissue
    density = np.log10(GLASS / np.clip(out, 1, GLASS))
    folded = GLASS * 10.0 ** -(density + np.roll(density, (120, 160), (0, 1)))
    out = np.where(fold[..., None], folded, out)
    pen = cv2.line(line, (200, 200), (x, y - 700), 1, 160) > 0
    out = np.where(pen[..., None], 0.15 * out + 0.85 * np.float32(ink), out)
    return {"pen": pen, "blur": blur, "fold": fold}, out


def mask_of(rgb, rng):
    noisy = np.clip(rgb + rng.normal(0, 1.5, rgb.shape), 0, 255).astype(np.uint8)
    return find_tissue(ArrayReader(noisy, mpp=MPP))


def at(pixels, shape):
    return cv2.resize(pixels.astype(np.uint8), shape[::-1], interpolation=cv2.INTER_NEAREST) > 0


@pytest.mark.slow
@pytest.mark.parametrize("patient", ["01", "03", "05", "06"])
def test_planted_artefacts_are_found_on_composed_slides(shared_data, patient):
    paths = sorted((shared_data / "annotated" / "tnbc" / "image").glob(f"tnbc_{patient}_*.png"))
    tiles = []
    for path in paths:
        with Image.open(path) as image:
            tiles.append(np.asarray(image.convert("RGB").resize((256, 256), Image.Resampling.BOX)))
    rng = np.random.default_rng(int(patient))
    rgb, is_tissue = disk_of_tissue(tiles, rng)

    clean = mask_of(rgb, rng)
    planted, rgb = plant(rgb, is_tissue, INKS[int(patient) % 4])
    mask = mask_of(rgb, rng)

    shape = mask.is_tissue.shape
    recall = {
        name: float(np.isin(mask.findings, CODES[name])[at(where, shape)].mean())
        for name, where in planted.items()
    }
    lost = mask_statistics(clean).total_lost_fraction
    found = float(clean.is_tissue[at(is_tissue, shape)].mean())
    figures = ", ".join(f"{name} {value:.2f}" for name, value in recall.items())
    print(f"\npatient {patient}: recall {figures}; clean: {lost:.2%} lost, {found:.2%} found")  # noqa: T201
    assert min(recall.values()) >= 0.8
    assert lost <= 0.005
    assert found >= 0.99
