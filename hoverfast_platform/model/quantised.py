"""The int8 form of a model: an OpenVINO graph beside its weights, with proof that it agrees.

::

    <name>.safetensors   the weights
    <name>.int8.xml      the graph, 8-bit where that is harmless
    <name>.int8.bin      its constants
    <name>.int8.json     from what it was made, and how far it agrees with the weights

``hoverfast models quantise`` makes it. No torch and no OpenVINO here.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from hoverfast_platform.config import FileRecord, Settings
from hoverfast_platform.cores import Int8Arithmetic
from hoverfast_platform.errors import CheckpointError
from hoverfast_platform.files import Sha256, file_sha256, read_settings_file
from hoverfast_platform.model.builtin_digests import check_builtin

_LOG = logging.getLogger(__name__)

MIN_DICE_BETWEEN = 0.99
"""Least Dice of the nuclear pixels of int8 against those of the weights themselves."""
MAX_AJI_DIFFERENCE = 0.01
"""Largest difference between the mean AJI of int8 and that of fp32, both against the labels."""


class AgreementCheck(Settings):
    """Int8 against fp32 on images that were not calibrated on."""

    dataset: str
    dataset_digest: str
    n_images: int
    n_nuclei: int
    dice_between: float
    """Pixel Dice of one's nuclei against the other's, mean over the images."""
    dice_fp32: float
    dice_int8: float
    aji_fp32: float
    aji_int8: float
    pq_fp32: float
    pq_int8: float

    def failures(self) -> tuple[str, ...]:
        """What keeps the int8 form from being used, in words; empty if nothing does."""
        found = []
        if not self.dice_between >= MIN_DICE_BETWEEN:
            found.append(f"Dice against fp32 is {self.dice_between:.4f}, below {MIN_DICE_BETWEEN}")
        difference = self.aji_int8 - self.aji_fp32
        if not abs(difference) <= MAX_AJI_DIFFERENCE:
            found.append(f"AJI differs by {difference:+.4f}, more than {MAX_AJI_DIFFERENCE}")
        return tuple(found)


class Int8Card(FileRecord):
    """The JSON beside an int8 graph."""

    weights_digest: str
    """SHA-256 of the weights it was made from; it is used with no others."""
    graph_digest: str
    """SHA-256 over the .xml and the .bin."""
    calibration: str
    calibration_digest: str
    n_calibration_images: int
    checks: dict[Int8Arithmetic, AgreementCheck]
    """By how the processor added: sums that are cut off give other maps than exact ones."""
    made_with: str
    """Versions of the tools."""


@dataclass(frozen=True)
class Int8Form:
    """An int8 graph that may be used, and its card."""

    graph_path: Path
    card: Int8Card

    def agrees_on(self, arithmetic: Int8Arithmetic | None) -> bool:
        """Whether it was checked on processors that add like this, and passed."""
        check = self.card.checks.get(arithmetic) if arithmetic is not None else None
        return check is not None and not check.failures()


def find_int8(weights_path: Path, weights_digest: str = "") -> Int8Form | None:
    """The int8 form beside a weights file; None where there is none of these weights.

    Args:
        weights_path: The file.
        weights_digest: Its SHA-256, hex, where it is known already.

    Raises:
        CheckpointError: If it is damaged, or did not pass its check.
    """
    graph_path, card_path = int8_paths(weights_path)
    if not card_path.is_file():
        return None
    card = read_settings_file(
        card_path,
        Int8Card,
        what="a readable int8 card",
        remedy="Delete it, or make the int8 form again: hoverfast models quantise.",
        raises=CheckpointError,
    )
    if card.weights_digest != (weights_digest or file_sha256(weights_path)):
        _LOG.warning(
            "%s was made from other weights than %s and is not used; "
            "make it again with hoverfast models quantise.",
            graph_path,
            weights_path.name,
        )
        return None
    if not graph_path.is_file() or graph_digest(graph_path) != card.graph_digest:
        raise CheckpointError(
            f"{graph_path} or its .bin is missing or damaged.",
            "Copy all files of the model again, or delete its .int8 files.",
        )
    for path in (card_path, graph_path, graph_path.with_suffix(".bin")):
        check_builtin(path)
    failures = [text for check in card.checks.values() for text in check.failures()]
    if not any(not check.failures() for check in card.checks.values()):
        raise CheckpointError(
            f"{graph_path} did not pass its check: {'; '.join(failures) or 'there was none'}.",
            "Delete its .int8 files, or make them again with more calibration images.",
        )
    return Int8Form(graph_path, card)


def int8_paths(weights_path: Path) -> tuple[Path, Path]:
    """Graph and card of the int8 form of a weights file."""
    return weights_path.with_suffix(".int8.xml"), weights_path.with_suffix(".int8.json")


def graph_digest(graph_path: Path) -> str:
    """SHA-256 over a graph's .xml and .bin, hex."""
    sha = Sha256()
    for path in (graph_path, graph_path.with_suffix(".bin")):
        sha.add(path.read_bytes() if path.is_file() else b"")
    return sha.hex()
