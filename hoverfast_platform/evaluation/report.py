"""An evaluation as files: CSV tables, JSON, and one HTML page that can be mailed.

``images.csv`` has a row per image, ``groups.csv`` one per slide and per patient,
``evaluation.json`` everything, ``report.html`` the tables and some pictures, ``agreement/``
the picture of every image.
"""

from __future__ import annotations

import base64
import csv
import dataclasses
import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from PIL import Image

from hoverfast_platform.arrays import InstanceMap
from hoverfast_platform.evaluation.agreement import draw_agreement
from hoverfast_platform.evaluation.bootstrap import CONFIDENCE, Interval
from hoverfast_platform.evaluation.labelled_set import LabelledImage, LabelledItem
from hoverfast_platform.evaluation.metrics import SCORE_NAMES
from hoverfast_platform.evaluation.results import Evaluation, ImageScores, mean_scores
from hoverfast_platform.files import write_text, written_atomically

_HEADINGS = {"dice": "Dice", "aji": "AJI", "dq": "DQ", "sq": "SQ", "pq": "PQ", "f1": "detection F1"}
_PICTURE_SIDE_PX = 700
_STYLE = """body{font:15px/1.5 system-ui,sans-serif;max-width:1080px;margin:2em auto;padding:0 1em}
table{border-collapse:collapse;margin:1em 0}th,td{padding:.2em .7em;border-bottom:1px solid #ddd;
text-align:right}th:first-child,td:first-child{text-align:left}figure{display:inline-block;
width:510px;margin:.5em;vertical-align:top}img{width:100%;display:block}code{font-size:85%}
b.agree{background:#888;color:#fff}b.student{background:#888;color:#0f0}
b.reference{background:#888;color:#f0f}b{padding:0 .3em}"""


def write_agreement(
    out_dir: Path, number: int, labelled: LabelledImage, predicted: InstanceMap
) -> None:
    """Draw where an image's nuclei agree with its labels; see :mod:`.agreement`.

    Raises:
        StorageError: If it cannot be written.
    """
    picture = draw_agreement(labelled.image, labelled.instance_map, predicted)
    with written_atomically(_picture_path(out_dir, number, labelled.item)) as part:
        # No chroma subsampling: it would smear outlines one pixel wide.
        Image.fromarray(picture).save(part, format="JPEG", quality=90, subsampling=0)


def write_report(out_dir: Path, evaluation: Evaluation) -> Path:
    """Write tables, JSON and page; pictures are those :func:`write_agreement` left there.

    Returns:
        The page.

    Raises:
        StorageError: If they cannot be written.
    """
    _remove_other_pictures(out_dir, evaluation)
    _write_csv(out_dir / "images.csv", _image_rows(evaluation))
    _write_csv(out_dir / "groups.csv", _group_rows(evaluation))
    write_text(out_dir / "evaluation.json", json.dumps(_as_json(evaluation), indent=1))
    write_text(out_dir / "report.html", _page(out_dir, evaluation))
    return out_dir / "report.html"


def write_comparison(
    out_dir: Path, reports: Mapping[str, Evaluation], differences: Mapping[str, dict[str, Interval]]
) -> Path:
    """A page with several evaluations of one set side by side, and their paired differences.

    Args:
        out_dir: Holds one report folder per evaluation.
        reports: Evaluation by name of its folder.
        differences: For all folders but the first, difference from the first per score.

    Returns:
        The page.
    """
    first = next(iter(reports.values()))
    rows = [
        [name, *(str(interval) for interval in evaluation.overall().values())]
        for name, evaluation in reports.items()
    ]
    paired = [[name, *(str(d) for d in found.values())] for name, found in differences.items()]
    heads = ["model", *_HEADINGS.values()]
    _write_csv(
        out_dir / "comparison.csv",
        [
            {
                "model": name,
                "statistic": statistic,
                "score": score_name,
                **dataclasses.asdict(value),
            }
            for statistic, found in (
                ("mean", {name: e.overall() for name, e in reports.items()}),
                (f"difference from {next(iter(reports))}", differences),
            )
            for name, values in found.items()
            for score_name, value in values.items()
        ],
    )
    links = "".join(
        f'<li><a href="{escape(name)}/report.html">{escape(name)}</a></li>' for name in reports
    )
    body = (
        f"<h1>{len(reports)} models on {escape(first.dataset)}</h1>"
        f"<p>{_extent(first)} Reference: {escape(first.reference)}.</p>"
        + _table(heads, rows)
        + f"<h2>Difference from {escape(next(iter(reports)))}, image by image</h2>"
        + _table(heads, paired)
        + f"<ul>{links}</ul>"
    )
    write_text(out_dir / "comparison.html", _html(f"{first.dataset}: comparison", body))
    return out_dir / "comparison.html"


