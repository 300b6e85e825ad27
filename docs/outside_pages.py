"""Pages of the repository that lie outside ``docs/`` and belong to the site, and links to them."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]

OUTSIDE = {
    "deploy/README.md": "generated/deploy.md",
    "deploy/training/README.md": "generated/training.md",
    "CONTRIBUTING.md": "generated/contributing.md",
    "CHANGELOG.md": "generated/changelog.md",
}
"""File in the repository, page in the site's folder."""

_LINK = re.compile(r"(?<!!)\[([^\]]*)\]\(([^)#:\s]+)(#[^)\s]*)?\)")


def write_outside_pages(made: Path) -> None:
    """Copy the pages of :data:`OUTSIDE`, with links that lead to pages of the site."""
    made.mkdir(exist_ok=True)
    for source, page in OUTSIDE.items():
        text = (REPOSITORY / source).read_text(encoding="utf-8")
        text = _relinked(text, folder=posixpath.dirname(source), page=page)
        (made / Path(page).name).write_text(text, encoding="utf-8")


def links_inside(text: str, docname: str) -> str:
    """A page's text, with links to outside pages led to their copies in the site."""
    if docname.startswith("generated/"):
        return text
    page = f"{docname}.md"
    return _relinked(text, folder=posixpath.join("docs", posixpath.dirname(page)), page=page)


def _relinked(text: str, *, folder: str, page: str) -> str:
    """Links as they are written in a file of ``folder``, as they must be in ``page``.

    Args:
        text: Markdown.
        folder: Where the file lies in the repository.
        page: The page in the site's folder.
    """
    here = posixpath.dirname(page) or "."

    def lead(match: re.Match[str]) -> str:
        label, target, anchor = match[1], match[2], match[3] or ""
        place = posixpath.normpath(posixpath.join(folder, target))
        if place in OUTSIDE:
            inside = OUTSIDE[place]
        elif place.startswith("docs/"):
            inside = place.removeprefix("docs/")
        else:
            return match[0]
        return f"[{label}]({posixpath.relpath(inside, here)}{anchor})"

    return _LINK.sub(lead, text)
