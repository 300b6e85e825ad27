"""Model files: reading ours and the published format, writing ours.

Ours is ``<name>.safetensors`` with ``<name>.json``, the card, beside it. The published
HoverFast format is a ``.pth`` that torch pickled; it is only ever read with
``weights_only=True``, since a pickle can run code.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from hoverfast_platform.errors import CheckpointError
from hoverfast_platform.files import write_bytes, write_text
from hoverfast_platform.model.architecture import Architecture
from hoverfast_platform.model.card import ModelCard
from hoverfast_platform.model.network import HoverFast
from hoverfast_platform.model.registry import find_model, read_card, weights_digest
from hoverfast_platform.provenance import ModelSource

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


@dataclass(frozen=True)
class LoadedModel:
    """A network ready to predict or to be trained further, and where it came from.

    Attributes:
        network: In evaluation mode, on the CPU, float32.
        card: What is known about it.
        digest: SHA-256 of the weights file's bytes, hex.
        path: The file.
    """

    network: HoverFast
    card: ModelCard
    digest: str
    path: Path

    @property
    def source(self) -> ModelSource:
        """The model as results name it."""
        card = self.card
        return ModelSource(
            name=card.name,
            version=card.version,
            sha256=self.digest,
            mpp=card.mpp,
            appearance=card.appearance,
            statistics_share=card.statistics_share,
            labels=tuple(f"{source.name} ({source.licence})" for source in card.all_labels),
            teacher=card.teacher,
            cohort=card.cohort,
            training_set_digest=card.training_set_digest,
        )


def load_model(name_or_path: str | Path) -> LoadedModel:
    """Load a model by built-in name or path, in our format or the published one.

    Raises:
        CheckpointError: If it is missing, corrupt, of another architecture, or holds
            weights that are not finite.
    """
    path = find_model(name_or_path)
    if path.suffix == ".safetensors":
        card = read_card(path.with_suffix(".json"))
        weights: Mapping[str, torch.Tensor] = _read_safetensors(path)
    else:
        card, weights = _read_published(path)
    network = HoverFast(card.architecture)
    _fill(network, weights, path)
    network.eval()
    return LoadedModel(network, card, weights_digest(path), path)


def save_model(path: Path, network: HoverFast, card: ModelCard) -> None:
    """Write weights and card; both appear whole or not at all, the card last.

    Args:
        path: Ends in ``.safetensors``; the card gets the same name with ``.json``.
        network: Its weights are written as float32.
        card: Must describe the network's depth and filters.

    Raises:
        StorageError: If the folder is not writable or the disk is full.
    """
    weights = {
        name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()
    }
    write_bytes(path, save(weights))  # save_file would make it readable for its owner alone
    write_text(path.with_suffix(".json"), card.model_dump_json(indent=2) + "\n")


def _read_safetensors(path: Path) -> dict[str, torch.Tensor]:
    try:
        weights: dict[str, torch.Tensor] = load_file(path)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path} cannot be read as safetensors: {error}",
            "It is damaged or half copied; copy it again.",
        ) from error
    return weights


def _read_published(path: Path) -> tuple[ModelCard, Mapping[str, torch.Tensor]]:
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
    return card, {_plain_name(name): tensor for name, tensor in content["model_dict"].items()}


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
    """
    try:
        with torch.serialization.safe_globals(_NUMPY_SCALARS):
            return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError(f"There is no file {path}.") from error
    except Exception as error:  # damaged bytes make the unpickler raise anything
        raise CheckpointError(
            f"{path} cannot be read as a checkpoint without running code from it.",
            "It is damaged, a web page instead of a download, or holds objects of a program beside "
            "its weights: save its 'model_dict' and settings alone.",
        ) from error


def _plain_name(name: object) -> str:
    """Without what torch puts before names when a network is compiled or on several devices."""
    plain = str(name)
    while plain.startswith(_WRAPPERS):
        plain = plain.partition(".")[2]
    return plain


def _fill(network: HoverFast, weights: Mapping[str, Any], path: Path) -> None:
    try:
        network.load_state_dict(dict(weights))
    except (RuntimeError, TypeError, AttributeError, ValueError) as error:
        raise CheckpointError(
            f"{path} does not fit the HoverFast network: {misfit_of(network, weights)}.",
            "It is of another architecture, depth or width.",
        ) from error
    for name, tensor in network.state_dict().items():
        if not torch.isfinite(tensor).all():
            raise CheckpointError(
                f"{path} holds values that are not finite in {name}.",
                "Its training diverged; use an earlier checkpoint.",
            )
        if tensor.ndim > 1 and not tensor.any():
            raise CheckpointError(
                f"{path} holds nothing but zeros in {name}, so that it finds nothing anywhere.",
                "It was written before it was trained, or its export failed.",
            )


def misfit_of(network: torch.nn.Module, weights: Mapping[str, Any]) -> str:
    """What weights lack, have too much, or have in another shape; the first of each kind."""
    wanted = network.state_dict()
    lists = {
        "missing": [name for name in wanted if name not in weights],
        "unknown": [name for name in weights if name not in wanted],
        "of another shape": [
            name
            for name, tensor in wanted.items()
            if name in weights and getattr(weights[name], "shape", None) != tensor.shape
        ],
    }
    said = [
        f"{len(names)} {what} ({', '.join(names[:2])}{', ...' if len(names) > 2 else ''})"
        for what, names in lists.items()
        if names
    ]
    return "; ".join(said) or "its values are not tensors"
