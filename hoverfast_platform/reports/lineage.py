"""Where a result came from, told to people in ten lines or as a graph."""

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

_SHORT = 10
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
        f"{table.name or table.digest[:_SHORT]}" + (f" of {table.cohort}" if table.cohort else "")
        for table in story.training_sets
    ]
    where = f"{entry.slide_path}, " if entry is not None else ""
    lines = {
        "nuclei": _nuclei(story),
        "slide": f"{where}{slide.sha256[:_SHORT]}, {slide.width_px} x {slide.height_px} px, "
        f"{slide.mpp_x:.4g} um/px ({slide.mpp_source})",
        "mask": f"{made.mask.engine} {made.mask.sha256[:_SHORT]}" if made.mask else "none",
        "model": f"{model.title} {model.sha256[:_SHORT]}, {model.mpp:g} um/px",
        "learned from": "; ".join(labels),
        "trained on": "; ".join(sets) or model.cohort,
        "descends from": "; ".join(f"{_title(a)} ({a.how})" for a in story.ancestors),
        "computed by": f"{made.arithmetic}, version {made.code_version}"
        + (f", run {entry.run_id}" if entry and entry.run_id else ""),
        "files": ", ".join(entry.files) if entry else "",
    }
    return tuple(f"{name:14} {text}" for name, text in lines.items() if text)


def lineage_graph(story: Story) -> str:
    """The story as a Mermaid flow chart: what it was made from leads to the nuclei."""
    made = story.made_from
    nodes = [
        _node("nuclei", "nuclei", _nuclei(story)),
        _node("slide", "slide", story.entry.slide_name if story.entry else "", made.slide.sha256),
        _node("model", "model", made.model.title, made.model.sha256),
    ]
    arrows = ["slide --> nuclei", "model --> nuclei"]
    if made.mask is not None:
        nodes.append(_node("mask", "tissue mask", made.mask.engine, made.mask.sha256))
        arrows += ["slide --> mask", "mask --> nuclei"]
    for i, ancestor in enumerate(story.ancestors):
        nodes.append(_node(f"a{i}", "model", _title(ancestor), ancestor.sha256))
        steps = "" if ancestor.n_steps == 1 else f", {ancestor.n_steps} steps up"
        arrows.append(f"a{i} -->|{ancestor.how}{steps}| model")
    for i, made_of in enumerate(story.training_sets):
        nodes.append(_node(f"t{i}", "training set", made_of.name, made_of.digest))
        arrows.append(f"t{i} --> model")
        if made_of.cohort:
            nodes.append(_node(f"c{i}", "cohort", made_of.cohort))
            arrows.append(f"c{i} --> t{i}")
    for i, use in enumerate(story.labels):
        nodes.append(_node(f"l{i}", "labels", use.name, use.licence))
        arrows.append(f"l{i} {'-.->|inherited|' if use.is_inherited else '-->'} model")
    if not story.labels:  # a file alone names them with their licences
        for i, text in enumerate(made.model.labels):
            nodes.append(_node(f"l{i}", "labels", text))
            arrows.append(f"l{i} --> model")
    return "\n".join(["flowchart LR", *(f"    {line}" for line in (*nodes, *arrows))])


def _nuclei(story: Story) -> str:
    entry, identity = story.entry, story.made_from.segmentation_id[:_SHORT]
    if entry is None:
        return f"segmentation {identity}"
    state = "current" if entry.is_current else "replaced by another result"
    return f"{entry.n_nuclei:,}, {state}, {entry.finished_at:%Y-%m-%d %H:%M} UTC, {identity}"


def _title(ancestor: Ancestor) -> str:
    return f"{ancestor.name} {ancestor.version}" if ancestor.name else ancestor.sha256[:_SHORT]


def _node(name: str, kind: str, *texts: str) -> str:
    """A box of the chart; characters that mean something to Mermaid or HTML are escaped."""
    shown = [text if len(text) != 64 else text[:_SHORT] for text in texts if text]
    safe = [
        text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "#quot;")
        for text in shown
    ]
    return f'{name}["{"<br/>".join([f"<b>{kind}</b>", *safe])}"]'
