"""Varied batches: what changes, what must not, and that labels follow the picture."""

import cv2
import numpy as np
import pytest
import torch

from hoverfast_platform.hv.encode import encode_hv_maps
from hoverfast_platform.training.settings import Augmentation
from hoverfast_platform.training.targets import MAX_INSTANCES, Targets, blended, targets_of
from hoverfast_platform.training.variation import (
    Chance,
    _compress,
    gaussian_blur,
    paste_nuclei,
    vary_capture,
    vary_contrast,
    vary_stains,
    vary_tissue,
)

CPU = torch.device("cpu")


@pytest.fixture
def batch(nuclei_on_pink):
    """Twice the same picture, the second one turned: ``(2, 3, 96, 128)`` and its labels."""
    image, instance_map = nuclei_on_pink
    images = np.stack([image, image[::-1, ::-1]]).transpose(0, 3, 1, 2)
    maps = np.stack([instance_map, instance_map[::-1, ::-1]])
    return torch.from_numpy(images.copy()).float(), torch.from_numpy(maps.copy()).long()


def _contrast(image, nuclei):
    red = image[:, 0]
    return (red * ~nuclei).sum() / (~nuclei).sum() - (red * nuclei).sum() / nuclei.sum()


def test_targets_on_the_device_are_those_of_the_plain_encoder():
    rng = np.random.default_rng(3)
    maps = np.zeros((3, 60, 84), np.int64)
    y, x = np.mgrid[:60, :84]
    for image in range(3):
        for number in range(1, 14):
            cy, cx = rng.integers(0, 60), rng.integers(0, 84)
            a, b = rng.integers(3, 12, 2)
            maps[image][((y - cy) / a) ** 2 + ((x - cx) / b) ** 2 <= 1] = number
    maps[2] = 0

    targets = targets_of(torch.from_numpy(maps))

    for image in range(3):
        np.testing.assert_allclose(targets.hv_maps[image], encode_hv_maps(maps[image]), atol=1e-6)
        np.testing.assert_array_equal(targets.foreground[image], maps[image] > 0)


def test_an_unlabelled_image_is_taught_by_the_teacher_alone():
    labels = Targets(torch.zeros(2, 4, 6), torch.zeros(2, 2, 4, 6))
    teacher = Targets(torch.ones(2, 4, 6), torch.full((2, 2, 4, 6), 0.5))

    both = blended(labels, teacher, torch.tensor([0.25, 1.0]))

    assert both.foreground[0, 0, 0] == 0.25
    assert both.hv_maps[0, 1, 3, 5] == 0.125
    assert torch.equal(both.foreground[1], teacher.foreground[1])
    assert torch.equal(both.hv_maps[1], teacher.hv_maps[1])


def test_a_batch_depends_on_seed_and_step_alone(batch):
    settings = Augmentation(
        copy_paste_probability=0.5, contrast_probability=0.5, noise_probability=1.0
    )

    def varied(step, seed=1):
        chance = Chance.of(seed, step, CPU)
        image, _ = vary_tissue(*batch, settings, chance)
        return vary_capture(image, settings, chance)

    assert torch.equal(varied(7), varied(7))
    assert not torch.equal(varied(7), varied(8))
    assert not torch.equal(varied(7), varied(7, seed=2))


def test_nothing_asked_for_changes_nothing(batch):
    nothing = Augmentation(
        hed_sigma=0, hed_shift=0, colour_probability=0, defocus_probability=0, noise_probability=0
    )
    chance = Chance.of(0, 0, CPU)

    image, instance_map = vary_tissue(*batch, nothing, chance)
    shown = vary_capture(image, nothing, chance)

    assert torch.equal(instance_map, batch[1])
    assert (shown - batch[0]).abs().max() <= 1


def test_what_is_shown_are_bytes(batch):
    every = Augmentation(colour_probability=1, defocus_probability=1, noise_probability=1)
    for step in range(5):
        shown = vary_capture(batch[0], every, Chance.of(0, step, CPU))

        assert shown.min() >= 0
        assert shown.max() <= 255
        assert torch.equal(shown, shown.round())


