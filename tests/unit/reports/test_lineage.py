"""Lineage for people: few lines, and a graph that a page can draw."""

import datetime
import re
from xml.etree import ElementTree

from hoverfast_platform.catalogue import Ancestor, LabelUse, LineageEntry, TrainingSetRecord
from hoverfast_platform.reports.lineage import Story, lineage_lines
from hoverfast_platform.reports.lineage_graph import LineageGraph
from tests.builders import provenance

SVG = "{http://www.w3.org/2000/svg}"


def story(**changes):
    made = provenance("s" * 32)
    entry = LineageEntry(
        provenance=made,
        slide_name='a "b" <1>.svs',
        slide_path="/slides/a.svs",
        mask_path=None,
        mask_record=None,
        model_card={},
        run_id="run 7",
        n_nuclei=12345,
        files={"/out/a.json.gz": "d" * 64},
        finished_at=datetime.datetime(2026, 5, 3, 14, 5, tzinfo=datetime.UTC),
        is_current=True,
        scope="breast",
    )
    return Story(
        made,
        entry,
        (LabelUse("ours", "CC0-1.0"), LabelUse("TNBC", "CC-BY-4.0", is_inherited=True)),
        (Ancestor("p" * 64, "parent", "2", "parent", 1), Ancestor("q" * 64, "", "", "teacher", 2)),
        (TrainingSetRecord("t" * 64, "breast_train", "/t", "people", "breast v1"),),
    )


def test_ten_lines_answer_what_is_asked_most():
    lines = lineage_lines(story())

    assert len(lines) <= 10
    text = "\n".join(lines)
    for part in (
        "12,345, current, 2026-05-03 14:05 UTC",
        "/slides/a.svs, aaaaaaaaaa, 400 x 100 px, 0.25 um/px (file)",
        "ours (CC0-1.0); TNBC (CC-BY-4.0)",
        "breast_train of breast v1",
        "parent 2 (parent); qqqqqqqqqq (teacher)",
        "run run 7",
    ):
        assert part in text


def test_file_alone_tells_its_own_story():
    lines = lineage_lines(Story(provenance("s" * 32)))

    assert lines[0].split() == ["nuclei", "segmentation", "ssssssssss"]
    assert not any(line.startswith(("files", "descends")) for line in lines)


def test_graph_of_a_file_alone_has_the_labels_it_names():
    made = provenance("s" * 32, model={"labels": ("TNBC (CC-BY-4.0)",)})

    graph = LineageGraph.of(Story(made)).mermaid()

    assert 'l0["<b>labels</b><br/>TNBC (CC-BY-4.0)"]' in graph
    assert "l0 --> model" in graph


def test_graph_leads_from_what_it_was_made_of_to_the_nuclei():
    graph = LineageGraph.of(story()).mermaid().splitlines()

    assert graph[0] == "flowchart LR"
    for arrow in (
        "slide --> nuclei",
        "mask --> nuclei",
        "model --> nuclei",
        "a0 -->|parent| model",
        "a1 -->|teacher, 2 steps up| model",
        "c0 --> t0",
        "l1 -.->|inherited| model",
    ):
        assert f"    {arrow}" in graph
    (slide,) = (line for line in graph if line.strip().startswith("slide["))
    assert slide.strip() == (
        'slide["<b>slide</b><br/>a #quot;b#quot; &lt;1&gt;.svs<br/>aaaaaaaaaa"]'
    )


def drawn(what):
    """Texts of a picture's boxes by the box's left edge, from left to right; and its arrows."""
    root = ElementTree.fromstring(LineageGraph.of(what).svg())
    columns = {}
    for group in root.iter(f"{SVG}g"):
        texts = [text.text for text in group.iter(f"{SVG}text")]
        columns.setdefault(float(group.find(f"{SVG}rect").get("x")), []).append(texts)
    return [columns[x] for x in sorted(columns)], root.findall(f"{SVG}path")


def test_picture_leads_from_left_to_right_to_the_nuclei():
    columns, arrows = drawn(story())

    assert [sorted(texts[0] for texts in column) for column in columns] == [
        ["cohort"],
        ["labels", "labels", "model", "model", "slide", "training set"],
        ["model", "tissue mask"],
        ["nuclei"],
    ]
    assert ["model", "qqqqqqqqqq"] in columns[1]  # nobody knows its name
    assert sum(arrow.get("stroke-dasharray") is not None for arrow in arrows) == 1
    for arrow in arrows:
        start, end = arrow.get("d").split("H")[0][1:], arrow.get("d").rsplit(" ", 2)[1]
        assert float(start.split()[0]) < float(end)


def test_picture_shows_names_as_they_are_and_never_as_markup():
    made = story()
    hostile = made.entry.model_copy(update={"slide_name": "<script>\x01 & \udc80.svs"})

    columns, _ = drawn(Story(made.made_from, hostile))

    (slide,) = (texts for column in columns for texts in column if texts[0] == "slide")
    assert slide[1] == "<script>\ufffd & \ufffd.svs"


def test_long_texts_are_cut_in_the_picture_and_whole_in_its_tooltip():
    long = "a" * 80 + ".svs"
    made = story()
    entry = made.entry.model_copy(update={"slide_name": long})

    svg = LineageGraph.of(Story(made.made_from, entry)).svg()

    assert f"<title>slide; {long};" in svg
    (shown,) = re.findall(r">(a+)…</text>", svg)
    assert len(shown) < 40
