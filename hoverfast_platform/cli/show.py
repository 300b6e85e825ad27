"""What the command line shows of outcomes: failed items, notes of a result, progress bars."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self

import click
from tqdm import tqdm

from hoverfast_platform.cli.say import say
from hoverfast_platform.ingest.names import printable
from hoverfast_platform.progress import OnProgress, Progress
from hoverfast_platform.storage.summary import DabPositivity
from hoverfast_platform.use_cases.outcome import Outcome


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
        say(f"{n_failed} of {n_items} {what} failed.", err=True)
        raise click.exceptions.Exit(1)


def show_notes(dab: DabPositivity | None, warnings: Sequence[str]) -> None:
    """How many nuclei DAB stains, and what the reader of a result should know."""
    if dab is not None and dab.h_score is not None:
        share = 100 * (dab.positive_fraction or 0)
        say(f"  DAB: {share:.1f} % positive, H-score {dab.h_score:.0f}")
    for warning in warnings:
        say(f"  note: {warning}")


@contextmanager
def progress_bar(description: str, unit: str, total: int | None = None) -> Iterator[OnProgress]:
    """A bar on the terminal that follows the progress of one step."""
    with tqdm(desc=description, unit=unit, total=total) as bar:

        def show(progress: Progress) -> None:
            bar.total = progress.n_total
            bar.update(progress.n_done - bar.n)

        yield show


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
