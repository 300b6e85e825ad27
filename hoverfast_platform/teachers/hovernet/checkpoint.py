"""Reading the weights that the authors of HoVer-Net published."""

from __future__ import annotations

from pathlib import Path

import torch

from hoverfast_platform.errors import CheckpointError
from hoverfast_platform.model.published_checkpoint import load_weights_only
from hoverfast_platform.model.weights import misfit_of
from hoverfast_platform.teachers.hovernet.network import HoverNet, Mode

_MODE_BY_KERNEL: dict[int, Mode] = {5: "original", 3: "fast"}
_NOT_WEIGHTS = ("upsample2x.unpool_mat",)
"""Constants that the published code keeps beside the weights."""


def load_hovernet(path: Path) -> HoverNet:
    """A HoVer-Net with published weights, in evaluation mode on the CPU.

    The mode is read off the weights; a branch for nuclear types is left out.

    Raises:
        CheckpointError: If the file is missing, damaged, or anything else.
    """
    weights = _read(path)
    kernel = weights.get("decoder.np.u3.conva.weight")
    mode = _MODE_BY_KERNEL.get(int(kernel.shape[-1])) if kernel is not None else None
    if mode is None:
        raise CheckpointError(
            f"{path} holds no HoVer-Net: its decoder is missing.",
            "Expected a checkpoint of vqdang/hover_net. A HoverFast student is a teacher by the "
            "name of its file, without `hovernet:`.",
        )
    network = HoverNet(mode)
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
        raise CheckpointError(
            f"{path} does not fit HoVer-Net in {mode} mode: {misfit_of(shapes, weights)}.",
            "It is of another version or was changed.",
        ) from error
    if not all(bool(torch.isfinite(tensor).all()) for tensor in network.state_dict().values()):
        raise CheckpointError(f"{path} holds weights that are not finite.", "Download it again.")
    return network.eval()


def _read(path: Path) -> dict[str, torch.Tensor]:
    content = load_weights_only(path)
    described = content.get("desc") if isinstance(content, dict) else None
    if not isinstance(described, dict):
        raise CheckpointError(
            f"{path} has no entry 'desc', in which HoVer-Net checkpoints keep the weights.",
            "Expected a checkpoint of vqdang/hover_net.",
        )
    weights = {str(name).removeprefix("module."): tensor for name, tensor in described.items()}
    return {
        name: tensor
        for name, tensor in weights.items()
        if not name.startswith("decoder.tp.") and name not in _NOT_WEIGHTS
    }
