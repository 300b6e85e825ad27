"""Batch-norm statistics taken anew on other images, without labels and without training.

A network normalises what it sees by the mean and variance of the stains it learned from; taking
them of a lab's own images adapts it to that lab (Li et al., "Revisiting batch normalization
for practical domain adaptation", arXiv 1603.04779).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from hoverfast_platform.config import Appearance
from hoverfast_platform.model.batch_norms import statistics_taken
from hoverfast_platform.model.network import HoverFast
from hoverfast_platform.stain import normalised_alone
from hoverfast_platform.storage.patch_table import PatchTable
from hoverfast_platform.training.crops import reduced, reduction_to

_MIN_PX, _MAX_PX = 32, 512


@torch.no_grad()
def retake_statistics(
    network: HoverFast,
    tables: Sequence[PatchTable],
    n_patches: int,
    appearance: Appearance,
    mpp: float | None = None,
) -> None:
    """Replace mean and variance of every batch norm by their mean over patches, in place.

    Always the same patches, so that equal weights get equal statistics. In float32 on every
    device. The network is left in evaluation mode.

    Args:
        network: On any device.
        tables: Their images, not their labels; in proportion to area times weight.
        n_patches: How many; 0 changes nothing.
        appearance: What the network's images are brought to.
        mpp: Scale at which the network works; None takes the tables'.
    """
    chosen = _chosen(tables, n_patches)
    if not chosen:
        network.eval()
        return
    device = next(network.parameters()).device
    multiple_px = network.architecture.multiple_px
    with statistics_taken(network, share=None):
        for table, i in chosen:
            patch = table.read(i)
            patch = replace(patch, image=normalised_alone(patch.image, appearance))
            image = reduced(patch, reduction_to(mpp, table.mpp)).image
            height, width = (min(side - side % multiple_px, _MAX_PX) for side in image.shape[:2])
            pixels = torch.from_numpy(np.ascontiguousarray(image[:height, :width])).to(device)
            network(pixels.permute(2, 0, 1)[None].float() / 255.0)


def _chosen(tables: Sequence[PatchTable], n_patches: int) -> list[tuple[PatchTable, int]]:
    """Evenly spaced in the running sum of weight times area, each at most once."""
    patches = [
        (table, i, float(table.weights[i] * table.sizes_px[i].prod()))
        for table in tables
        for i in range(len(table))
        if table.sizes_px[i].min() >= _MIN_PX
    ]
    if not patches or n_patches == 0:
        return []
    total = np.cumsum([share for _, _, share in patches])
    wanted = (np.arange(n_patches) + 0.5) / n_patches * total[-1]
    picked = sorted(set(np.searchsorted(total, wanted).tolist()))
    return [patches[k][:2] for k in picked]
