"""What a result was made from as a graph: Mermaid text, or a picture that needs no program."""

from __future__ import annotations

import html
from collections.abc import Iterator
from dataclasses import dataclass

from hoverfast_platform.catalogue import Ancestor
from hoverfast_platform.reports.lineage import SHORT, Story, nuclei_text, title_of

_WIDTH, _LINE, _PAD = 200, 16, 8
"""Pixels: the width of a box, the height of a line in it, the space around its text."""
_GAP_X, _GAP_Y = 56, 14
_MOST_LETTERS = 31
_ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "#quot;"})
# As attributes, since the viewer's page allows no style that is written in a file.
_BLUE, _GREEN = 'fill="#f4f7fb" stroke="#7d93ab"', 'fill="#e3f1e6" stroke="#4e8a5b"'
_LINES = 'fill="none" stroke="#7d93ab"'
_QUIET = 'font-size="10" fill="#5b6b7d"'


@dataclass(frozen=True)
class Box:
    """Something in the graph.

    Attributes:
        name: Unique in the graph.
        kind: What it is: slide, model, labels.
        texts: What is said of it, a line each.
    """

    name: str
    kind: str
    texts: tuple[str, ...]


@dataclass(frozen=True)
class Arrow:
    """One box was made from another.

    Attributes:
        start: Name of what it was made from.
        end: Name of what was made.
        text: How.
        is_inherited: Whether only through another model.
    """

    start: str
    end: str
    text: str = ""
    is_inherited: bool = False


@dataclass(frozen=True)
class LineageGraph:
    """Boxes and arrows; all arrows lead to the nuclei in the end, and none in a circle."""

    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]

    @classmethod
    def of(cls, story: Story) -> LineageGraph:
        """The graph of a result."""
        drawn = _Drawn()
        made, entry = story.made_from, story.entry
        drawn.box("nuclei", "nuclei", nuclei_text(story))
        drawn.box("slide", "slide", entry.slide_name if entry else "", made.slide.sha256)
        drawn.box("model", "model", made.model.title, made.model.sha256)
        drawn.arrows += [Arrow("slide", "nuclei"), Arrow("model", "nuclei")]
        if made.mask is not None:
            drawn.box("mask", "tissue mask", made.mask.engine, made.mask.sha256)
            drawn.arrows += [Arrow("slide", "mask"), Arrow("mask", "nuclei")]
        for i, ancestor in enumerate(story.ancestors):
            named = title_of(ancestor) if ancestor.name else ""
            drawn.box(f"a{i}", "model", named, ancestor.sha256)
            drawn.arrows.append(Arrow(f"a{i}", "model", _how(ancestor)))
        for i, made_of in enumerate(story.training_sets):
            drawn.box(f"t{i}", "training set", made_of.name, made_of.digest)
            drawn.arrows.append(Arrow(f"t{i}", "model"))
            if made_of.cohort:
                drawn.box(f"c{i}", "cohort", made_of.cohort)
                drawn.arrows.append(Arrow(f"c{i}", f"t{i}"))
        for i, use in enumerate(story.labels):
            drawn.box(f"l{i}", "labels", use.name, use.licence)
            inherited = "inherited" if use.is_inherited else ""
            drawn.arrows.append(Arrow(f"l{i}", "model", inherited, use.is_inherited))
        if not story.labels:  # a file alone names them with their licences
            for i, text in enumerate(made.model.labels):
                drawn.box(f"l{i}", "labels", text)
                drawn.arrows.append(Arrow(f"l{i}", "model"))
        return cls(tuple(drawn.boxes), tuple(drawn.arrows))

    def mermaid(self) -> str:
        """A Mermaid flow chart; what it would read as its own or as HTML is written as entities."""
        lines = ["flowchart LR"]
        for box in self.boxes:
            texts = (f"<b>{box.kind}</b>", *(text.translate(_ENTITIES) for text in box.texts))
            lines.append(f'    {box.name}["{"<br/>".join(texts)}"]')
        for arrow in self.arrows:
            shaft = "-.->" if arrow.is_inherited else "-->"
            told = f"|{arrow.text}|" if arrow.text else ""
            lines.append(f"    {arrow.start} {shaft}{told} {arrow.end}")
        return "\n".join(lines)

    def svg(self) -> str:
        """A picture: what it was made from on the left, the nuclei on the right.

        Long texts are cut and stand whole in the tooltip of their box.
        """
        places = self._places()
        width = max(x for x, _ in places.values()) + _WIDTH + 1
        height = max(places[box.name][1] + _height(box) for box in self.boxes) + 1
        arrows = (part for arrow in self.arrows for part in self._draw_arrow(arrow, places))
        boxes = (part for box in self.boxes for part in _draw_box(box, *places[box.name]))
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
                f'width="{width}" height="{height}" font-family="sans-serif" font-size="12" '
                'fill="#1c2733" role="img">',
                "<title>What this result was made from</title>",
                '<defs><marker id="head" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" '
                f'markerHeight="8" orient="auto"><path {_LINES} d="M0 0L8 4L0 8"/></marker></defs>',
                *arrows,
                *boxes,
                "</svg>",
            ]
        )

    def _places(self) -> dict[str, tuple[int, int]]:
        """Left and top of every box: a column for every number of steps to the nuclei."""
        columns: dict[int, list[Box]] = {}
        for box in self.boxes:
            columns.setdefault(self._steps_to_end(box.name), []).append(box)
        tallest = max(map(_column_height, columns.values()))
        places = {}
        for n_steps, column in columns.items():
            x, y = (
                (max(columns) - n_steps) * (_WIDTH + _GAP_X),
                (tallest - _column_height(column)) // 2,
            )
            for box in column:
                places[box.name] = (x, y)
                y += _height(box) + _GAP_Y
        return places

    def _steps_to_end(self, name: str) -> int:
        ends = [arrow.end for arrow in self.arrows if arrow.start == name]
        return 1 + max(map(self._steps_to_end, ends)) if ends else 0

    def _draw_arrow(self, arrow: Arrow, places: dict[str, tuple[int, int]]) -> Iterator[str]:
        heights = {box.name: _height(box) for box in self.boxes}
        x0, y0 = places[arrow.start]
        x1, y1 = places[arrow.end]
        x0, y0, y1 = x0 + _WIDTH, y0 + heights[arrow.start] // 2, y1 + heights[arrow.end] // 2
        bend = x1 - _GAP_X // 2
        dashes = ' stroke-dasharray="4 3"' if arrow.is_inherited else ""
        yield (
            f'<path {_LINES}{dashes} marker-end="url(#head)" '
            f'd="M{x0} {y0}H{x1 - _GAP_X}C{bend} {y0} {bend} {y1} {x1} {y1}"/>'
        )
        if arrow.text:
            yield f'<text {_QUIET} x="{x0 + 3}" y="{y0 - 3}">{_safe(arrow.text)}</text>'


