"""The values that go into the catalogue and come out of it. No SQL here."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

from hoverfast_platform.catalogue.descent_records import ModelRecord
from hoverfast_platform.config import Settings
from hoverfast_platform.provenance import Provenance
from hoverfast_platform.scores import EvaluationSummary
from hoverfast_platform.slide.reader import SlideInfo
from hoverfast_platform.verdict import MeasuredScores, Verdict

ModelStageName: TypeAlias = Literal["candidate", "promoted", "retired"]

DEFAULT_SCOPE = "default"
"""What a model is promoted for when nothing narrower (a site, an organ) is named."""


@dataclass(frozen=True)
class SlideRecord:
    """A slide, known by its bytes.

    Attributes:
        sha256: Digest of all its files.
        name: File name when it was last seen.
        path: Where it was last seen.
        vendor: Format of its file.
        width_px: Width of its frame, level-0 pixels.
        height_px: Height of its frame, level-0 pixels.
        mpp_x: Micrometres per level-0 pixel, from left to right.
        mpp_y: Micrometres per level-0 pixel, from top to bottom.
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


def slide_record(path: Path, info: SlideInfo, sha256: str) -> SlideRecord:
    """A slide as the catalogue keeps it."""
    return SlideRecord(
        sha256=sha256,
        name=info.name,
        path=str(path.absolute()),
        vendor=info.vendor,
        width_px=info.width,
        height_px=info.height,
        mpp_x=info.mpp.x,
        mpp_y=info.mpp.y,
        mpp_source=info.mpp_source,
    )


@dataclass(frozen=True)
class TissueMaskRecord:
    """A tissue mask of a slide, known by its usable pixels.

    Attributes:
        sha256: Digest of pixels and scale.
        engine: ``builtin``, ``histoqc`` or ``import``.
        tissue_area_mm2: Area of usable tissue.
        path: Its file.
        record: What the file says of itself: statistics, settings, frame, warnings.
    """

    sha256: str
    engine: str
    tissue_area_mm2: float
    path: str
    record: dict[str, Any]


@dataclass(frozen=True)
class SegmentationRecord:
    """A finished segmentation and everything it was made from.

    Attributes:
        slide: The slide as it was read.
        provenance: What the result itself says.
        model: The model that found the nuclei.
        tissue_area_mm2: Area of usable tissue.
        run_id: Id of the run that made it, for instance Dagster's.
        n_nuclei: How many were found.
        seconds_per_mm2: Wall clock per area; None for a resumed run, or without tissue.
        finished_at: When it was computed, as its summary says; kept when it is found again.
        files: SHA-256 of each file, by path.
    """

    slide: SlideRecord
    provenance: Provenance
    model: ModelRecord
    tissue_area_mm2: float
    run_id: str
    n_nuclei: int
    seconds_per_mm2: float | None
    finished_at: datetime.datetime
    files: dict[str, str] = field(default_factory=dict)
    scope: str = DEFAULT_SCOPE


@dataclass(frozen=True)
class CurrentResult:
    """What a slide's nuclei are now.

    Attributes:
        slide: The slide.
        segmentation_id: Id of the result.
        model_sha256: Digest of the model that found them.
        scope: The scope whose model was asked for them.
        staining: What the slide was taken to be stained with.
        n_nuclei: How many there are.
        since: When it became current, UTC.
    """

    slide: KnownSlide
    segmentation_id: str
    model_sha256: str
    scope: str
    staining: str
    n_nuclei: int
    since: datetime.datetime


@dataclass(frozen=True)
class ModelStanding:
    """What a model version counted as in a scope, from when to when, and why.

    Attributes:
        sha256: Digest of the weights file.
        name: Name on its card.
        version: Version on its card.
        path: Where the weights file was registered; None if only results mention the model.
        card: Everything on the card.
        scope: What it is promoted for: ``default``, a site, an organ.
        stage: ``candidate``, ``promoted`` or ``retired``.
        reason: Why, in words.
        verdict: What the gate found, where one was asked.
        since: When the stage began, UTC.
        until: When it ended, UTC; None while it lasts.
    """

    sha256: str
    name: str
    version: str
    path: str | None
    card: dict[str, Any]
    scope: str
    stage: ModelStageName
    reason: str
    verdict: Verdict | None
    since: datetime.datetime
    until: datetime.datetime | None


@dataclass(frozen=True)
class ModelUse:
    """A segmentation that a model made."""

    segmentation_id: str
    slide_name: str
    slide_sha256: str
    finished_at: datetime.datetime