def _picture_path(out_dir: Path, number: int, item: LabelledItem) -> Path:
    safe = re.sub(r"[^A-Za-z0-9._-]+", "-", item.name).strip("-.")[:80]
    return out_dir / "agreement" / f"{number:04d}-{safe}.jpg"


def _remove_other_pictures(out_dir: Path, evaluation: Evaluation) -> None:
    """Pictures of an earlier evaluation in the same folder, of images this one has not."""
    ours = {_picture_path(out_dir, i, image.item) for i, image in enumerate(evaluation.images)}
    for path in (out_dir / "agreement").glob("[0-9][0-9][0-9][0-9]*-*.jpg"):
        if path not in ours:
            path.unlink()


def _image_rows(evaluation: Evaluation) -> list[dict[str, Any]]:
    return [
        {"image": image.item.name, "slide": image.item.source, "group": image.item.group,
         "mpp": image.item.mpp, **dataclasses.asdict(image.scores)}
        for image in evaluation.images
    ]  # fmt: skip


def _group_rows(evaluation: Evaluation) -> list[dict[str, Any]]:
    return [
        {"level": level, "name": name, "n_images": len(images),
         "n_true": sum(i.scores.n_true for i in images),
         "n_predicted": sum(i.scores.n_predicted for i in images), **mean_scores(images)}
        for level, grouped in (
            ("slide", evaluation.by_source()),
            ("group", evaluation.by_group()),
        )
        for name, images in grouped.items()
    ]  # fmt: skip


def _as_json(evaluation: Evaluation) -> dict[str, Any]:
    return {
        "model": dataclasses.asdict(evaluation.model),
        "dataset": {
            "name": evaluation.dataset,
            "digest": evaluation.dataset_digest,
            "provenance": evaluation.dataset_provenance,
        },
        "settings": evaluation.settings,
        "settings_digest": evaluation.settings_digest,
        "confidence": CONFIDENCE,
        "summary": evaluation.summary(),
        "groups": _group_rows(evaluation),
        "images": _image_rows(evaluation),
    }


