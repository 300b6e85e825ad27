"""Whether ``hoverfast --quiet`` was asked for."""

from __future__ import annotations

import click

QUIET = "hoverfast_platform.cli.quiet"
"""Under this name the group leaves it to its commands."""


def is_quiet() -> bool:
    """Whether progress and notes are left out; False where no command runs."""
    context = click.get_current_context(silent=True)
    return context is not None and bool(context.meta.get(QUIET, False))
