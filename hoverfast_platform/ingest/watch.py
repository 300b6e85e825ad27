"""One look at the watched folders: what is there goes into the catalogue's list of files."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path

from hoverfast_platform.catalogue.watched_files import WatchedFiles
from hoverfast_platform.errors import UnreadableSlideError
from hoverfast_platform.ingest.names import check_name
from hoverfast_platform.ingest.units import list_slides
from hoverfast_platform.texts import clean


def look(
    files: WatchedFiles,
    roots: Sequence[Path],
    *,
    settle_s: float,
    now: datetime.datetime | None = None,
) -> tuple[str, ...]:
    """Bring the list up to date with the folders.

    A folder that is away, or empty although slides were in it, is taken for a share that is
    not mounted: it changes nothing, and is reported.

    Args:
        files: The list of watched files.
        roots: The watched folders.
        settle_s: How long a file must stay unchanged; it takes at least two looks.
        now: Time of the look, for tests.

    Returns:
        One sentence for people about each folder that could not be looked at.
    """
    now = now or datetime.datetime.now(datetime.UTC)
    problems: list[str] = []
    for root in roots:
        root = root.absolute()
        try:
            is_there = root.is_dir()
        except OSError as error:  # a share whose server is away, or was restarted
            problems.append(clean(f"{root} cannot be looked at: {error.strerror}"))
            continue
        if not is_there:
            problems.append(f"{root} is not there: not mounted, or misspelt")
            continue
        listing = list_slides(root)
        problems.extend(listing.problems)
        if not listing.units and files.n_present(str(root)):
            problems.append(f"{root} is empty although slides were in it: is it mounted?")
            continue
        signatures = {}
        for path, unit in listing.units.items():
            try:
                check_name(path)
            except UnreadableSlideError as error:
                problems.append(str(error))  # it stays out of the list, alone
            else:
                signatures[str(path)] = unit.signature
        files.update(
            str(root),
            signatures,
            now=now,
            settle_s=settle_s,
            all_listed=not listing.problems,
        )
    return tuple(problems)
