"""The log of edits of one result: a file of JSON lines that only grows.

Two people can work at once. An edit says which edits its author had seen; if one of its nuclei
was changed since, it is refused and nothing is lost. A lock file orders several processes.
"""

from __future__ import annotations

import datetime
import os
import uuid
from pathlib import Path

from filelock import FileLock

from hoverfast_platform.errors import ReviewConflictError, SettingsError, StorageError
from hoverfast_platform.files import reporting_storage
from hoverfast_platform.review.state import Edit, Proposal, ReviewState, add_up


class ReviewLog:
    """The edits of one result.

    Args:
        path: The file; it appears with the first edit.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def edits(self) -> tuple[Edit, ...]:
        """All edits, in order.

        Raises:
            StorageError: If the file is damaged.
        """
        try:
            lines = self.path.read_bytes().splitlines()
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise StorageError(f"{self.path} cannot be read: {error}.", "") from error
        try:
            return tuple(_edit(line) for line in lines)
        except ValueError as error:  # pydantic's too
            raise StorageError(
                f"{self.path} holds a line that is not an edit: {error}.",
                "If a newer version of the program wrote it, update the program. Otherwise remove "
                "that line; all others are whole.",
            ) from error

    def add(self, proposal: Proposal, by: str) -> Edit:
        """Append an edit.

        Args:
            proposal: What is wanted.
            by: Who wants it.

        Raises:
            ReviewConflictError: If somebody changed one of its nuclei meanwhile.
            SettingsError: If it makes no sense.
            StorageError: If it cannot be written.
        """
        if problem := proposal.problem():
            raise SettingsError(problem, "Reload the page.")
        if not by.strip():
            raise SettingsError("An edit needs the name of its author.", "Enter your name first.")
        with reporting_storage(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(self.path.with_name(f".{self.path.name}.lock")):
                edits = self.edits()
                _check(proposal, edits, by)
                edit = Edit(
                    **proposal.model_dump(),
                    number=len(edits) + 1,
                    by=by.strip(),
                    at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
                    made=tuple(str(uuid.uuid4()) for _ in proposal.outlines),
                )
                with self.path.open("ab") as file:
                    file.write(edit.model_dump_json().encode() + b"\n")
                    file.flush()
                    os.fsync(file.fileno())
        return edit


def _edit(line: bytes) -> Edit:
    edit = Edit.model_validate_json(line)
    problem = edit.problem()
    if problem or len(edit.made) != len(edit.outlines):
        raise ValueError(problem or "every outline becomes an object with an id")
    return edit


def _check(proposal: Proposal, edits: tuple[Edit, ...], by: str) -> None:
    state = add_up(edits)
    concerned = set(proposal.targets)
    if proposal.kind == "undo":
        concerned |= _undone_objects(proposal, edits, by)
    _refuse_newer(concerned, proposal.seen, state, edits)
    gone = concerned & state.removed.keys()
    if proposal.kind != "undo" and gone:
        raise ReviewConflictError(
            f"{len(gone)} of the nuclei are gone already.", "Choose the nuclei that replaced them."
        )


def _undone_objects(proposal: Proposal, edits: tuple[Edit, ...], by: str) -> set[str]:
    """The objects that an edit concerned which shall be taken back."""
    taken_back = {edit.undoes for edit in edits if edit.kind == "undo"}
    edit = next((edit for edit in edits if edit.number == proposal.undoes), None)
    if edit is None or edit.kind == "undo" or edit.number in taken_back:
        raise SettingsError(f"There is no edit {proposal.undoes} to take back.", "Reload the page.")
    if edit.by != by.strip():
        raise SettingsError(
            f"Edit {edit.number} is {edit.by}'s; only they take it back.", "Correct it instead."
        )
    objects = {*edit.targets, *edit.made}
    later = [
        other
        for other in edits
        if other.number > edit.number
        and other.kind != "undo"
        and other.number not in taken_back
        and objects & {*other.targets, *other.made}
    ]
    if later:
        raise ReviewConflictError(
            f"Edit {later[-1].number} of {later[-1].by} builds on it.", "Take that back first."
        )
    return objects


def _refuse_newer(
    concerned: set[str], seen: int, state: ReviewState, edits: tuple[Edit, ...]
) -> None:
    newest = max((state.touched.get(name, 0) for name in concerned), default=0)
    if newest > seen:
        edit = edits[newest - 1]
        raise ReviewConflictError(
            f"{edit.by} changed this nucleus at {edit.at} ({edit.kind}).",
            "Look at it as it is now, then decide again.",
        )
