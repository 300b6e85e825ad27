"""How good a network is on a fixed set: whole patches, nothing varied, through the decoder."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from hoverfast_platform.arrays import InstanceMap, RgbImage
from hoverfast_platform.config import Appearance, InstanceDecoding
from hoverfast_platform.evaluation.metrics import Scores, score
from hoverfast_platform.hv.decode import decode_instance_map, without_small_nuclei
from hoverfast_platform.model.network import HoverFast, MapsFromPixels
from hoverfast_platform.model.slide_statistics import adapted_to
from hoverfast_platform.slide.samples import samples_of_image
from hoverfast_platform.stain import normalisation_of
from hoverfast_platform.storage.patch_table import PatchTable
from hoverfast_platform.training.crops import reduced, reduction_to


def validate(
    network: HoverFast,
    table: PatchTable,
    appearance: Appearance,
    statistics_share: float = 0.0,
    decoding: InstanceDecoding = InstanceDecoding(),
    mpp: float | None = None,
) -> tuple[Scores, ...]:
    """Scores of every patch of a table that has annotated nuclei or predicted ones.

    The network is left in evaluation mode. Each patch is brought to ``appearance``, and the
    network adapted to it, by itself, as for an image in inference. At a coarser ``mpp`` images and
    labels are reduced first.
    """
    network.eval()
    device = next(network.parameters()).device
    scores = []
    reduction = reduction_to(mpp, table.mpp)
    for patch in (reduced(patch, reduction) for patch in table):
        samples = samples_of_image(patch.image)
        normalisation = normalisation_of(samples, appearance)
        shown = [normalisation.apply(sample) for sample in samples]
        adapted = adapted_to(network, shown, statistics_share, str(device)).to(device)
        image = normalisation.apply(patch.image)
        instances = predict_instances(adapted, image, mpp or table.mpp, decoding)
        scores.append(score(patch.instance_map, instances, mpp=mpp or table.mpp))
    return tuple(scores)


@torch.inference_mode()
def predict_instances(
    network: HoverFast, image: RgbImage, mpp: float, decoding: InstanceDecoding
) -> InstanceMap:
    """Instance map of one image, as inference would decode it.

    Args:
        network: In evaluation mode, on any device.
        image: ``(H, W, 3)`` at the model's mpp and stain; its border is repeated to fit the
            network.
        mpp: Micrometres per pixel.
        decoding: How maps become nuclei; smaller nuclei than its minimum are left out.
    """
    height, width = image.shape[:2]
    multiple = network.architecture.multiple_px
    pad = (0, -width % multiple, 0, -height % multiple)
    device = next(network.parameters()).device
    pixels = torch.from_numpy(image).to(device).permute(2, 0, 1)[None].float()
    pixels = F.pad(pixels, pad, mode="replicate").permute(0, 2, 3, 1)
    maps = MapsFromPixels(network)(pixels)[0, :, :height, :width].float().cpu().numpy()
    instances = decode_instance_map(maps[0], maps[1:], decoding=decoding)
    return without_small_nuclei(instances, mpp, decoding)
