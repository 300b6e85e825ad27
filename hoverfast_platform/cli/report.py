"""``hoverfast report``: one page about an output folder."""

from __future__ import annotations

from pathlib import Path

import click

from hoverfast_platform.cli.say import say


@click.command("report")
@click.argument("outdir", type=click.Path(path_type=Path, exists=True, file_okay=False))
def command(outdir: Path) -> None:
    """Write OUTDIR/report.html: per slide pictures, density, histograms, timings; failures.

    OUTDIR is the -o folder of infer_wsi or infer_roi. The page holds its pictures and can be
    mailed, under 1 MB per slide.
    """
    from hoverfast_platform.reports.run_report import write_run_report

    say(str(write_run_report(outdir)))
