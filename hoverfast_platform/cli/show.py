"""What the command line shows of outcomes: failed items, notes of a result, progress bars."""

from __future__ import annotations

import datetime
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self

import click
from tqdm import tqdm

from hoverfast_platform.cli.loudness import is_quiet
from hoverfast_platform.cli.say import say
from hoverfast_platform.ingest.names import printable
from hoverfast_platform.progress import OnProgress, Progress, ignore_progress
from hoverfast_platform.storage.summary import DabPositivity
from hoverfast_platform.use_cases.outcome import Outcome

_SECONDS_BETWEEN_LINES = 10.0


def show_failure(outcome: Outcome[Path, Any]) -> None:
    """Why an item failed and what to do about it, on the error stream."""
    name = printable(outcome.item.name)
    say(f"{name}: FAILED ({outcome.kind}): {outcome.failure_text}", err=True)


def exit_with(n_failed: int, n_items: int, what: str) -> None:
    """End the command with exit code 1 if something failed, after saying how much.

    Raises:
        click.exceptions.Exit: If something failed.
    """
    if n_failed:
        say(
            f"{n_failed} of {n_items} {what} failed. `hoverfast explain KIND` says more; the kind "
            "is in parentheses.",
            err=True,
        )
        raise click.exceptions.Exit(1)


def show_notes(dab: DabPositivity | None, warnings: Sequence[str]) -> None:
    """How many nuclei DAB stains, and what the reader of a result should know."""
    if dab is not None and dab.h_score is not None:
        share = 100 * (dab.positive_fraction or 0)
        say(f"  DAB: {share:.1f} % positive, H-score {dab.h_score:.0f}")
    show_each_note(warnings)


def show_each_note(notes: Sequence[str]) -> None:
    """What a person should know about a product; left out with ``hoverfast --quiet``."""
    if not is_quiet():
        for note in notes:
            say(f"  note: {note}")


@contextmanager
def progress_bar(description: str, unit: str, total: int | None = None) -> Iterator[OnProgress]:
    """Show how far one step is: a bar on a terminal, elsewhere lines with the time.

    With ``hoverfast --quiet`` nothing is shown.
    """
    if is_quiet():
        yield ignore_progress
    elif sys.stderr.isatty():
        with tqdm(desc=description, unit=unit, total=total) as bar:

            def show(progress: Progress) -> None:
                bar.total = progress.n_total
                bar.update(progress.n_done - bar.n)

            yield show
    else:
        yield _TimedLines(description, unit)


class _TimedLines:
    """Lines for a log: the first progress, then one every ten seconds, and the last."""

    def __init__(self, description: str, unit: str) -> None:
        self._description, self._unit = description, unit
        self._next_at = 0.0

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        if now < self._next_at and progress.n_done < progress.n_total:
            return
        self._next_at = now + _SECONDS_BETWEEN_LINES
        moment = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
        units = self._unit if progress.n_total == 1 else f"{self._unit}s"
        say(
            f"{moment} {self._description}: {progress.n_done} of {progress.n_total} {units}",
            err=True,
        )


class Bars:
    """One bar after another, each for one item; use as a context manager."""

    def __init__(self, unit: str) -> None:
        self._unit = unit
        self._open = ExitStack()

    def of(self, item: Path | str) -> OnProgress:
        """The bar of an item; that of the item before is closed."""
        self.close()
        name = printable(item if isinstance(item, str) else item.name)
        return self._open.enter_context(progress_bar(name, self._unit))

    def close(self) -> None:
        """Close the bar that is open, so that lines can follow."""
        self._open.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()
