"""How a failed step that is not of slides is told to Dagster: by the kind of the failure.

Slides have their own way, each for itself, in ``hoverfast_platform.assets.batch``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from hoverfast_platform.errors import HoverFastError

_MAX_RETRIES = 2
_PAUSE_S = 60.0
"""A device that another program filled, or a database that restarts, needs about that."""


@contextmanager
def failures_by_kind(pause_s: float = _PAUSE_S) -> Iterator[None]:
    """Have the step tried again if that may help; else fail it with reason and remedy."""
    try:
        yield
    except HoverFastError as error:
        if error.is_transient:
            raise dg.RetryRequested(_MAX_RETRIES, pause_s) from error
        raise dg.Failure(
            error.message,
            metadata={"kind": error.kind, "remedy": error.remedy},
            allow_retries=False,
        ) from error
