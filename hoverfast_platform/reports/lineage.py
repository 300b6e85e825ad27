"""Where a result came from, told to people in ten lines; ``lineage_graph`` draws it."""

from __future__ import annotations

from dataclasses import dataclass

from hoverfast_platform.catalogue import (
    Ancestor,
    Catalogue,
    LabelUse,
    LineageEntry,
    TrainingSetRecord,
)
from hoverfast_platform.provenance import Provenance

SHORT = 10
"""Letters of a digest that people need."""


@dataclass(frozen=True)
class Story:
    """A result and what stands behind it.

    Attributes:
        made_from: What the result itself says.
        entry: What the catalogue knows of it; None where only a file was asked.
        labels: Label sets behind its model.
        ancestors: Models that its model descends from.
        training_sets: What its model was trained on.
    """

    made_from: Provenance
    entry: LineageEntry | None = None
    labels: tuple[LabelUse, ...] = ()
    ancestors: tuple[Ancestor, ...] = ()
    training_sets: tuple[TrainingSetRecord, ...] = ()


def story_of(catalogue: Catalogue, entry: LineageEntry) -> Story:
    """A result of the catalogue with all that is known to stand behind it."""
    sha256, descent = entry.provenance.model.sha256, catalogue.descent
    return Story(
        entry.provenance,
        entry,
        descent.labels(sha256),
        descent.ancestors(sha256),
        descent.training_sets(sha256),
    )


def lineage_lines(story: Story) -> tuple[str, ...]:
    """The story in at most ten lines; those that people ask for most come first."""
    made, entry = story.made_from, story.entry
    slide, model = made.slide, made.model
    labels = [f"{use.name} ({use.licence})" for use in story.labels] or list(model.labels)
    sets = [
        f"{table.name or table.digest[:SHORT]}" + (f" of {table.cohort}" if table.cohort else "")
        for table in story.training_sets
    ]
    where = f"{entry.slide_path}, " if entry is not None else ""
    lines = {
        "nuclei": nuclei_text(story),
        "slide": f"{where}{slide.sha256[:SHORT]}, {slide.width_px} x {slide.height_px} px, "
        f"{slide.mpp_x:.4g} um/px ({slide.mpp_source})",
        "mask": f"{made.mask.engine} {made.mask.sha256[:SHORT]}" if made.mask else "none",
        "model": f"{model.title} {model.sha256[:SHORT]}, {model.mpp:g} um/px",
        "learned from": "; ".join(labels),
        "trained on": "; ".join(sets) or model.cohort,
        "descends from": "; ".join(f"{title_of(a)} ({a.how})" for a in story.ancestors),
        "computed by": f"{made.arithmetic}, version {made.code_version}"
        + (f", run {entry.run_id}" if entry and entry.run_id else ""),
        "files": ", ".join(entry.files) if entry else "",
    }
    return tuple(f"{name:14} {text}" for name, text in lines.items() if text)


def nuclei_text(story: Story) -> str:
    """How many nuclei, whether they are the current result, when, and which segmentation."""
    entry, identity = story.entry, story.made_from.segmentation_id[:SHORT]
    if entry is None:
        return f"segmentation {identity}"
    state = "current" if entry.is_current else "replaced by another result"
    return f"{entry.n_nuclei:,}, {state}, {entry.finished_at:%Y-%m-%d %H:%M} UTC, {identity}"


def title_of(ancestor: Ancestor) -> str:
    """Name and version of a model, or the start of its digest."""
    return f"{ancestor.name} {ancestor.version}" if ancestor.name else ancestor.sha256[:SHORT]
