"""Checkpoints of the published HoverFast, which torch pickled.

They are only ever read with ``weights_only=True``, since a pickle can run code.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hoverfast_platform.errors import CheckpointError
from hoverfast_platform.model.architecture import Architecture
from hoverfast_platform.model.card import ModelCard
from hoverfast_platform.stand_ins import refuse_stand_in

_PUBLISHED_FORM: dict[str, object] = {
    "n_classes": 2,
    "in_channels": 3,
    "padding": True,
    "up_mode": "upconv",
    "batch_norm": True,
    "conv_block": "msunet",
}
"""What the published settings must be for our network to be the same one."""


_WRAPPERS = ("module.", "_orig_mod.")
_SCALAR = np.float64(0).__reduce__()[0]
_NUMPY_SCALARS: list[Any] = [
    np.dtype,
    (_SCALAR, "numpy.core.multiarray.scalar"),  # as NumPy 1 named it
    (_SCALAR, "numpy._core.multiarray.scalar"),
    *{type(np.dtype(code)) for code in "?bhilqBHILQefd"},
]


_MAX_PUBLISHED_WF = 8
"""256 filters first, 16 times the published network's: more is a damaged number."""


def read_published(path: Path) -> tuple[ModelCard, Mapping[str, Any]]:
    """A card of what the file says, and what it holds as weights, not looked at yet.

    Raises:
        CheckpointError: If it is missing, damaged or not of the published form.
    """
    content = load_weights_only(path)
    missing = {"model_dict", "depth", "wf"} - set(content if isinstance(content, dict) else ())
    if missing:
        raise CheckpointError(
            f"{path} is not a HoverFast checkpoint: {', '.join(sorted(missing))} missing.",
            "Expected the published format (model_dict, depth, wf, ...) or .safetensors.",
        )
    for key, expected in _PUBLISHED_FORM.items():
        if content.get(key, expected) != expected:
            raise CheckpointError(
                f"{path} is of another architecture: {key} is {content[key]!r}, "
                f"this platform runs {expected!r}.",
                "Only the published HoverFast form (msunet blocks, batch norm, padding, "
                "transposed convolutions) is supported.",
            )
    card = ModelCard(
        name=path.stem,
        version="published-format",
        architecture=_published_architecture(path, content["depth"], content["wf"]),
        description="Loaded from the published checkpoint format, which carries no card.",
    )
    if not isinstance(content["model_dict"], Mapping):
        raise CheckpointError(
            f"{path} is not a HoverFast checkpoint: its model_dict holds no weights.",
            "Expected the published format (model_dict, depth, wf, ...) or .safetensors.",
        )
    return card, {
        _plain_name(name): _as_array(value) for name, value in content["model_dict"].items()
    }


def _published_architecture(path: Path, depth: Any, wf: Any) -> Architecture:
    """The architecture of a published checkpoint: ``depth`` levels, ``2 ** wf`` filters first.

    Raises:
        CheckpointError: If one is not a whole number, or no network of that size can be meant.
    """
    return Architecture(
        depth=_whole_number(path, "depth", depth, least=1, most=6),
        first_filters=2 ** _whole_number(path, "wf", wf, least=0, most=_MAX_PUBLISHED_WF),
    )


def _whole_number(path: Path, name: str, value: Any, *, least: int, most: int) -> int:
    try:
        number = operator.index(value)  # NumPy's whole numbers too
    except TypeError:
        number = least - 1
    if not least <= number <= most:
        raise CheckpointError(
            f"{path} is not a HoverFast checkpoint: {name} is {str(value)[:40]!r}, and a whole "
            f"number from {least} to {most} was expected.",
            "The published network has depth 3 and wf 4; copy the file again.",
        )
    return number


def load_weights_only(path: Path) -> Any:
    """What torch saved in a file, without running code from it.

    NumPy scalars, which the published trainer stores beside the weights, are taken: they are
    numbers and run nothing.

    Raises:
        CheckpointError: If it is missing, damaged, or holds anything but weights and numbers.
        PermissionError: If this user may not read it.
    """
    try:
        with torch.serialization.safe_globals(_NUMPY_SCALARS):
            return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError(f"There is no file {path}.") from error
    except PermissionError:
        raise
    except Exception as error:  # damaged bytes make the unpickler raise anything
        refuse_stand_in(path, "a checkpoint", CheckpointError)
        raise CheckpointError(
            f"{path} cannot be read as a checkpoint without running code from it.",
            "It is damaged, or holds objects of a program beside its weights: save its "
            "'model_dict' and settings alone.",
        ) from error


def _plain_name(name: object) -> str:
    """Without what torch puts before names when a network is compiled or on several devices."""
    plain = str(name)
    while plain.startswith(_WRAPPERS):
        plain = plain.partition(".")[2]
    return plain


def _as_array(value: Any) -> Any:
    """A tensor as an array; anything else as it is, to be refused by its name."""
    is_dense = isinstance(value, torch.Tensor) and value.layout == torch.strided
    if not is_dense or value.is_meta or value.is_quantized:
        return None
    return (value.float() if value.is_floating_point() else value).detach().cpu().numpy()
