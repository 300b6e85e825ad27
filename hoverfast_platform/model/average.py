"""The mean of several models' weights, one model again.

Models trained from a common ancestor lie in one valley, and their mean generalises better
than each of them at the cost of one (Wortsman et al., "Model soups", ICML 2022). Batch norm's
statistics are averaged too.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from hoverfast_platform.errors import SettingsError
from hoverfast_platform.files import text_sha256
from hoverfast_platform.model.card import ModelCard, distinct_labels, inherited_labels
from hoverfast_platform.model.checkpoint import LoadedModel
from hoverfast_platform.model.network import HoverFast
from hoverfast_platform.version import __version__


def average_models(models: Sequence[LoadedModel], name: str) -> tuple[HoverFast, ModelCard]:
    """Mean weights and a card that names the members.

    Args:
        models: At least two, of one shape and one mpp; equal weight each.
        name: Name of the new model.

    Raises:
        SettingsError: If they are fewer, or differ in mpp, architecture or stain.
    """
    shapes = {
        (
            m.card.mpp,
            m.card.architecture.model_dump_json(),
            m.card.stain,
            m.card.appearance.model_dump_json(),
            m.card.statistics_share,
        )
        for m in models
    }
    if len(models) < 2 or len(shapes) != 1:
        raise SettingsError(
            f"Two or more models of one mpp, architecture and stain are needed, got {len(models)} "
            f"with {sorted(shapes)}.",
            "Average students that have a parent in common.",
        )
    first = models[0].card
    network = HoverFast(first.architecture)
    states = [model.network.state_dict() for model in models]
    network.load_state_dict(
        {
            key: torch.stack([state[key] for state in states]).mean(dim=0)
            if tensor.is_floating_point()
            else tensor  # batch norm's counter of batches
            for key, tensor in states[0].items()
        }
    )
    digests = [model.digest for model in models]
    labels = distinct_labels(label for m in models for label in m.card.labels)
    card = ModelCard(
        name=name,
        version=text_sha256(" ".join(digests))[:10],
        mpp=first.mpp,
        stain=first.stain,
        appearance=first.appearance,
        statistics_share=first.statistics_share,
        architecture=first.architecture,
        description=f"Mean of the weights of {', '.join(m.card.name for m in models)}.",
        licence=", ".join(dict.fromkeys(m.card.licence for m in models)),
        teacher_digests=tuple(
            dict.fromkeys(digest for m in models for digest in m.card.teacher_digests)
        ),
        labels=labels,
        inherited=inherited_labels(labels, [m.card for m in models]),
        teacher=", ".join(dict.fromkeys(m.card.teacher for m in models if m.card.teacher)),
        training_set_digest=" ".join(
            dict.fromkeys(
                digest for m in models for digest in m.card.training_set_digest.split() if digest
            )
        ),
        parent_digest=" ".join(digests),
        code_version=__version__,
    )
    return network.eval(), card
