"""What each kind of error means, what usually causes it and what to do: one page per kind.

The pages are Markdown files in this folder, named after ``kind`` of ``errors.py``; the command
``hoverfast explain`` prints them and the site shows them. A test holds them complete.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources

from hoverfast_platform import errors
from hoverfast_platform.errors import HoverFastError, SettingsError

DEFECT = "defect"
"""The kind of a failure that was not raised on purpose."""


class Defect(HoverFastError):  # noqa: N818 - what happened
    """Stands for every exception that the engine did not raise on purpose."""

    kind = DEFECT


def _kinds() -> dict[str, type[HoverFastError]]:
    kinds: dict[str, type[HoverFastError]] = {}
    for found in (*vars(errors).values(), Defect):
        if isinstance(found, type) and issubclass(found, HoverFastError):
            kinds[found.kind] = found
    del kinds[HoverFastError.kind]
    return kinds


KINDS = _kinds()
"""Every kind of failure there is, in the order of the tree of errors; `defect` last."""


@dataclass(frozen=True)
class Explanation:
    """A page about one kind of error.

    Attributes:
        kind: Name of the kind.
        what: What happened, in one or two sentences.
        text: The whole page, Markdown: what happened, usual causes, what to do.
    """

    kind: str
    what: str
    text: str


def explanation_of(kind: str) -> Explanation:
    """The page about a kind of error.

    Raises:
        SettingsError: Listing the kinds there are.
    """
    if kind not in KINDS:
        raise SettingsError(
            f"There is no kind of error {kind!r}.", f"The kinds are {', '.join(KINDS)}."
        )
    page = resources.files(__name__) / f"{kind}.md"
    text = page.read_text(encoding="utf-8").strip()
    what = " ".join(text.split("\n\n", 1)[0].split())
    return Explanation(kind, what, text)
