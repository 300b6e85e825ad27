import csv
import json
import re

import numpy as np
import pytest

from hoverfast_platform.evaluation.labelled_set import LabelledImage, LabelledItem
from hoverfast_platform.evaluation.metrics import Scores
from hoverfast_platform.evaluation.results import (
    Evaluation,
    ImageScores,
    MeasuredModel,
    paired_differences,
)
from hoverfast_platform.reports.evaluation_report import (
    write_agreement,
    write_comparison,
    write_report,
)
from hoverfast_platform.scores import SCORE_NAMES
from tests.builders import provenance


def evaluation(values=(0.9, 0.5, 0.7, 0.3), *, name="student", dataset="set <1>"):
    images = tuple(
        ImageScores(
            LabelledItem(f"img {i}/é", f"slide{i // 2}", f"patient{i // 3}", 0.25),
            Scores(*[v] * len(SCORE_NAMES), n_true=10 + i, n_predicted=9),
        )
        for i, v in enumerate(values)
    )
    return Evaluation(
        model=MeasuredModel(
            name=name, version="1", sha256="a" * 64, arithmetic=provenance().arithmetic
        ),
        dataset=dataset,
        dataset_digest="d" * 64,
        dataset_provenance={"teacher": "t"},
        reference="annotations & more",
        settings={"match_iou": 0.5},
        settings_digest="e" * 64,
        code_version="0",
        images=images,
    )


@pytest.fixture
def written(tmp_path):
    found = evaluation()
    for i, image in enumerate(found.images):
        pixels = np.full((50, 60, 3), 200, np.uint8)
        label = np.zeros((50, 60), np.int32)
        label[10:20, 10:20] = 1
        write_agreement(tmp_path, i, LabelledImage(image.item, pixels, label), label)
    page = write_report(tmp_path, found)
    return tmp_path, page.read_text(encoding="utf-8")


def test_tables_hold_every_image_and_group(written):
    folder, _ = written
    images = list(csv.DictReader((folder / "images.csv").read_text(encoding="utf-8").splitlines()))
    groups = list(csv.DictReader((folder / "groups.csv").read_text(encoding="utf-8").splitlines()))

    assert [row["image"] for row in images] == [f"img {i}/é" for i in range(4)]
    assert [float(row["pq"]) for row in images] == [0.9, 0.5, 0.7, 0.3]
    by_name = {(row["level"], row["name"]): row for row in groups}
    assert by_name["slide", "slide0"]["n_true"] == "21"
    assert float(by_name["group", "patient0"]["dice"]) == pytest.approx(0.7)
    assert by_name["group", "patient1"]["n_images"] == "1"


def test_json_holds_what_the_scores_were_made_from(written):
    found = json.loads((written[0] / "evaluation.json").read_text())

    assert found["dataset"] == {
        "name": "set <1>",
        "digest": "d" * 64,
        "provenance": {"teacher": "t"},
    }
    pq = found["summary"]["scores"]["pq"]
    assert pq["mean"] == pytest.approx(0.6)
    assert pq["low"] < 0.6 < pq["high"]
    assert found["model"]["sha256"] == "a" * 64
    assert len(found["images"]) == 4
    assert found["schema_version"] == 1


def test_page_stands_alone_and_shows_worst_median_and_best(written):
    _, page = written

    assert "set &lt;1&gt;" in page
    assert "set <1>" not in page
    assert not re.search(r'(src|href)="(?!data:image/jpeg;base64,)', page)
    shown = re.findall(r"<figcaption>(\w+): img (\d)", page)
    assert shown == [("worst", "3"), ("worst", "1"), ("worst", "2"), ("best", "0")]
    assert "2 groups only" in page


def test_pictures_of_an_earlier_evaluation_in_the_folder_go_away(written):
    folder, _ = written
    (folder / "agreement" / "notes.jpg").write_bytes(b"not ours")

    write_report(folder, evaluation((0.9, 0.5)))

    left = sorted(path.name for path in (folder / "agreement").iterdir())
    assert left == ["0000-img-0.jpg", "0001-img-1.jpg", "notes.jpg"]


def test_one_group_says_that_there_is_no_interval(tmp_path):
    page = write_report(tmp_path, evaluation((0.5, 0.6))).read_text(encoding="utf-8")

    assert "so there is no interval" in page
    assert "0.5500" in page


def test_comparison_pairs_images(tmp_path):
    one, other = evaluation(), evaluation((0.91, 0.53, 0.71, 0.32), name="other")
    difference = paired_differences(one, other)

    assert difference.pq.mean == pytest.approx(0.0175)
    assert difference.pq.low > 0  # though the scores themselves overlap widely
    page = write_comparison(tmp_path, {"student-1": one, "other-1": other}, {"other-1": difference})
    text = page.read_text(encoding="utf-8")
    assert 'href="other-1/report.html"' in text
    rows = list(
        csv.DictReader((tmp_path / "comparison.csv").read_text(encoding="utf-8").splitlines())
    )
    assert len(rows) == 3 * len(SCORE_NAMES)