def _page(out_dir: Path, evaluation: Evaluation) -> str:
    model = evaluation.model
    facts = {
        "model": f"{model.name} {model.version}, SHA-256 {model.sha256}",
        "labelled set": f"{evaluation.dataset}, digest {evaluation.dataset_digest}",
        "reference": evaluation.reference,
        "mpp": ", ".join(str(m) for m in sorted({i.item.mpp for i in evaluation.images})),
        "ran on": f"{model.device} ({model.backend} {model.precision})",
        "settings": f"digest {evaluation.settings_digest}",
        "code": evaluation.code_version,
    }
    overall = evaluation.overall()
    parts = [
        f"<h1>{escape(model.name)} {escape(model.version)} on {escape(evaluation.dataset)}</h1>",
        f"<p>{_extent(evaluation)}</p>",
        _table(
            ["score", "mean over images", f"{CONFIDENCE:.0%} interval"],
            [[_HEADINGS[name], f"{v.mean:.4f}", v.interval_text] for name, v in overall.items()],
        ),
        _caution(overall["dice"]),
        "<h2>Where they agree</h2><p>Borders and tint: <b class=agree>white</b> both, "
        f"<b class=student>green</b> only {escape(model.name)}, <b class=reference>magenta</b> "
        f"only {escape(evaluation.reference)}. All images are in <code>agreement/</code>.</p>",
        *(_figure(out_dir, evaluation, what, i) for what, i in _chosen(evaluation.images)),
        "<h2>Per patient or group</h2>",
        _grouped_table(evaluation.by_group()),
    ]
    by_source = evaluation.by_source()
    if len(by_source) < len(evaluation.images):
        parts += ["<h2>Per slide</h2>", _grouped_table(by_source)]
    parts += [
        "<h2>Per image</h2>",
        _table(
            ["image", "group", *_HEADINGS.values(), "reference nuclei", "found"],
            [
                [i.item.name, i.item.group, *_numbers(i.scores), str(i.scores.n_true),
                 str(i.scores.n_predicted)]
                for i in evaluation.images
            ],
        ),
        "<h2>Made from</h2>",
        _table(["", ""], [[name, text] for name, text in facts.items()]),
    ]  # fmt: skip
    return _html(f"{model.name} {model.version} on {evaluation.dataset}", "".join(parts))


def _chosen(images: Sequence[ImageScores]) -> list[tuple[str, int]]:
    """Worst three, median and best two by PQ, none twice."""
    order = sorted(range(len(images)), key=lambda i: (images[i].scores.pq, images[i].scores.aji))
    named: dict[int, str] = {}
    for what, some in (
        ("worst", order[:3]), ("median", order[len(order) // 2 :][:1]), ("best", order[:-3:-1])
    ):  # fmt: skip
        for i in some:
            named.setdefault(i, what)
    return [(what, i) for i, what in named.items()]


def _figure(out_dir: Path, evaluation: Evaluation, what: str, i: int) -> str:
    image = evaluation.images[i]
    path = _picture_path(out_dir, i, image.item)
    if not path.is_file():
        return ""
    with Image.open(path) as picture:
        jpeg = io.BytesIO()
        picture.thumbnail((_PICTURE_SIDE_PX, _PICTURE_SIDE_PX))
        picture.save(jpeg, format="JPEG", quality=85, subsampling=0)
    s = image.scores
    return (
        f'<figure><img alt="{escape(image.item.name)}" src="data:image/jpeg;base64,'
        f'{base64.b64encode(jpeg.getvalue()).decode()}"><figcaption>{what}: '
        f"{escape(image.item.name)}, Dice {s.dice:.3f}, AJI {s.aji:.3f}, PQ {s.pq:.3f}; "
        f"{s.n_true} reference nuclei, {s.n_predicted} found</figcaption></figure>"
    )


def _extent(evaluation: Evaluation) -> str:
    return (
        f"{len(evaluation.images)} images of {len(evaluation.by_group())} groups, "
        f"{evaluation.n_true} reference nuclei, {evaluation.n_predicted} found."
    )


def _caution(interval: Interval) -> str:
    if interval.n_groups == 1:
        return "<p>All images are of one group, so there is no interval.</p>"
    if interval.n_groups < 6:
        return f"<p>Drawn from {interval.n_groups} groups only, the intervals are rough.</p>"
    return ""


def _grouped_table(grouped: Mapping[str, Sequence[ImageScores]]) -> str:
    return _table(
        ["name", "images", *_HEADINGS.values()],
        [
            [name, str(len(images)), *(f"{v:.3f}" for v in mean_scores(images).values())]
            for name, images in grouped.items()
        ],
    )


def _numbers(scores: object) -> list[str]:
    return [f"{getattr(scores, name):.3f}" for name in SCORE_NAMES]


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = "".join(f"<th>{escape(text)}</th>" for text in heads)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(text)}</td>" for text in row) + "</tr>" for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _html(title: str, body: str) -> str:
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}'
        f"</title><style>{_STYLE}</style></head><body>{body}</body></html>\n"
    )


def _write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())
