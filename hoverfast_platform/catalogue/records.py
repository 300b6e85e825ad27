"""The values that go into the catalogue and come out of it. No SQL here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class SlideRecord:
    """A slide, known by its bytes.

    Attributes:
        sha256: Digest of all its files.
        name: File name when last seen.
        path: Where it was last seen.
        vendor: Format.
        width_px: Level-0 pixels of its frame.
        height_px: Likewise.
        mpp_x: Micrometres per level-0 pixel.
        mpp_y: Likewise.
        mpp_source: ``file`` or ``override``.
    """

    sha256: str
    name: str
    path: str
    vendor: str
    width_px: int
    height_px: int
    mpp_x: float
    mpp_y: float
    mpp_source: str


@dataclass(frozen=True)
class SegmentationRecord:
    """A finished segmentation and everything it was made from."""

    segmentation_id: str
    slide: SlideRecord
    mask_sha256: str
    mask_engine: str
    tissue_area_mm2: float
    model_sha256: str
    model_name: str
    model_version: str
    model_card: dict[str, Any]
    settings: dict[str, Any]
    code_version: str
    device: str
    backend: str
    precision: str
    run_id: str
    n_nuclei: int
    seconds_per_mm2: float | None
    files: dict[str, str] = field(default_factory=dict)
    """Path to SHA-256."""


@dataclass(frozen=True)
class FailureRecord:
    """A slide that failed, why, and what to do about it."""

    path: str
    kind: str
    message: str
    remedy: str
    run_id: str


@dataclass(frozen=True)
class Lineage:
    """Where a result came from, one entry per segmentation, newest first."""

    entries: tuple[dict[str, Any], ...]
