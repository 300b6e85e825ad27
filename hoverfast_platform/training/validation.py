"""How good a network is on a fixed set: whole patches, nothing varied, through the decoder."""

from __future__ import annotations

from hoverfast_platform.config import Appearance, InstanceDecoding
from hoverfast_platform.evaluation.metrics import Scores, score
from hoverfast_platform.hv.decode import decode_instance_map, without_small_nuclei
from hoverfast_platform.inference.adapted_model import AdaptedModel
from hoverfast_platform.inference.backends.plain_network import PlainNetwork
from hoverfast_platform.model.network import HoverFast
from hoverfast_platform.slide.samples import samples_of_image
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
    scores = []
    reduction = reduction_to(mpp, table.mpp)
    for patch in (reduced(patch, reduction) for patch in table):
        adapted = AdaptedModel.to(
            samples_of_image(patch.image), PlainNetwork(network), appearance, statistics_share
        )
        maps = adapted.predict([patch.image])[0]
        instances = decode_instance_map(maps[0], maps[1:], decoding=decoding)
        instances = without_small_nuclei(instances, mpp or table.mpp, decoding)
        scores.append(score(patch.instance_map, instances, mpp=mpp or table.mpp))
    return tuple(scores)
