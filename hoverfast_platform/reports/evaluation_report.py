"""An evaluation as files: CSV tables, JSON, and one HTML page that can be mailed.

``images.csv`` has a row per image, ``groups.csv`` one per slide and per patient,
``evaluation.json`` everything, ``report.html`` the tables and some pictures, ``agreement/``
the picture of every image.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup
from PIL import Image

from hoverfast_platform.arrays import InstanceMap
from hoverfast_platform.evaluation.agreement import draw_agreement
from hoverfast_platform.evaluation.bootstrap import CONFIDENCE
from hoverfast_platform.evaluation.labelled_set import LabelledImage, LabelledItem
from hoverfast_platform.evaluation.results import Evaluation, ImageScores, mean_scores
from hoverfast_platform.files import write_text, written_atomically
from hoverfast_platform.reports.page import (
    Block,
    Heading,
    Links,
    Paragraph,
    Picture,
    Table,
    write_page,
)
from hoverfast_platform.scores import SCORE_NAMES, Interval, MeanScores
from hoverfast_platform.texts import cell

_HEADINGS = {
    "dice": "Dice",
    "aji": "AJI",
    "dq": "DQ",
    "sq": "SQ",
    "pq": "PQ",
    "f1": "detection F1",
    "precision": "precision",
    "recall": "recall",
}
_PICTURE_SIDE_PX = 700
_FORM = 1
"""Version of the form of ``evaluation.json``: raised where a reader would misread a new one."""


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
    return write_page(out_dir / "report.html", _title(evaluation), _blocks(out_dir, evaluation))


def write_comparison(
    out_dir: Path, reports: Mapping[str, Evaluation], differences: Mapping[str, MeanScores]
) -> Path:
    """Write a page with several evaluations of one set side by side, and their paired differences.

    Args:
        out_dir: Holds one report folder per evaluation.
        reports: Evaluations by name of their folder.
        differences: Difference of each score from the first folder's, by name of the other folders.

    Returns:
        The page.
    """
    first_name, first = next(iter(reports.items()))
    means = {name: evaluation.overall() for name, evaluation in reports.items()}
    _write_csv(
        out_dir / "comparison.csv",
        [
            {"model": name, "statistic": statistic, "score": score, **dataclasses.asdict(value)}
            for statistic, found in (
                ("mean", means),
                (f"difference from {first_name}", differences),
            )
            for name, scores in found.items()
            for score, value in scores.named()
        ],
    )
    blocks: list[Block] = [
        Paragraph(f"{_extent(first)} Reference: {first.reference}."),
        _scores_table(means),
        Heading(f"Difference from {first_name}, image by image"),
        _scores_table(differences),
        Links([(f"{name}/report.html", name) for name in reports]),
    ]
    title = f"{len(reports)} models on {first.dataset}"
    return write_page(out_dir / "comparison.html", title, blocks)


def _scores_table(found: Mapping[str, MeanScores]) -> Table:
    rows = [[name, *(str(v) for _, v in scores.named())] for name, scores in found.items()]
    return Table(["model", *_HEADINGS.values()], rows)


def _picture_path(out_dir: Path, number: int, item: LabelledItem) -> Path:
    safe = re.sub(r"[^A-Za-z0-9._-]+", "-", item.name).strip("-.")[:80]
    return out_dir / "agreement" / f"{number:04d}-{safe}.jpg"


def _remove_other_pictures(out_dir: Path, evaluation: Evaluation) -> None:
    """Remove pictures of an earlier evaluation that this one has no images for."""
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
        "schema_version": _FORM,
        "model": evaluation.model.model_dump(mode="json"),
        "dataset": {
            "name": evaluation.dataset,
            "digest": evaluation.dataset_digest,
            "provenance": evaluation.dataset_provenance,
        },
        "settings": evaluation.settings,
        "settings_digest": evaluation.settings_digest,
        "confidence": CONFIDENCE,
        "summary": evaluation.summary().model_dump(mode="json"),
        "groups": _group_rows(evaluation),
        "images": _image_rows(evaluation),
    }


def _title(evaluation: Evaluation) -> str:
    return f"{evaluation.model.name} {evaluation.model.version} on {evaluation.dataset}"


def _blocks(out_dir: Path, evaluation: Evaluation) -> Iterable[Block]:
    overall = evaluation.overall()
    yield Paragraph(_extent(evaluation))
    yield Table(
        ["score", "mean over images", f"{CONFIDENCE:.0%} interval"],
        [[_HEADINGS[name], f"{v.mean:.4f}", v.interval_text] for name, v in overall.named()],
    )
    yield from _caution(overall.dice)
    yield Heading("Where they agree")
    yield Paragraph(
        Markup(
            "Borders and tint: <b class=agree>white</b> both, <b class=student>green</b> only {}, "
            "<b class=reference>magenta</b> only {}. All images are in <code>agreement/</code>."
        ).format(evaluation.model.name, evaluation.reference)
    )
    for what, i in _chosen(evaluation.images):
        yield from _picture(out_dir, evaluation, what, i)
    yield Heading("Per patient or group")
    yield _grouped_table(evaluation.by_group())
    by_source = evaluation.by_source()
    if len(by_source) < len(evaluation.images):
        yield Heading("Per slide")
        yield _grouped_table(by_source)
    yield Heading("Per image")
    yield Table(
        ["image", "group", *_HEADINGS.values(), "reference nuclei", "found"],
        [
            [
                image.item.name,
                image.item.group,
                *(f"{getattr(image.scores, name):.3f}" for name in SCORE_NAMES),
                str(image.scores.n_true),
                str(image.scores.n_predicted),
            ]
            for image in evaluation.images
        ],
    )
    yield Heading("Made from")
    yield Table(["", ""], _facts(evaluation))


def _facts(evaluation: Evaluation) -> list[tuple[str, str]]:
    model = evaluation.model
    return [
        ("model", f"{model.name} {model.version}, SHA-256 {model.sha256}"),
        ("labelled set", f"{evaluation.dataset}, digest {evaluation.dataset_digest}"),
        ("reference", evaluation.reference),
        ("mpp", ", ".join(str(m) for m in sorted({i.item.mpp for i in evaluation.images}))),
        ("ran on", str(model.arithmetic)),
        ("settings", f"digest {evaluation.settings_digest}"),
        ("code", evaluation.code_version),
    ]


def _chosen(images: Sequence[ImageScores]) -> list[tuple[str, int]]:
    """The worst three images, the median and the best two by PQ, none of them twice."""
    order = sorted(range(len(images)), key=lambda i: (images[i].scores.pq, images[i].scores.aji))
    named: dict[int, str] = {}
    for what, some in (
        ("worst", order[:3]), ("median", order[len(order) // 2 :][:1]), ("best", order[:-3:-1])
    ):  # fmt: skip
        for i in some:
            named.setdefault(i, what)
    return [(what, i) for i, what in named.items()]


def _picture(out_dir: Path, evaluation: Evaluation, what: str, i: int) -> Iterable[Picture]:
    """The picture of an image, if it was drawn."""
    image = evaluation.images[i]
    path = _picture_path(out_dir, i, image.item)
    if not path.is_file():
        return
    with Image.open(path) as picture:
        jpeg = io.BytesIO()
        picture.thumbnail((_PICTURE_SIDE_PX, _PICTURE_SIDE_PX))
        picture.save(jpeg, format="JPEG", quality=85, subsampling=0)
    s = image.scores
    yield Picture(
        jpeg.getvalue(),
        f"{what}: {image.item.name}, Dice {s.dice:.3f}, AJI {s.aji:.3f}, PQ {s.pq:.3f}; "
        f"{s.n_true} reference nuclei, {s.n_predicted} found",
        alt=image.item.name,
        is_wide=True,
    )


def _extent(evaluation: Evaluation) -> str:
    return (
        f"{len(evaluation.images)} images of {len(evaluation.by_group())} groups, "
        f"{evaluation.n_true} reference nuclei, {evaluation.n_predicted} found."
    )


def _caution(interval: Interval) -> Iterable[Paragraph]:
    if interval.n_groups == 1:
        yield Paragraph("All images are of one group, so there is no interval.")
    elif interval.n_groups < 6:
        yield Paragraph(f"Drawn from {interval.n_groups} groups only, the intervals are rough.")


def _grouped_table(grouped: Mapping[str, Sequence[ImageScores]]) -> Table:
    return Table(
        ["name", "images", *_HEADINGS.values()],
        [
            [name, str(len(images)), *(f"{v:.3f}" for v in mean_scores(images).values())]
            for name, images in grouped.items()
        ],
    )


def _write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        shown = {name: cell(v) if isinstance(v, str) else v for name, v in row.items()}
        writer.writerow(shown)
    write_text(path, text.getvalue())
