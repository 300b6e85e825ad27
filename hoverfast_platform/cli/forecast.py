"""``hoverfast forecast``: how long the disk lasts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from hoverfast_platform.cli.json_text import json_option, json_text
from hoverfast_platform.cli.say import say

if TYPE_CHECKING:
    from hoverfast_platform.storage.disk_forecast import DiskForecast


@click.command("forecast")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--window-days", default=14.0, show_default=True, help="How far back the rate reaches."
)
@click.option(
    "--warn-days", default=14.0, show_default=True, help="Exit code 1 if fewer days are left."
)
@json_option
def command(folder: Path, window_days: float, warn_days: float, as_json: bool) -> None:
    """How long the disk of FOLDER lasts at the rate at which files have come lately."""
    from hoverfast_platform.storage.disk_forecast import forecast_disk

    found = forecast_disk(folder, window_days=window_days)
    if as_json:
        say(json_text(found))
    else:
        say(_told(found))
    if found.days_left is not None and found.days_left < warn_days:
        raise click.exceptions.Exit(1)


def _told(found: DiskForecast) -> str:
    left = "not growing" if found.days_left is None else f"{found.days_left:,.0f} days left"
    return (
        f"{left}: {found.used_bytes / 1e9:,.2f} GB in {found.n_files:,} files, "
        f"{found.bytes_per_day / 1e9:,.3f} GB a day lately, {found.free_bytes / 1e9:,.1f} GB free"
    )
