"""Tutorials: scripts in percent format, which tests run, as pages of the site."""

from __future__ import annotations

import re
from pathlib import Path

TUTORIALS = Path(__file__).parent / "tutorials"
ORDER = (
    "segment_a_folder",
    "read_the_table",
    "evaluate_and_compare",
    "correct_and_retrain",
    "write_a_component",
)
"""In the order in which they are run: a later one may use what an earlier one left."""


def write_tutorials(made: Path) -> None:
    """Write a page per script."""
    made.mkdir(exist_ok=True)
    for name in ORDER:
        source = (TUTORIALS / f"{name}.py").read_text(encoding="utf-8")
        page = made / f"tutorial-{name.replace('_', '-')}.md"
        page.write_text(page_of(source, name), encoding="utf-8")


def page_of(source: str, name: str) -> str:
    """A script as Markdown: cells marked ``[markdown]`` as text, the others as code."""
    parts = []
    for cell in re.split(r"^# %%", source, flags=re.M)[1:]:
        first, _, body = cell.partition("\n")
        if "[markdown]" in first:
            parts.append(re.sub(r"^# ?", "", body, flags=re.M).strip())
        else:
            code = re.sub(r"  # noqa.*$", "", body.strip("\n"), flags=re.M)
            parts.append(f"```python\n{code}\n```")
    parts.append(
        f"This page is `docs/tutorials/{name}.py`; the tests run it. Editors open it as a notebook."
    )
    return "\n\n".join(parts) + "\n"
