"""Lineage for people: few lines, and a graph that a page can draw."""

import datetime

from hoverfast_platform.catalogue import Ancestor, LabelUse, LineageEntry, TrainingSetRecord
from hoverfast_platform.reports.lineage import Story, lineage_graph, lineage_lines
from tests.builders import provenance


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

    graph = lineage_graph(Story(made))

    assert 'l0["<b>labels</b><br/>TNBC (CC-BY-4.0)"]' in graph
    assert "l0 --> model" in graph


def test_graph_leads_from_what_it_was_made_of_to_the_nuclei():
    graph = lineage_graph(story()).splitlines()

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
