"""``hoverfast models show``: one model, as lines for people or as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from hoverfast_platform.cli.catalogue_option import VARIABLE, CatalogueType
from hoverfast_platform.cli.json_text import json_option, json_text
from hoverfast_platform.cli.say import say

_SHORT = 10
_N_USES = 5


@click.command("show")
@click.argument("model")
@click.option(
    "--catalogue",
    envvar=VARIABLE,
    type=CatalogueType(),
    help="Catalogue of registered models: a catalogue.sqlite, or postgresql://...",
)
@json_option
def show(model: str, catalogue: Path | str | None, as_json: bool) -> None:
    """Show the card of MODEL; from a catalogue also history, measurements and use.

    MODEL is a built-in name or a file; in a catalogue also name@version or the start of a
    digest. --json prints everything that is known.
    """
    known = {"card": _card_of(model)} if catalogue is None else _registered(catalogue, model)
    if as_json:
        say(json_text(known["card"] if catalogue is None else known))
        return
    for name, text in _lines(known):
        if text:
            say(f"{name:14} {text}")


def _card_of(model: str) -> dict[str, Any]:
    from hoverfast_platform.model.registry import find_model, read_card

    card = read_card(find_model(model).with_suffix(".json"))
    shown: dict[str, Any] = card.model_dump(mode="json")
    return shown


def _registered(catalogue: Path | str, model: str) -> dict[str, Any]:
    """All that a catalogue knows of a model."""
    from hoverfast_platform.catalogue import Catalogue
    from hoverfast_platform.use_cases.model_stages import find_registered

    with Catalogue.open(catalogue) as opened:
        sha256 = find_registered(opened, model)
        record, uses = opened.models.get(sha256), opened.models.uses(sha256)
        labels, ancestors = opened.descent.labels(sha256), opened.descent.ancestors(sha256)
        history, measured = opened.models.history(sha256), opened.models.evaluations(sha256)
    return {
        "sha256": sha256,
        "path": record.path,
        "card": record.card,
        "labels": [asdict(label) for label in labels],
        "descends_from": [asdict(ancestor) for ancestor in ancestors],
        "history": [
            {
                "stage": entry.stage,
                "scope": entry.scope,
                "since": entry.since.isoformat(),
                "until": entry.until.isoformat() if entry.until else None,
                "reason": entry.reason,
                "verdict": entry.verdict.model_dump(mode="json") if entry.verdict else None,
            }
            for entry in history
        ],
        "evaluations": [
            {
                "dataset": evaluation.dataset,
                "dataset_digest": evaluation.dataset_digest,
                "report": evaluation.report_path,
                **evaluation.summary.model_dump(mode="json"),
            }
            for evaluation in measured
        ],
        "segmentations": [
            {
                "slide": use.slide_name,
                "segmentation_id": use.segmentation_id,
                "finished_at": use.finished_at.isoformat(),
            }
            for use in uses
        ],
    }


def _lines(known: dict[str, Any]) -> Iterator[tuple[str, str]]:
    card, uses = known["card"], known.get("segmentations", [])
    yield (
        "model",
        " ".join(
            part
            for part in (card.get("name"), card.get("version"), known.get("sha256", "")[:_SHORT])
            if part
        ),
    )
    yield "file", known.get("path") or ""
    yield "what", card.get("description", "")
    yield "choose it", card.get("choose_when", "")
    yield "images", f"{card.get('stain', '')}, {card.get('mpp', 0):g} um/px" if card else ""
    yield "licence", card.get("licence", "")
    for label in known.get("labels", [*card.get("labels", ()), *(card.get("inherited") or ())]):
        yield "learned from", f"{label['name']} ({label['licence']})"
    yield "taught by", card.get("teacher", "")
    yield "cohort", card.get("cohort", "")
    for one in known.get("descends_from", ()):
        title = f"{one['name']} {one['version']}" if one["name"] else one["sha256"][:_SHORT]
        yield "descends from", f"{title} ({one['how']})"
    for one in card.get("metrics", ()):
        yield "card says", _scores(one["dataset"], one["n_images"], one["n_nuclei"], one)
    for one in known.get("evaluations", ()):
        means = {name: interval["mean"] for name, interval in one["scores"].items()}
        yield "measured", _scores(one["dataset"], one["n_images"], one["n_true"], means)
    for one in known.get("history", ()):
        until = f" to {one['until'][:10]}" if one["until"] else ""
        reason = f": {one['reason']}" if one["reason"] else ""
        yield one["stage"], f"in {one['scope']} since {one['since'][:10]}{until}{reason}"
    for use in uses[:_N_USES]:
        yield "segmented", f"{use['slide']}, {use['finished_at'][:10]}"
    if len(uses) > _N_USES:
        yield "segmented", f"and {len(uses) - _N_USES:,} more; --json lists them"
    yield "intended use", card.get("intended_use", "")


def _scores(dataset: str, n_images: int, n_nuclei: int, means: dict[str, Any]) -> str:
    scores = ", ".join(f"{name.upper()} {means[name]:.3f}" for name in ("dice", "aji", "pq"))
    return f"{dataset}: {scores} ({n_images:,} images, {n_nuclei:,} nuclei)"
