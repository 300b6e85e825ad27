"""The built-in engine: on made slides with known artefacts, and on real ones where present.

Figures asserted are floors below what docs/masks.md reports.
"""

import cv2
import numpy as np
import pytest
from PIL import Image

from hoverfast_platform.config import ArtefactDetection, Scale, TissueDetection
from hoverfast_platform.mask.builtin import find_tissue
from hoverfast_platform.mask.findings import Finding
from hoverfast_platform.mask.low_resolution import read_low_resolution
from hoverfast_platform.mask.statistics import mask_statistics
from hoverfast_platform.slide import open_slide
from hoverfast_platform.slide import thumbnail as thumbnail_module
from hoverfast_platform.slide.array_reader import ArrayReader

PEN = {Finding.PEN, Finding.PEN_ON_GLASS}


def found_in(mask, finding, box):
    """Share of a box (x0, y0, x1, y1 in um of a 1 um/px slide) with a finding."""
    x0, y0, x1, y1 = (round(v / mask.scale_x) for v in box)
    codes = list(finding) if isinstance(finding, set) else [finding]
    return float(np.isin(mask.findings[y0:y1, x0:x1], codes).mean())


def plain_slide(level=243):
    return np.full((1600, 2000, 3), level, np.uint8)


def tissue_texture(shape, seed=0):
    """Pink with nuclei-sized purple spots, in optical density."""
    rng = np.random.default_rng(seed)
    spots = cv2.GaussianBlur((rng.random(shape) > 0.985).astype(np.float32), (0, 0), 2.2) * 14
    fibres = cv2.GaussianBlur(rng.normal(size=shape).astype(np.float32), (0, 0), 2.0) * 0.25
    pink = np.array([0.05, 0.24, 0.12]) * np.clip(1 + fibres, 0.3, 2)[..., None]
    return pink + np.clip(spots, 0, 1)[..., None] * np.array([0.35, 0.45, 0.2])


def tissue_slide():
    """Tissue in x 300..1700, y 300..1300 of a 2000 x 1600 um slide; its optical density."""
    density = np.zeros((1600, 2000, 3))
    density[300:1300, 300:1700] = tissue_texture((1000, 1400))
    return density


def rgb_of(density, glass=243):
    noise = np.random.default_rng(1).normal(0, 1.5, density.shape)
    return np.clip(glass * 10.0**-density + noise, 0, 255).astype(np.uint8)


def test_tissue_is_found_and_dust_dropped():
    rgb = plain_slide()
    rgb[300:900, 400:1200] = (215, 160, 195)
    rgb[50:60, 50:60] = 60
    mask = find_tissue(ArrayReader(rgb, mpp=1.0))

    points = np.array([[800.0, 600.0], [55.0, 55.0], [1500.0, 1100.0], [-5.0, 3.0]])
    assert list(mask.contains(points)) == [True, False, False, False]
    assert mask.tissue_area_mm2 == pytest.approx(0.48, rel=0.15)
    assert found_in(mask, Finding.SPECK, (48, 48, 64, 64)) > 0.5


@pytest.mark.parametrize("level", [255, 243, 215, 190])
def test_blank_slide_has_an_empty_mask(level):
    noise = np.random.default_rng(0).normal(level, 2, (480, 600, 3))
    blank = np.clip(noise, 0, 255).astype(np.uint8)

    assert not find_tissue(ArrayReader(blank, mpp=1.0)).is_tissue.any()


@pytest.mark.parametrize(
    ("rgb", "why"),
    [
        ((0, 0, 0), "is black"),
        ((40, 150, 90), "ink of a marker covers 100%"),
        ((243, 243, 243), "only glass"),
    ],
)
def test_a_slide_on_which_nothing_is_looked_at_says_why(rgb, why):
    mask = find_tissue(ArrayReader(np.full((500, 620, 3), rgb, np.uint8), mpp=1.0))

    assert not mask.is_tissue.any()
    assert "Nothing was looked at" in mask.warnings[-1]
    assert why in mask.warnings[-1]


def test_glass_darker_than_what_was_not_scanned_is_no_tissue():
    """White stands for "not scanned" in many files; the glass beside it is grey."""
    rgb = plain_slide(255)
    rgb[:, 400:] = 228
    rgb[300:900, 600:1200] = (205, 150, 185)
    mask = find_tissue(ArrayReader(rgb, mpp=1.0))

    assert mask.provenance["glass"] == [228, 228, 228]
    assert mask.tissue_area_mm2 == pytest.approx(0.36, rel=0.15)


