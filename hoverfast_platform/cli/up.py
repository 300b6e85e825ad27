"""``hoverfast up``: the whole platform on one workstation, in one folder."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import click

from hoverfast_platform.cli.say import say
from hoverfast_platform.errors import SettingsError

_GRACE_S = 60.0
"""Runs finish the region that is on the device before they end."""


@click.command("up")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--port", type=int, default=3000, show_default=True, help="The Dagster UI's port.")
@click.option("--viewer-port", type=int, default=3001, show_default=True, help="The viewer's port.")
@click.option("--viewer/--no-viewer", default=True, help="Start the viewer too.  [default: viewer]")
def command(folder: Path, port: int, viewer_port: int, viewer: bool) -> None:
    """Start the platform in FOLDER: Dagster's page and daemon, sensors on, and the viewer.

    What it needs is made in FOLDER: `slides` for slides to arrive in, `artefacts` for results,
    `dagster` for Dagster's instance, `workspace.yaml`. Ctrl-C ends it; what was begun goes on at
    the next start. Environment variables that are set name other places.
    """
    dg = shutil.which("dg", path=str(Path(sys.executable).parent))
    if dg is None:
        raise SettingsError(
            "The platform needs Dagster, which is not installed.",
            "pip install 'hoverfast-platform[platform]'.",
        )
    from hoverfast_platform.machine.local_platform import prepare_platform
    from hoverfast_platform.viewer.app import is_built

    seen = viewer and is_built()
    platform = prepare_platform(
        folder, os.environ, port=port, viewer_port=viewer_port if seen else None
    )
    say(_welcome(platform.slides, platform.artefacts, port, viewer_port if seen else None))
    address = ["-h", "127.0.0.1", "-p", str(port)]
    dagster = [dg, "dev", "-w", str(platform.workspace), *address, "--log-level", "warning"]
    page = [sys.executable, "-m", "hoverfast_platform.cli.main", "view", str(platform.artefacts)]
    page += ["--review", "--beside-dagster", "--no-browser", "--port", str(viewer_port)]
    with _running([dagster, page] if seen else [dagster], platform.environment) as first:
        code = first.wait()
    raise SettingsError(
        f"Dagster ended by itself, with exit code {code}.",
        f"Its last lines are above. Often port {port} is taken: try --port {port + 10}.",
    )


def _welcome(slides: str, artefacts: Path, port: int, viewer_port: int | None) -> str:
    page = f"http://127.0.0.1:{port}"
    lines = [
        f"First: copy slides into {slides}.",
        "They are registered once they stand still, then masked and segmented by themselves.",
        f"  what came, what is wrong   {page}/assets/slide_inventory",
        f"  nuclei, slide by slide     {page}/assets/nuclei?view=partitions",
        f"  what runs by itself        {page}/automation",
    ]
    if viewer_port is not None:
        lines.append(
            f"  slides in the browser      http://127.0.0.1:{viewer_port}/ "
            "(to correct, the address with the token below)"
        )
    return "\n".join(
        [
            *lines,
            f"To learn from a cohort: write {artefacts}/cohorts/NAME.json (docs/learning.md).",
            "Ctrl-C ends it; what was begun goes on at the next start.",
        ]
    )


@contextmanager
def _running(
    commands: Sequence[Sequence[str]], environment: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """Processes that end together; the first is waited for."""
    processes: list[subprocess.Popen[bytes]] = []
    try:
        with _heard(signal.SIGINT):
            for words in commands:
                processes.append(subprocess.Popen(words, env=dict(environment)))
        yield processes[0]
    finally:
        for process in processes:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
        for process in processes:
            try:
                process.wait(_GRACE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def _heard(number: signal.Signals) -> Iterator[None]:
    """Have processes started here hear a signal that this one ignores.

    A program that a script starts with ``&`` ignores Ctrl-C, and so would the processes that it
    starts and has to end with it.
    """
    is_ignored = signal.getsignal(number) is signal.SIG_IGN
    if is_ignored:
        signal.signal(number, signal.SIG_DFL)
    try:
        yield
    finally:
        if is_ignored:
            signal.signal(number, signal.SIG_IGN)