class _Drawn:
    """Boxes and arrows while a graph is made."""

    def __init__(self) -> None:
        self.boxes: list[Box] = []
        self.arrows: list[Arrow] = []

    def box(self, name: str, kind: str, *texts: str) -> None:
        shown = tuple(text if len(text) != 64 else text[:SHORT] for text in texts if text)
        self.boxes.append(Box(name, kind, shown))


def _how(ancestor: Ancestor) -> str:
    steps = "" if ancestor.n_steps == 1 else f", {ancestor.n_steps} steps up"
    return f"{ancestor.how}{steps}"


def _height(box: Box) -> int:
    return 2 * _PAD + _LINE * (1 + len(_lines(box)))


def _column_height(column: list[Box]) -> int:
    return sum(map(_height, column)) + _GAP_Y * (len(column) - 1)


def _lines(box: Box) -> list[str]:
    """Texts cut at their commas where they are too long, and then with an ellipsis."""
    lines: list[str] = []
    for text in box.texts:
        first, *rest = text.split(", ") if len(text) > _MOST_LETTERS else [text]
        lines.append(first)
        for piece in rest:
            if len(lines[-1]) + 2 + len(piece) <= _MOST_LETTERS:
                lines[-1] += f", {piece}"
            else:
                lines.append(piece)
    return [
        line if len(line) <= _MOST_LETTERS else f"{line[: _MOST_LETTERS - 1]}…" for line in lines
    ]


def _draw_box(box: Box, x: int, y: int) -> Iterator[str]:
    whole = "; ".join((box.kind, *box.texts))
    colours, size = _GREEN if box.name == "nuclei" else _BLUE, f'height="{_height(box)}" rx="5"'
    yield f"<g><title>{_safe(whole)}</title>"
    yield f'<rect {colours} x="{x + 0.5}" y="{y + 0.5}" width="{_WIDTH}" {size}/>'
    for i, line in enumerate([box.kind, *_lines(box)]):
        bold = ' font-weight="bold"' if i == 0 else ""
        baseline = y + _PAD + _LINE * i + 12
        yield f'<text{bold} x="{x + _PAD}" y="{baseline}">{_safe(line)}</text>'
    yield "</g>"


def _safe(text: str) -> str:
    """Text for XML, which holds neither control characters nor halves of surrogate pairs."""
    kept = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    return html.escape(kept)