def test_slide_without_artefacts_loses_nothing():
    mask = find_tissue(ArrayReader(rgb_of(tissue_slide()), mpp=1.0))

    assert mask_statistics(mask).total_lost_fraction == 0
    assert mask.tissue_area_mm2 == pytest.approx(1.4, rel=0.1)
    assert mask.warnings == ()


@pytest.mark.parametrize(
    "colour",
    [(40, 150, 90), (45, 60, 170), (40, 40, 45), (205, 40, 60)],
    ids=["green", "blue", "black", "red"],
)
def test_pen_is_told_from_tissue_and_split_at_its_edge(colour):
    rgb = rgb_of(tissue_slide())
    rgb[700:800, 0:1000] = colour
    mask = find_tissue(ArrayReader(rgb, mpp=1.0))

    assert found_in(mask, Finding.PEN, (400, 710, 990, 790)) > 0.95
    assert found_in(mask, Finding.PEN_ON_GLASS, (10, 710, 200, 790)) > 0.95
    assert not mask.contains(np.array([[600.0, 750.0], [100.0, 750.0]])).any()
    assert mask_statistics(mask).lost_fraction["pen"] == pytest.approx(0.05, abs=0.02)


@pytest.mark.parametrize("contrast", [0.5, 1.0])
def test_blur_is_found_in_pale_and_in_dark_stain(contrast):
    density = tissue_slide() * contrast
    sharp = find_tissue(ArrayReader(rgb_of(density), mpp=1.0))
    density[:, 1000:] = cv2.GaussianBlur(density, (0, 0), 5)[:, 1000:]
    mask = find_tissue(ArrayReader(rgb_of(density), mpp=1.0))

    assert not (sharp.findings == Finding.BLUR).any()
    assert found_in(mask, Finding.BLUR, (1100, 350, 1650, 1250)) > 0.9
    assert found_in(mask, Finding.BLUR, (350, 350, 850, 1250)) < 0.02


def test_slide_that_is_soft_all_over_is_kept_and_warned_of():
    rgb = cv2.GaussianBlur(rgb_of(tissue_slide()), (0, 0), 5)
    mask = find_tissue(ArrayReader(rgb, mpp=1.0))

    assert mask_statistics(mask).total_lost_fraction < 0.1
    assert "whole slide is soft" in " ".join(mask.warnings)


def test_fold_doubles_density_and_is_found_though_other_tissue_is_as_dark():
    density = tissue_slide()
    density[300:1300, 1300:1700] += np.array([0.25, 0.18, 0.08])  # purple, as dark as the fold
    density[600:700, 300:1300] *= 2.6
    mask = find_tissue(ArrayReader(rgb_of(density), mpp=1.0))

    assert found_in(mask, Finding.FOLD_DARK, (350, 610, 1250, 690)) > 0.9
    assert found_in(mask, Finding.FOLD_DARK, (1350, 350, 1650, 1250)) < 0.02


def test_round_bubble_is_remarked_on_and_its_rim_is_no_tissue():
    density = tissue_slide()
    air = cv2.circle(np.zeros((1600, 2000), np.uint8), (400, 900), 350, 1, -1) > 0
    rim = cv2.circle(np.zeros((1600, 2000), np.uint8), (400, 900), 350, 1, 40) > 0
    density[air] *= 0.6
    density[rim] = 0.35
    mask = find_tissue(ArrayReader(rgb_of(density), mpp=1.0))

    assert found_in(mask, Finding.BUBBLE, (400, 700, 650, 1100)) > 0.95
    assert found_in(mask, Finding.BUBBLE, (900, 700, 1600, 1100)) == 0
    assert list(mask.contains(np.array([[500.0, 900.0], [52.0, 900.0]]))) == [True, False]