@dataclass(frozen=True)
class EvaluationRecord:
    """A measurement of a model version on a labelled dataset.

    Attributes:
        model_sha256: The model measured.
        dataset: Name of the labelled set, for people.
        dataset_digest: SHA-256 of its images and labels; where it is equal, measurements can be
            compared.
        settings_digest: SHA-256 of everything else that decided the scores.
        summary: Scores with their intervals, numbers of images and nuclei.
        report_path: Folder of the full report.
    """

    model_sha256: str
    dataset: str
    dataset_digest: str
    settings_digest: str
    summary: EvaluationSummary
    report_path: str

    @property
    def measured(self) -> MeasuredScores:
        """What the gate needs of the measurement: means without intervals, and the labelled set."""
        return MeasuredScores(
            dataset_digest=self.dataset_digest,
            settings_digest=self.settings_digest,
            n_images=self.summary.n_images,
            n_nuclei=self.summary.n_true,
            scores={name: interval.mean for name, interval in self.summary.scores.named()},
        )


@dataclass(frozen=True)
class KnownSlide:
    """A registered slide.

    Attributes:
        key: Its readable key, which is unique and never changes.
        name: File name when it was last seen.
        path: Where it was last seen.
        sha256: Digest of its content.
        mpp: Micrometres per level-0 pixel; None where only its file is spoken of.
        mpp_override: What a person gave for it.
        is_replaced: Whether its file holds something else now, which is another slide.
        is_missing: Whether its file is gone from its watched folder.
        is_withdrawn: Whether it was withdrawn and must not be used any more.
    """

    key: str
    name: str
    path: str
    sha256: str
    mpp: float | None = None
    mpp_override: float | None = None
    is_replaced: bool = False
    is_missing: bool = False
    is_withdrawn: bool = False


@dataclass(frozen=True)
class CohortMemberRecord:
    """A slide of a cohort and its patient; where no patient is known, the slide's own key."""

    slide: KnownSlide
    patient: str


@dataclass(frozen=True)
class CohortRecord:
    """A version of a cohort.

    Attributes:
        name: Name of the cohort.
        version: 1, 2, ...; 0 before it was recorded.
        digest: SHA-256 of members and everything else that decides their labels.
        members: Its slides, in order of key.
        warnings: What the plan asks for and the cohort lacks.
    """

    name: str
    version: int
    digest: str
    members: tuple[CohortMemberRecord, ...]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class AppearanceRecord:
    """Numbers by which slides of a cohort resemble each other.

    Attributes:
        hematoxylin: Median optical density of hematoxylin in the tissue.
        eosin: Median optical density of eosin in the tissue.
        nuclei_per_mm2: Nuclei per area of tissue.
    """

    hematoxylin: float
    eosin: float
    nuclei_per_mm2: float


@dataclass(frozen=True)
class FailureRecord:
    """A slide or a step of learning that failed, why, and what to do about it.

    Attributes:
        path: The slide's file, or the plan of the cohort.
        kind: Kind of the error.
        message: What happened.
        remedy: What to do.
        run_id: Id of the run in which it failed.
        slide_key: Key of the slide; None for a step of learning, or a file that is not registered.
        cohort: Name of the cohort; None for a slide.
        step: What was being made; empty where the command line worked on a slide.
        at: When, UTC; set by the catalogue.
    """

    path: str
    kind: str
    message: str
    remedy: str
    run_id: str
    slide_key: str | None = None
    cohort: str | None = None
    step: str = ""
    at: datetime.datetime | None = field(default=None, compare=False)


class LineageEntry(Settings):
    """A segmentation as the catalogue knows it: what it was made from, and where its files are."""

    provenance: Provenance
    slide_name: str
    """Name of the slide's file when it was last seen."""
    slide_path: str
    mask_path: str | None
    """None where the catalogue never saw the mask's file."""
    mask_record: dict[str, Any] | None
    """What the mask's file says of itself."""
    model_card: dict[str, Any]
    run_id: str
    n_nuclei: int
    files: dict[str, str]
    """SHA-256 of each file, by path."""
    finished_at: datetime.datetime
    is_current: bool
    """Whether it is the slide's present result; if not, another one replaced it."""
    scope: str | None
    """The scope whose model was asked for it, where it is current."""


@dataclass(frozen=True)
class Lineage:
    """Where a result came from, one entry per segmentation, newest first."""

    entries: tuple[LineageEntry, ...]
