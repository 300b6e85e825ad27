"""The Dockerfile as its instructions."""

import re

from tests.conftest import REPOSITORY

DEPLOY = REPOSITORY / "deploy"


def instructions(name="Dockerfile"):
    """``(stage, keyword, rest)`` of a Dockerfile, continuation lines joined."""
    text = re.sub(r"\\\n", " ", (DEPLOY / name).read_text())
    stage, found = "", []
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        keyword, _, rest = line.partition(" ")
        if keyword == "FROM":
            stage = rest.split(" AS ")[1]
        found.append((stage, keyword, rest.strip()))
    return found