def test_bent_hair_and_dust_are_neither_tissue_nor_bubble():
    density = tissue_slide()
    cv2.ellipse(density, (1850, 300), (90, 90), 0, 0, 150, (0.3, 0.3, 0.3), 16)
    cv2.circle(density, (150, 150), 40, (0.2, 0.2, 0.2), -1)
    rgb = rgb_of(density)
    mask = find_tissue(ArrayReader(rgb, mpp=1.0))
    kept = find_tissue(ArrayReader(rgb, mpp=1.0), TissueDetection(min_colourfulness=0))

    grey = np.array([[150.0, 150.0], [1850.0, 390.0]])
    assert not mask.contains(grey).any()
    assert kept.contains(grey).all()
    assert found_in(mask, Finding.SPECK, (125, 125, 175, 175)) > 0.95
    assert not (mask.findings == Finding.BUBBLE).any()
    assert mask.tissue_area_mm2 == pytest.approx(1.4, rel=0.1)


def test_grey_stain_keeps_its_tissue_and_round_lumina_are_no_bubbles():
    density = tissue_slide().mean(axis=2, keepdims=True) * np.array([1.12, 1.0, 0.88])
    for x in (600, 1000, 1400):
        cv2.circle(density, (x, 800), 150, (0.5, 0.45, 0.4), 40)
    mask = find_tissue(ArrayReader(rgb_of(density), mpp=1.0))

    assert not (mask.findings == Finding.BUBBLE).any()
    assert mask.tissue_area_mm2 == pytest.approx(1.4, rel=0.1)


def test_pale_ink_of_a_red_marker_is_found_once_its_strokes_are_known():
    density = tissue_slide()
    ink = np.array([0.08, 0.85, 0.62])
    density[60:160, 100:1900] = ink
    density[1400:1500, 100:1900] = 0.2 * ink  # as pale as tissue
    with_strokes = find_tissue(ArrayReader(rgb_of(density), mpp=1.0))
    density[60:160] = 0
    alone = find_tissue(ArrayReader(rgb_of(density), mpp=1.0))

    assert found_in(with_strokes, PEN, (120, 1420, 1880, 1480)) > 0.95
    assert found_in(with_strokes, PEN, (310, 310, 1690, 1290)) < 0.01
    assert found_in(alone, PEN, (120, 1420, 1880, 1480)) == 0


def test_fat_is_remarked_on_and_removed_only_by_setting():
    density = tissue_slide()
    for y in range(400, 800, 80):
        for x in range(400, 1000, 80):
            cv2.circle(density, (x, y), 34, (0, 0, 0), -1)
    reader = ArrayReader(rgb_of(density), mpp=1.0)
    kept = find_tissue(reader)
    removed = find_tissue(reader, TissueDetection(artefacts=ArtefactDetection(fat="remove")))

    assert found_in(kept, Finding.FAT, (420, 420, 900, 700)) > 0.8
    assert kept.contains(np.array([[640.0, 560.0]])).all()
    assert not removed.contains(np.array([[640.0, 560.0]])).any()


def test_nothing_is_removed_that_is_switched_off():
    density = tissue_slide()
    density[600:700, 300:1300] *= 2.6
    rgb = rgb_of(density)
    rgb[900:1000, 0:1000] = (40, 150, 90)
    off = ArtefactDetection(pen="off", blur="off", fold_dark="off", bubble="off", fat="off")
    mask = find_tissue(ArrayReader(rgb, mpp=1.0), TissueDetection(artefacts=off))

    assert set(np.unique(mask.findings)) <= {Finding.NONE, Finding.SPECK}
    assert mask.contains(np.array([[800.0, 650.0], [800.0, 950.0]])).all()


def test_slide_covered_with_ink_is_an_empty_mask_and_no_error():
    rgb = np.full((800, 900, 3), (40, 150, 90), np.uint8)
    mask = find_tissue(ArrayReader(rgb, mpp=1.0))

    assert not mask.is_tissue.any()
    assert mask_statistics(mask).lost_fraction == {"pen": 1.0}


def test_tiny_and_coarse_slides_are_no_error():
    find_tissue(ArrayReader(np.full((3, 2, 3), 120, np.uint8), mpp=0.5))
    coarse = find_tissue(ArrayReader(rgb_of(tissue_slide())[::8, ::8], mpp=29.0))

    assert coarse.is_tissue.shape == (200, 250)
    assert not (coarse.findings == Finding.BLUR).any()  # focus cannot be judged there


