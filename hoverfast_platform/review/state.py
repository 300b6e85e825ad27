"""What a log of edits adds up to: which nuclei are gone, which are new, what was looked at."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from pydantic import Field, field_validator

from hoverfast_platform.config import FileRecord, Settings

EditKind: TypeAlias = Literal[
    "accept",
    "reject",
    "redraw",
    "add",
    "merge",
    "split",
    "set_class",
    "region",
    "wrong_tile",
    "undo",
]
Ring: TypeAlias = tuple[tuple[float, float], ...]

_N_TARGETS: dict[EditKind, tuple[int, int]] = {
    "accept": (1, 1),
    "reject": (1, 1),
    "redraw": (1, 1),
    "add": (0, 0),
    "merge": (2, 20),
    "split": (1, 1),
    "set_class": (1, 1),
    "region": (0, 0),
    "wrong_tile": (0, 0),
    "undo": (0, 0),
}
_N_OUTLINES: dict[EditKind, tuple[int, int]] = {
    "redraw": (1, 1),
    "add": (1, 1),
    "merge": (1, 1),
    "split": (2, 8),
    "region": (1, 1),
    "wrong_tile": (1, 1),
}
_MAX_VERTICES = 2_000


class Proposal(Settings):
    """An edit as a person asks for it, before it has a number.

    The fields say what is changed; ``seen`` says which edits the person knew of.
    """

    kind: EditKind
    targets: tuple[str, ...] = ()
    """Ids of the nuclei it judges, changes or replaces."""
    rows: tuple[int, ...] = ()
    """Number of each target in the result's table; -1 for what a person drew."""
    outlines: tuple[Ring, ...] = ()
    """New outlines, level-0 pixels of the slide's frame; a ring need not be closed."""
    class_name: str = Field(default="", max_length=80)
    undoes: int = 0
    """Number of the edit that is taken back."""
    seen: int = Field(default=0, ge=0)
    """Number of the last edit that the person had seen."""

    @field_validator("targets")
    @classmethod
    def _short(cls, targets: tuple[str, ...]) -> tuple[str, ...]:
        if any(not 0 < len(target) <= 64 for target in targets):
            raise ValueError("an id has 1 to 64 characters")
        return targets

    @field_validator("outlines")
    @classmethod
    def _finite(cls, outlines: tuple[Ring, ...]) -> tuple[Ring, ...]:
        for ring in outlines:
            if not 3 <= len(ring) <= _MAX_VERTICES:
                raise ValueError(f"an outline has 3 to {_MAX_VERTICES} vertices, got {len(ring)}")
            if not all(abs(value) < 1e7 for point in ring for value in point):
                raise ValueError("an outline leaves every slide")
        return outlines

    def problem(self) -> str:
        """Why the parts do not fit together; empty if they do."""
        low, high = _N_TARGETS[self.kind]
        if not low <= len(self.targets) <= high:
            return f"{self.kind} takes {low} to {high} nuclei, got {len(self.targets)}."
        if len(self.rows) != len(self.targets):
            return "Every nucleus of an edit comes with its number."
        low, high = _N_OUTLINES.get(self.kind, (0, 0))
        if not low <= len(self.outlines) <= high:
            return f"{self.kind} takes {low} to {high} outlines, got {len(self.outlines)}."
        if self.kind == "set_class" and not self.class_name:
            return "set_class needs the name of a class."
        return ""


class Edit(Proposal, FileRecord):
    """An edit in the log: one line of the file."""

    number: int
    by: str
    at: str
    """When it was made: UTC, ISO 8601."""
    made: tuple[str, ...] = ()
    """Ids of the objects that its outlines became."""


@dataclass(frozen=True)
class Drawn:
    """An outline that a person made."""

    id: str
    ring: Ring
    by: str
    at: str
    class_name: str = ""


@dataclass
class ReviewState:
    """What all edits that were not taken back add up to.

    Attributes:
        removed: Rows of the nuclei that are gone, by id: rejected, or replaced by new ones. The row
            is -1 where a person had drawn the nucleus.
        accepted: Ids of nuclei that a person found right.
        classes: The class that a person gave a nucleus, by id.
        drawn: New nuclei by id.
        regions: Regions that people looked at, by id.
        wrong_tiles: Regions so wrong that nobody should correct them, by id.
        rows: Row in the result of each nucleus that was judged in any way, by id.
        touched: Number of the last edit that concerns an object, by the object's id.
        last: Number of the last edit.
    """

    removed: dict[str, int] = field(default_factory=dict)
    accepted: set[str] = field(default_factory=set)
    classes: dict[str, str] = field(default_factory=dict)
    drawn: dict[str, Drawn] = field(default_factory=dict)
    regions: dict[str, Drawn] = field(default_factory=dict)
    wrong_tiles: dict[str, Drawn] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)
    touched: dict[str, int] = field(default_factory=dict)
    last: int = 0


def add_up(edits: Iterable[Edit]) -> ReviewState:
    """The state after all edits."""
    edits = list(edits)
    undone = {edit.undoes for edit in edits if edit.kind == "undo"}
    undone_objects = {e.number: (*e.targets, *e.made) for e in edits if e.number in undone}
    state = ReviewState()
    for edit in edits:
        state.last = edit.number
        for name in (*edit.targets, *edit.made, *undone_objects.get(edit.undoes, ())):
            state.touched[name] = edit.number
        if edit.number not in undone:
            _apply(state, edit)
    return state


def _apply(state: ReviewState, edit: Edit) -> None:
    drawn = [
        Drawn(name, ring, edit.by, edit.at, edit.class_name)
        for name, ring in zip(edit.made, edit.outlines, strict=True)
    ]
    state.rows.update(
        {name: row for name, row in zip(edit.targets, edit.rows, strict=True) if row >= 0}
    )
    if edit.kind in ("reject", "redraw", "merge", "split"):
        for target, row in zip(edit.targets, edit.rows, strict=True):
            state.removed[target] = row
            state.drawn.pop(target, None)
            state.accepted.discard(target)
    elif edit.kind == "accept":
        state.accepted.update(edit.targets)
    elif edit.kind == "set_class":
        state.classes.update(dict.fromkeys(edit.targets, edit.class_name))
    where = {"region": state.regions, "wrong_tile": state.wrong_tiles}.get(edit.kind, state.drawn)
    where.update({one.id: one for one in drawn})