def test_stronger_hematoxylin_darkens_blue_nuclei_more_than_pink(batch):
    image, instance_map = batch
    nuclei = instance_map > 0
    darker = []
    for step in range(20):
        shown = vary_stains(image, Augmentation(hed_sigma=0.5), Chance.of(0, step, CPU))
        change = (image - shown)[:, 0]
        darker.append((float(change[nuclei].mean()), float(change[~nuclei].mean())))
    of_nuclei, of_pink = np.array(darker).T

    assert of_nuclei.std() > 3 * of_pink.std()


def test_nuclei_stay_darker_than_what_is_around_them(batch):
    image, instance_map = batch
    for step in range(30):
        varied = vary_contrast(image, instance_map, Chance.of(0, step, CPU))

        assert torch.isfinite(varied).all()
        assert _contrast(varied, instance_map > 0) > 3


def test_a_pasted_nucleus_is_in_the_picture_where_its_label_is(batch):
    image, instance_map = batch
    empty = torch.zeros_like(instance_map)
    pink = image[:, :, :1, :1].expand_as(image).clone()
    chance = Chance.of(0, 1, CPU)

    pasted, labels = paste_nuclei(pink, empty, image, instance_map, chance)

    nuclei = labels > 0
    assert nuclei.any()
    assert labels[nuclei].min() >= MAX_INSTANCES // 2
    # Their inside; the edge is soft.
    inner = torch.from_numpy(
        np.stack([cv2.erode(m.numpy().astype(np.uint8), np.ones((5, 5))) > 0 for m in nuclei])
    )
    assert (pasted[:, 0][inner] < 110).all()
    assert (pasted[:, 0][~nuclei] > 140).all()
    mirrored = instance_map.flip(-1) > 0
    assert not (nuclei & ~mirrored).any()


def test_no_nucleus_is_hidden_by_a_pasted_one(batch):
    image, instance_map = batch
    before = torch.bincount(instance_map[0].flatten(), minlength=10)[1:7]
    hidden = False
    for step in range(20):
        donor_map = torch.roll(instance_map, (10, 5), (1, 2))
        _, labels = paste_nuclei(image, instance_map, image, donor_map, Chance.of(0, step, CPU))
        left = torch.bincount(labels[0].flatten(), minlength=10)[1:7]
        assert (left[before > 0] >= 0.6 * before[before > 0]).all()
        hidden |= bool((left < before).any())

    assert hidden, "nothing was ever pasted over anything, so nothing was tested"


def test_every_image_is_blurred_by_its_own_sigma():
    image = torch.zeros(2, 3, 31, 41)
    image[:, :, 15, 20] = 1.0

    blurred = gaussian_blur(image, torch.tensor([0.5, 1.5]))

    for i, sigma in enumerate((0.5, 1.5)):
        wanted = cv2.GaussianBlur(image[i, 1].numpy(), (11, 11), sigma)
        np.testing.assert_allclose(blurred[i, 1], wanted, atol=1e-5)


def test_compression_is_what_jpeg_does(batch):
    """As far from the picture as OpenCV's JPEG of a like quality, and near it."""
    image = batch[0]

    class _Middle(Chance):
        def uniform(self, low, high, *shape):
            return torch.full(shape, 50.0)

    ours = _compress(image, _Middle(torch.Generator(), torch.Generator())).round().clamp(0, 255)
    rgb = image[0].permute(1, 2, 0).numpy().astype(np.uint8)
    options = [cv2.IMWRITE_JPEG_QUALITY, 50, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, 0x111111]
    theirs = cv2.imdecode(cv2.imencode(".jpg", rgb[:, :, ::-1], options)[1], 1)[:, :, ::-1]
    ours_rgb = ours[0].permute(1, 2, 0).numpy()

    assert np.abs(ours_rgb - rgb).mean() > 0.5
    assert np.abs(ours_rgb - theirs.astype(float)).mean() < 0.6
