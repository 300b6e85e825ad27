"""Pages for people: one self-contained HTML file, built of blocks by one template.

A report says which blocks its page has; how a block looks is in ``templates/page.html.j2``, where
whatever text it is given is escaped. Pictures are inside the page, so that it can be mailed.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, TypeAlias

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from hoverfast_platform.files import write_bytes

_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


@dataclass(frozen=True)
class Heading:
    """Begins a section."""

    kind: ClassVar[str] = "heading"
    text: str


@dataclass(frozen=True)
class Paragraph:
    """A sentence or two.

    Attributes:
        text: Plain text, or ``markupsafe.Markup`` made by the caller.
        tone: How it is coloured: ``""``, ``"warn"`` or ``"bad"``.
    """

    kind: ClassVar[str] = "paragraph"
    text: str
    tone: str = ""


@dataclass(frozen=True)
class Table:
    """Rows of text.

    Attributes:
        head: Titles of the columns.
        rows: Texts, one per column.
        is_text: Whether all columns read as text, not as numbers.
    """

    kind: ClassVar[str] = "table"
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    is_text: bool = False


@dataclass(frozen=True)
class Picture:
    """A JPEG with a caption.

    Attributes:
        jpeg: The file's bytes.
        caption: Text under the picture.
        alt: Text in place of the picture; if empty, the caption.
        is_wide: Whether it is shown at full width.
    """

    kind: ClassVar[str] = "picture"
    jpeg: bytes
    caption: str
    alt: str = ""
    is_wide: bool = False

    @property
    def source(self) -> str:
        """The picture as a ``data:`` address, so that the page loads no other file."""
        return f"data:image/jpeg;base64,{base64.b64encode(self.jpeg).decode()}"


@dataclass(frozen=True)
class Histogram:
    """Counts as bars.

    Attributes:
        title: What was counted, and how high the tallest bar is.
        shares: Height of each bar as a share of the tallest, 0..1.
        low: Left end of the first bar.
        high: Right end of the last.
    """

    kind: ClassVar[str] = "histogram"
    title: str
    shares: Sequence[float]
    low: float
    high: float


@dataclass(frozen=True)
class Links:
    """A list of links to other pages: address and text."""

    kind: ClassVar[str] = "links"
    targets: Sequence[tuple[str, str]]


Block: TypeAlias = Heading | Paragraph | Table | Picture | Histogram | Links


def write_page(path: Path, title: str, blocks: Iterable[Block]) -> Path:
    """Write a page; it appears whole or not at all.

    Returns:
        The path.

    Raises:
        StorageError: If it cannot be written.
    """
    html = _TEMPLATES.get_template("page.html.j2").render(title=title, blocks=list(blocks))
    # Names of files may hold bytes that are not text.
    write_bytes(path, html.encode(errors="replace"))
    return path