def test_slide_is_read_in_strips_and_the_mask_hardly_depends_on_them(monkeypatch):
    """Memory stays bounded on a slide without a pyramid."""
    density = tissue_slide()
    density[:, 1000:] = cv2.GaussianBlur(density, (0, 0), 5)[:, 1000:]
    reader = ArrayReader(rgb_of(density), mpp=1.0)
    whole = find_tissue(reader)
    largest = 0
    read_level = reader.read_level

    def counting(level, box):
        nonlocal largest
        largest = max(largest, box.width * box.height)
        return read_level(level, box)

    monkeypatch.setattr(reader, "read_level", counting)
    monkeypatch.setattr(thumbnail_module, "_STRIP_PIXELS", 200_000)
    in_strips = find_tissue(reader)

    assert largest <= 200_000
    assert (in_strips.is_tissue == whole.is_tissue).mean() > 0.995


def test_pixels_that_are_not_square_make_a_mask_that_is():
    rgb = rgb_of(tissue_slide())[::2]
    reader = ArrayReader(rgb, mpp=1.0)
    from dataclasses import replace

    from hoverfast_platform.geometry import Mpp

    reader.info = replace(reader.info, mpp=Mpp(1.0, 2.0))
    mask = find_tissue(reader)

    assert mask.is_tissue.shape == (200, 250)
    assert (mask.mpp.x, mask.mpp.y) == (8.0, 8.0)
    assert mask.tissue_area_mm2 == pytest.approx(1.4, rel=0.1)


def recorded(shared_data, run, slide):
    path = shared_data / "histoqc_outputs" / run / slide / f"{slide}_mask_use.png"
    with Image.open(path) as image:
        return np.asarray(image) > 0


def at(pixels, shape):
    return cv2.resize(pixels.astype(np.uint8), shape[::-1], interpolation=cv2.INTER_NEAREST) > 0


def test_agrees_with_histoqc_on_the_real_slide(shared_data):
    slide = "CMU-1-Small-Region.svs"
    with open_slide(shared_data / "slides" / slide) as reader:
        mask = find_tissue(reader)
    tuned = recorded(shared_data, "rec_nopen", slide)
    strict = recorded(shared_data, "small_first", slide)
    ours = at(mask.is_tissue, tuned.shape)

    assert (ours & tuned).sum() / (ours | tuned).sum() >= 0.92
    assert ours[strict].mean() >= 0.995  # no pale tissue is missed
    assert set(mask_statistics(mask).lost_fraction) <= {"speck"}


def test_planted_artefacts_are_found_and_clean_tissue_is_kept(shared_data):
    folder = shared_data / "histoqc_inputs"
    with open_slide(folder / "synth_artefact_20x.svs") as reader:
        mask = find_tissue(reader)
        density = read_low_resolution(reader, 8.0).optical_density(8).mean(axis=2)
    shape = mask.is_tissue.shape
    with np.load(folder / "synth_artefact_truth_div16.npz") as truth:
        planted = {name: at(truth[name], shape) for name in truth}
    clean = at(recorded(shared_data, "rec_nopen", "synth_clean_20x.svs"), shape)
    is_tissue = clean & (density > 0.12)  # HistoQC's mask has a rim of glass of 40 um

    def recall(name, codes, where):
        return np.isin(mask.findings, list(codes))[planted[name] & where].mean()

    everywhere = np.ones(shape, np.bool_)
    for colour in ("green", "blue", "black", "red"):
        assert recall(f"pen_{colour}", PEN, everywhere) >= 0.9, colour
    assert recall("blur", {Finding.BLUR}, clean) >= 0.85
    assert not mask.is_tissue[planted["fold"] & is_tissue].mean() > 0.2
    near = cv2.dilate(np.any(list(planted.values()), axis=0).view(np.uint8), np.ones((13, 17)))
    untouched = is_tissue & (near == 0)
    assert mask.is_tissue[untouched].mean() >= 0.99


def test_real_frozen_section_loses_its_folded_rims_only(shared_data):
    """No mpp in the file; about 1 um per pixel by the size of its nuclei."""
    path = shared_data / "slides" / "TCGA-CR-7395-01A-01-TS1.svs"
    with open_slide(path, Scale(mpp_override=1.0)) as reader:
        statistics = mask_statistics(find_tissue(reader))

    assert statistics.tissue_area_mm2 == pytest.approx(10.1, rel=0.05)
    assert 0.01 < statistics.lost_fraction["fold_dark"] < 0.05
    assert statistics.total_lost_fraction < 0.06
