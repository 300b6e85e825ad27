"""Varied batches: other organs, other stains, other scanners; on whatever device trains.

Two steps, because a teacher is shown what the first one gives and the student what the second one
makes of it, so that a student learns to see through blur, noise and odd stains what its teacher
sees without them (Xie et al., "Self-training with noisy student", CVPR 2020).

* :func:`vary_tissue` changes what is in the picture, with its labels: nuclei paler, darker or
  vesicular in more or less purple surroundings, and nuclei of other crops set down among them.
* :func:`vary_capture` changes how the picture was taken: stain, scanner, focus, noise, JPEG.

What is decided for an image comes from a generator on the CPU, noise for single pixels and nuclei
from one on the device, so a batch depends on its seed alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from hoverfast_platform.stain import DAB, HEMATOXYLIN, RUIFROK_EOSIN
from hoverfast_platform.training.settings import Augmentation
from hoverfast_platform.training.targets import MAX_INSTANCES

_OD_OF_STAIN = np.array([HEMATOXYLIN, RUIFROK_EOSIN, DAB])
_OD_OF_STAIN /= np.linalg.norm(_OD_OF_STAIN, axis=1, keepdims=True)
"""Optical density of hematoxylin, eosin and DAB (the residual) in red, green and blue."""
_STAIN_OF_OD = np.linalg.inv(_OD_OF_STAIN)

_YIQ_OF_RGB = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
"""Brightness and two axes of colour: turned, they change the hue, stretched, the saturation."""

_SMALLEST_CONTRAST_OD = 0.08
"""How much denser in red nuclei stay than what is around them; paler ones could not be seen."""
_EDGE_SIGMA_PX = 1.2
_RIM_PX = 2
"""Width of the rim of a vesicular nucleus, which stays dark."""
_MAX_COVERED = 0.4
"""The largest share of a nucleus that a pasted one may cover: with more of it hidden, nobody could
tell from the picture that it is there."""
_MAX_PASTED = MAX_INSTANCES // 2
"""Pasted nuclei are numbered from here on."""
_BLUR_REACH_PX = 5

_JPEG_LUMINANCE = np.array([
    [16, 11, 10, 16, 24, 40, 51, 61], [12, 12, 14, 19, 26, 58, 60, 55],
    [14, 13, 16, 24, 40, 57, 69, 56], [14, 17, 22, 29, 51, 87, 80, 62],
    [18, 22, 37, 56, 68, 109, 103, 77], [24, 35, 55, 64, 81, 104, 113, 92],
    [49, 64, 78, 87, 103, 121, 120, 101], [72, 92, 95, 98, 112, 100, 103, 99],
])  # fmt: skip
"""Quantisation of brightness at quality 50: ITU-T T.81 (JPEG), annex K."""
_JPEG_CHROMINANCE = np.full((8, 8), 99)
_JPEG_CHROMINANCE[:4, :4] = [[17, 18, 24, 47], [18, 21, 26, 66], [24, 26, 56, 99], [47, 66, 99, 99]]
_YCC_OF_RGB = np.array(
    [[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]]
)


@dataclass(frozen=True)
class Chance:
    """Where chance comes from; see the module."""

    host: torch.Generator
    device: torch.Generator

    @classmethod
    def of(cls, seed: int, step: int, device: torch.device) -> Chance:
        """Those of one step of a training."""
        first, second = np.random.SeedSequence([seed, step]).generate_state(2).tolist()
        return cls(
            torch.Generator().manual_seed(first), torch.Generator(device).manual_seed(second)
        )

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """Decisions for images, on the device."""
        drawn = torch.rand(shape, generator=self.host) * (high - low) + low
        return drawn.to(self.device.device, non_blocking=True)

    def chosen(self, probability: float, n: int) -> Tensor:
        """Which of ``n`` images something happens to: their numbers."""
        hit = torch.rand(n, generator=self.host) < probability
        return hit.nonzero()[:, 0].to(self.device.device, non_blocking=True)

    def per_pixel(self, *shape: int) -> Tensor:
        """Uniform in 0..1, drawn on the device."""
        return torch.rand(shape, generator=self.device, device=self.device.device)

    def noise(self, *shape: int) -> Tensor:
        """Normal, drawn on the device."""
        return torch.randn(shape, generator=self.device, device=self.device.device)


def vary_tissue(
    image: Tensor, instance_map: Tensor, settings: Augmentation, chance: Chance
) -> tuple[Tensor, Tensor]:
    """Another organ: varied copies of images and labels.

    Args:
        image: ``(N, 3, H, W)`` float32, 0..255.
        instance_map: ``(N, H, W)`` int64, numbers below half of ``MAX_INSTANCES``.
        settings: How often each.
        chance: Decides which.
    """
    image, instance_map = image.clone(), instance_map.clone()
    n = len(image)
    pasted = chance.chosen(settings.copy_paste_probability, n)
    if len(pasted):
        donors = (pasted + 1) % n
        image[pasted], instance_map[pasted] = paste_nuclei(
            image[pasted], instance_map[pasted], image[donors], instance_map[donors], chance
        )
    varied = chance.chosen(settings.contrast_probability, n)
    if len(varied):
        image[varied] = vary_contrast(image[varied], instance_map[varied], chance)
    return image, instance_map


def vary_capture(image: Tensor, settings: Augmentation, chance: Chance) -> Tensor:
    """Another stain, another scanner: a varied copy of ``(N, 3, H, W)``, 0..255, float32."""
    n = len(image)
    image = vary_stains(image, settings, chance)
    for probability, vary in (
        (settings.colour_probability, _vary_scanner),
        (settings.defocus_probability, _defocus),
        (settings.noise_probability / 2, _add_noise),
        (settings.noise_probability / 2, _compress),
    ):
        chosen = chance.chosen(probability, n)
        if len(chosen):
            image[chosen] = vary(image[chosen], chance)
    return image.round().clamp(0, 255)


def paste_nuclei(
    image: Tensor, instance_map: Tensor, donor: Tensor, donor_map: Tensor, chance: Chance
) -> tuple[Tensor, Tensor]:
    """Nuclei of other crops set down where they lie in theirs, mirrored, with soft edges.

    A nucleus that its crop's edge cuts is left out, and so is one that would hide more than 0.4 of
    another (copy-paste, Ghiasi et al., CVPR 2021).

    Args:
        image: ``(N, 3, H, W)``.
        instance_map: ``(N, H, W)``.
        donor: Images to take nuclei from, one for each.
        donor_map: Their nuclei.
        chance: Decides which nuclei.
    """
    n = len(image)
    donor, donor_map = donor.flip(-1), donor_map.flip(-1)
    keep = chance.per_pixel(n, MAX_INSTANCES) < chance.uniform(0.05, 0.5, n, 1)
    keep[:, 0] = False
    for edge in (donor_map[:, 0], donor_map[:, -1], donor_map[:, :, 0], donor_map[:, :, -1]):
        keep.scatter_(1, edge, False)
    pasted = keep.gather(1, donor_map.flatten(1)).view_as(donor_map)
    area = _per_nucleus(torch.ones_like(pasted, dtype=torch.float32), instance_map)
    covered = _per_nucleus(pasted.float(), instance_map)
    is_hidden = covered > _MAX_COVERED * area
    is_hidden[:, 0] = False
    hides = pasted & is_hidden.gather(1, instance_map.flatten(1)).view_as(pasted)
    keep &= _per_nucleus(hides.float(), donor_map) == 0
    pasted = keep.gather(1, donor_map.flatten(1)).view_as(donor_map)
    alpha = gaussian_blur(pasted.float()[:, None], torch.ones(n, device=image.device))
    return (
        alpha * donor + (1 - alpha) * image,
        torch.where(pasted, donor_map % _MAX_PASTED + _MAX_PASTED, instance_map),
    )


def vary_contrast(image: Tensor, instance_map: Tensor, chance: Chance) -> Tensor:
    """Paler, darker and vesicular nuclei in more or less purple surroundings.

    Colour augmentation changes a whole image alike. What differs between organs is local:
    epithelium has purple cytoplasm around pale nuclei, tumours have vesicular ones. Nuclei that
    were denser in red than the tissue around them, on the average, stay so: where they would not,
    half of the change is taken back, up to twice, then all.

    Args:
        image: ``(N, 3, H, W)``, 0..255.
        instance_map: ``(N, H, W)``.
        chance: Decides how much of each.
    """
    density = _shown_density(image)
    nuclei = (instance_map > 0).float()
    change = density * (_density_of_nuclei(instance_map, chance)[:, None] - 1.0)
    change += _stained_surroundings(density, nuclei, chance)
    enough = _contrast(density, nuclei).clamp(max=_SMALLEST_CONTRAST_OD)
    varied = density
    for share in (0.25, 0.5, 1.0):
        candidate = density + share * change
        keeps = _contrast(candidate, nuclei) >= enough
        varied = torch.where(keeps[:, None, None, None], candidate, varied)
    return _brightness(varied)


def vary_stains(image: Tensor, settings: Augmentation, chance: Chance) -> Tensor:
    """Multiply and shift the amount of each stain (Tellez et al., IEEE TMI 37 (2018) 2126)."""
    n = len(image)
    factor = chance.uniform(1 - settings.hed_sigma, 1 + settings.hed_sigma, n, 3)
    shift = chance.uniform(-settings.hed_shift, settings.hed_shift, n, 3)
    od_of_stain, stain_of_od = _constant(_OD_OF_STAIN, image), _constant(_STAIN_OF_OD, image)
    # To stains, scaled, back: one matrix for each image.
    matrix = (stain_of_od[None] * factor[:, None, :]) @ od_of_stain
    density = _shown_density(image)
    varied = torch.einsum("nchw,ncd->ndhw", density, matrix)
    varied += (shift @ od_of_stain)[:, :, None, None]
    return _brightness(varied).clamp(0, 255)


def _shown_density(image: Tensor) -> Tensor:
    """The shown density of :mod:`hoverfast_platform.stain`, on the device that trains."""
    return -((image + 1.0) / 256.0).log()


def _brightness(density: Tensor) -> Tensor:
    """Turn shown density back into brightness, 0..255 unless it was out of range."""
    return 256.0 * (-density).exp() - 1.0


def gaussian_blur(image: Tensor, sigma_px: Tensor) -> Tensor:
    """Every image of ``(N, C, H, W)`` blurred by its own sigma ``(N,)``, cut off after 5 px."""
    n, channels, height, width = image.shape
    offset = torch.arange(-_BLUR_REACH_PX, _BLUR_REACH_PX + 1, device=image.device)
    kernel = (-0.5 * (offset[None] / sigma_px[:, None]) ** 2).exp()
    kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(channels, 0)
    flat = image.reshape(1, n * channels, height, width)
    flat = F.pad(flat, (_BLUR_REACH_PX, _BLUR_REACH_PX, _BLUR_REACH_PX, _BLUR_REACH_PX), "reflect")
    flat = F.conv2d(flat, kernel[:, None, None, :], groups=n * channels)
    flat = F.conv2d(flat, kernel[:, None, :, None], groups=n * channels)
    return flat.reshape(image.shape)


def _density_of_nuclei(instance_map: Tensor, chance: Chance) -> Tensor:
    """Factor of optical density, ``(N, H, W)``: 1 outside nuclei, soft at their edges."""
    n = len(instance_map)
    factors = chance.uniform(0.6, 1.25, n, 1) * (0.8 + 0.4 * chance.per_pixel(n, MAX_INSTANCES))
    is_vesicular = chance.per_pixel(n, MAX_INSTANCES) < chance.uniform(0.2, 0.9, n, 1)
    is_vesicular &= chance.uniform(0, 1, n, 1) < 0.5
    lightened = torch.where(is_vesicular, 0.5 + 0.4 * chance.per_pixel(n, MAX_INSTANCES), 1.0)
    factors[:, 0] = lightened[:, 0] = 1.0
    flat = instance_map.flatten(1)
    field = factors.gather(1, flat).view_as(instance_map)
    # A rim runs between two nuclei that touch, too: it is what tells them apart.
    numbers = instance_map.float()[:, None]
    side = 2 * _RIM_PX + 1
    highest = F.max_pool2d(numbers, side, 1, _RIM_PX)
    lowest = -F.max_pool2d(-numbers, side, 1, _RIM_PX)
    inside = lightened.gather(1, flat).view_as(instance_map)
    field = field * torch.where((highest == lowest)[:, 0], inside, 1.0)
    sigma = torch.full((n,), _EDGE_SIGMA_PX, device=instance_map.device)
    return gaussian_blur(field[:, None], sigma)[:, 0]


def _stained_surroundings(density: Tensor, nuclei: Tensor, chance: Chance) -> Tensor:
    """What to add to density outside nuclei: a factor, and patches of hematoxylin in tissue."""
    n, _, height, width = density.shape
    sigma = torch.full((n,), _EDGE_SIGMA_PX, device=density.device)
    outside = 1.0 - gaussian_blur(nuclei[:, None], sigma)
    coarse = chance.per_pixel(n, 1, 6, 6)
    patches = F.interpolate(coarse, (height, width), mode="bicubic", align_corners=False)
    tissue = (density.mean(1, keepdim=True) / 0.25).clamp(0, 1)
    purple = chance.uniform(0, 0.35, n, 1, 1, 1) * patches.clamp(0, 1) * tissue * outside
    factor = chance.uniform(0.8, 1.35, n, 1, 1, 1) - 1.0
    hematoxylin = torch.tensor(HEMATOXYLIN, device=density.device)[None, :, None, None]
    return density * factor * outside + purple * hematoxylin


def _contrast(density: Tensor, nuclei: Tensor) -> Tensor:
    """How much denser nuclei are in red than the tissue around them, ``(N,)``; 0 without any."""
    red = density[:, 0]
    around = (1 - nuclei) * (density.mean(1) > 0.1)
    inside = (red * nuclei).sum((1, 2)) / nuclei.sum((1, 2)).clamp(min=1)
    outside = (red * around).sum((1, 2)) / around.sum((1, 2)).clamp(min=1)
    return torch.where(nuclei.sum((1, 2)) > 0, inside - outside, 0.0)


def _vary_scanner(image: Tensor, chance: Chance) -> Tensor:
    """Hue, saturation, contrast, brightness and gamma."""
    n = len(image)
    yiq = _constant(_YIQ_OF_RGB, image)
    turn, saturation = chance.uniform(-0.3, 0.3, n), chance.uniform(0.7, 1.3, n)
    middle = torch.zeros(n, 3, 3, device=image.device)
    middle[:, 0, 0] = 1.0
    middle[:, 1, 1] = middle[:, 2, 2] = saturation * turn.cos()
    middle[:, 1, 2], middle[:, 2, 1] = -saturation * turn.sin(), saturation * turn.sin()
    matrix = torch.linalg.inv(yiq)[None] @ middle @ yiq[None]
    level = torch.einsum("nchw,ndc->ndhw", image / 255.0, matrix).clamp(0, 1)
    level = level ** chance.uniform(0.75, 1.35, n, 1, 1, 1)
    contrast, brightness = (
        chance.uniform(0.75, 1.2, n, 1, 1, 1),
        chance.uniform(-0.08, 0.08, n, 1, 1, 1),
    )
    return (255.0 * ((level - 0.5) * contrast + 0.5 + brightness)).clamp(0, 255)


def _defocus(image: Tensor, chance: Chance) -> Tensor:
    """Gaussian blur, as of a plane out of focus or a lower magnification."""
    return gaussian_blur(image, chance.uniform(0.3, 1.5, len(image)))


def _add_noise(image: Tensor, chance: Chance) -> Tensor:
    """Add the noise of a camera's sensor."""
    return image + chance.noise(*image.shape) * chance.uniform(2, 10, len(image), 1, 1, 1)


