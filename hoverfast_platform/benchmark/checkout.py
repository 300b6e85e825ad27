"""Checkouts of published tools: theirs is run as it lies there, and nothing of it is ours.

Runners are Python texts that import from a checkout and change, in memory only, what keeps it
from running on this machine; each says what.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from hoverfast_platform.errors import SettingsError


def check_checkout(checkout: Path, *, holds: str, url: str, importing: str, needs: str) -> str:
    """Its commit, or ``unknown``.

    Args:
        checkout: Folder a user named.
        holds: A file that only this tool has.
        url: Where to get it.
        importing: Python that fails if something it needs is missing; the folder is
            ``sys.argv[1]``.
        needs: What ``pip install`` brings.

    Raises:
        SettingsError: If it is another folder, or cannot be imported here.
    """
    if not (checkout / holds).is_file():
        raise SettingsError(
            f"{checkout} is not a checkout of {url}: {holds} is missing.", f"git clone {url}"
        )
    tried = subprocess.run(
        [sys.executable, "-c", importing, str(checkout)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if tried.returncode != 0:
        raise SettingsError(
            f"{checkout} cannot be imported: {tried.stderr.strip().splitlines()[-1]}",
            f"Install what it needs into this environment: pip install {needs}.",
        )
    commit = subprocess.run(
        ["git", "-C", str(checkout), "rev-parse", "--short=10", "HEAD"],
        # Copied without its history, it may lie in a checkout of something else.
        env={**os.environ, "GIT_CEILING_DIRECTORIES": str(checkout.resolve().parent)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return commit.stdout.strip() or "unknown"
