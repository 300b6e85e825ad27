"""Model files: reading ours and the published format, writing ours.

Ours is ``<name>.safetensors`` with ``<name>.json``, the card, beside it. It is read and written
without torch, which takes longer to start than a tile takes to predict; the published format
needs torch (``model.published_checkpoint``).
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from hoverfast_platform.errors import CheckpointError
from hoverfast_platform.files import write_bytes, write_text
from hoverfast_platform.model.architecture import Architecture
from hoverfast_platform.model.card import ModelCard
from hoverfast_platform.model.registry import find_model, read_card, weights_digest
from hoverfast_platform.model.weights import Weights, misfit_of, weight_shapes
from hoverfast_platform.provenance import ModelSource
from hoverfast_platform.stand_ins import refuse_stand_in

if TYPE_CHECKING:
    from hoverfast_platform.model.network import HoverFast


@dataclass(frozen=True)
class LoadedModel:
    """A model ready to predict or to be trained further, and where it came from.

    Attributes:
        weights: Of its network, float32.
        card: What is known about it.
        digest: SHA-256 of the weights file's bytes, hex.
        path: The file.
    """

    weights: Weights
    card: ModelCard
    digest: str
    path: Path

    @functools.cached_property
    def network(self) -> HoverFast:
        """The network in torch, made when first asked for: in evaluation mode, on the CPU."""
        from hoverfast_platform.model.network import network_with

        return network_with(self.card.architecture, self.weights)

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
    found: Mapping[str, Any]
    if path.suffix == ".safetensors":
        card = read_card(path.with_suffix(".json"))
        found = _read_safetensors(path)
    else:
        from hoverfast_platform.model.published_checkpoint import read_published  # needs torch

        card, found = read_published(path)
    weights = _checked(found, card.architecture, path)
    return LoadedModel(weights, card, weights_digest(path), path)


def save_model(path: Path, network: HoverFast, card: ModelCard) -> None:
    """Write weights and card; both appear whole or not at all, the card last.

    Args:
        path: Ends in ``.safetensors``; the card gets the same name with ``.json``.
        network: Its weights are written as float32.
        card: Must describe the network's depth and filters.

    Raises:
        StorageError: If the folder is not writable or the disk is full.
    """
    write_bytes(path, save(weights_of(network)))  # save_file would let its owner alone read it
    write_text(path.with_suffix(".json"), card.model_dump_json(indent=2) + "\n")


def weights_of(network: HoverFast) -> dict[str, np.ndarray[Any, Any]]:
    """A copy of a network's weights."""
    return {
        name: tensor.detach().cpu().numpy().copy()  # C-ordered, as safetensors takes them
        for name, tensor in network.state_dict().items()
    }


def _read_safetensors(path: Path) -> Mapping[str, Any]:
    """Weights by name; not mapped: where a mapped file cannot be read, the process is ended."""
    try:
        weights: Mapping[str, Any] = load(path.read_bytes())
    except (SafetensorError, OSError, KeyError) as error:  # KeyError: a kind of number not known
        refuse_stand_in(path, "weights", CheckpointError)
        raise CheckpointError(
            f"{path} cannot be read as safetensors: {error}",
            "It is damaged or half copied; copy it again.",
        ) from error
    return weights


def _checked(found: Mapping[str, Any], architecture: Architecture, path: Path) -> Weights:
    """Weights of that architecture, in single precision.

    Raises:
        CheckpointError: If they are of another one, or cannot be those of a trained network.
    """
    shapes = weight_shapes(architecture)
    misfit = misfit_of(shapes, found)
    if misfit:
        raise CheckpointError(
            f"{path} does not fit the HoverFast network: {misfit}.",
            "It is of another architecture, depth or width.",
        )
    weights: dict[str, np.ndarray[Any, Any]] = {}
    for name in shapes:
        values = np.asarray(found.get(name, 0))
        if name.endswith(".num_batches_tracked"):
            weights[name] = values.astype(np.int64)
            continue
        weights[name] = values.astype(np.float32)
        if not np.isfinite(weights[name]).all():
            raise CheckpointError(
                f"{path} holds values that are not finite in {name}.",
                "Its training diverged; use an earlier checkpoint.",
            )
        if values.ndim > 1 and not values.any():
            raise CheckpointError(
                f"{path} holds nothing but zeros in {name}, so that it finds nothing anywhere.",
                "It was written before it was trained, or its export failed.",
            )
    return weights