def _compress(image: Tensor, chance: Chance) -> Tensor:
    """JPEG of quality 30 to 90, without thinning of colours."""
    n, _, height, width = image.shape
    padded = F.pad(image, (0, -width % 8, 0, -height % 8), "replicate")
    to_ycc = _constant(_YCC_OF_RGB, image)
    ycc = torch.einsum("nchw,dc->ndhw", padded, to_ycc)
    ycc[:, 0] -= 128.0
    rows, columns = padded.shape[2] // 8, padded.shape[3] // 8
    blocks = ycc.reshape(n, 3, rows, 8, columns, 8)
    k, i = np.mgrid[:8, :8]
    cosines = np.where(k == 0, np.sqrt(0.125), 0.5 * np.cos((2 * i + 1) * k * np.pi / 16))
    dct = _constant(cosines, image)
    coefficients = torch.einsum("ki,ncribj,lj->ncrkbl", dct, blocks, dct)
    quality = chance.uniform(30, 90, n)
    scale = torch.where(quality < 50, 50.0 / quality, 2.0 - quality / 50.0)
    tables = np.stack([_JPEG_LUMINANCE, _JPEG_CHROMINANCE, _JPEG_CHROMINANCE])
    step = (_constant(tables, image)[None] * scale[:, None, None, None]).round().clamp(1, 255)
    step = step[:, :, None, :, None, :]
    coefficients = (coefficients / step).round() * step
    blocks = torch.einsum("ki,ncrkbl,lj->ncribj", dct, coefficients, dct)
    ycc = blocks.reshape(padded.shape)
    ycc[:, 0] += 128.0
    rgb = torch.einsum("nchw,dc->ndhw", ycc, torch.linalg.inv(to_ycc))
    return rgb[:, :, :height, :width]


def _per_nucleus(values: Tensor, instance_map: Tensor) -> Tensor:
    """Sum of ``(N, H, W)`` over every nucleus, ``(N, MAX_INSTANCES)``; 0 is the background."""
    total = torch.zeros(len(values), MAX_INSTANCES, device=values.device)
    return total.scatter_add_(1, instance_map.flatten(1), values.flatten(1))


def _constant(array: np.ndarray[tuple[int, ...], np.dtype[np.float64]], like: Tensor) -> Tensor:
    return torch.as_tensor(array, dtype=torch.float32, device=like.device)
