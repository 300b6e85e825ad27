"""``hoverfast models``: the models there are, which is in use, and changing that."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hoverfast_platform.cli.builtin_models import list_builtin
from hoverfast_platform.cli.catalogue_option import VARIABLE, CatalogueType
from hoverfast_platform.cli.json_text import fields_of, json_option, json_text
from hoverfast_platform.cli.model_show import show
from hoverfast_platform.cli.say import say
from hoverfast_platform.files import read_settings_file

if TYPE_CHECKING:
    from hoverfast_platform.catalogue import Catalogue, ModelStanding
    from hoverfast_platform.verdict import PromotionPolicy

_ask_catalogue = click.option(
    "--catalogue",
    envvar=VARIABLE,
    type=CatalogueType(),
    help="Catalogue of registered models: a catalogue.sqlite, or postgresql://...",
)
_need_catalogue = click.option(
    "--catalogue",
    required=True,
    envvar=VARIABLE,
    type=CatalogueType(),
    help="Catalogue of registered models: a catalogue.sqlite, or postgresql://...",
)
_record_in = click.option(
    "--catalogue",
    envvar=VARIABLE,
    type=CatalogueType(),
    help="Catalogue that gets the new model as a candidate: a catalogue.sqlite, or "
    "postgresql://... Without it nothing is recorded.",
)
_scope = click.option(
    "--scope",
    default="default",
    show_default=True,
    help="What the model is promoted for: a site, an organ.",
)


@click.group("models", invoke_without_command=True)
@json_option
@click.option(
    "--bench",
    "benches",
    multiple=True,
    type=click.Path(exists=True, path_type=Path),
    help="Record of `hoverfast bench` (bench.json or its folder): shows what a model takes there, "
    "in processor seconds per mm2; may be given several times.",
)
@click.pass_context
def command(context: click.Context, as_json: bool, benches: tuple[Path, ...]) -> None:
    """List models, show where they come from, promote and retire them.

    Alone it lists the models that ship with the platform.
    """
    if context.invoked_subcommand is None:
        list_builtin(as_json=as_json, benches=benches)


command.add_command(show)


@command.command("list")
@_ask_catalogue
@json_option
def list_models(catalogue: Path | str | None, as_json: bool) -> None:
    """List the models that ship with the platform, or those of a catalogue."""
    if catalogue is None:
        list_builtin(as_json=as_json)
        return
    from hoverfast_platform.catalogue import Catalogue

    with Catalogue.open(catalogue) as opened:
        standings = opened.models.standings()
        measured = {one.sha256: opened.models.evaluations(one.sha256) for one in standings}
        others = opened.models.without_stage()
    if as_json:
        listed = [{**fields_of(one), "evaluations": measured[one.sha256]} for one in standings]
        say(json_text([*listed, *({**fields_of(one), "stage": None} for one in others)]))
        return
    for standing in standings:
        scores = measured[standing.sha256]
        pq = f"PQ {scores[0].summary.scores.pq.mean:.3f}" if scores else ""
        say(
            f"{standing.stage:9}  {standing.scope}  {standing.name}@{standing.version}  "
            f"{standing.sha256[:10]}  since {_when(standing)}  {pq}".rstrip()
        )
    for model in others:
        title = f"{model.name}@{model.version}" if model.name else "known by its digest only"
        say(f"{'-':9}  -  {title}  {model.sha256[:10]}")
    if not standings and not others:
        say("No models; `hoverfast evaluate --catalogue` registers what it measures.")


@command.command("promote")
@click.argument("model")
@_need_catalogue
@_scope
@click.option("--reason", default="", help="Why, for the history.")
@click.option(
    "--policy",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="JSON file of the gate's settings: tolerance, floors, allowed licences, validation set.",
)
@click.option("--dry-run", is_flag=True, help="Judge only.")
@click.option(
    "--roll-back", is_flag=True, help="Bring back a model that was promoted before, unjudged."
)
def promote(  # noqa: PLR0913 - one per option
    model: str,
    catalogue: Path | str,
    scope: str,
    reason: str,
    policy: Path | None,
    dry_run: bool,
    roll_back: bool,
) -> None:
    """Promote MODEL if the gate lets it pass; the model in place is retired.

    It must have been measured on the same labelled set as the model in place
    (`hoverfast evaluate --catalogue`), be no worse, above the floors, and have learned from
    labels of an allowed licence. Refused: exit code 1 and the reasons.
    """
    from hoverfast_platform.catalogue import Catalogue
    from hoverfast_platform.use_cases import model_stages

    if roll_back and not reason:
        raise click.UsageError("--roll-back needs a --reason: what is wrong with the model?")
    with Catalogue.open(catalogue) as opened:
        if roll_back:
            replaced = model_stages.roll_back(
                opened, model, reason=reason, scope=scope, dry_run=dry_run
            )
            say(
                f"Would replace {replaced.name if replaced else 'none'} by {model}."
                if dry_run
                else f"Promoted {model} in scope {scope} again."
            )
            return
        judgement = model_stages.promote_model(
            opened,
            model,
            scope=scope,
            policy=_policy(policy),
            reason=reason or "passed the gate",
            dry_run=dry_run,
        )
    say("The gate " + ("lets it pass:" if judgement.verdict.passed else "refuses it:"))
    for text in judgement.verdict.reasons:
        say(f"  {text}")
    if not judgement.verdict.passed:
        raise click.exceptions.Exit(1)
    if not dry_run:
        say(f"Promoted {model} in scope {scope}.")


@command.command("average")
@click.argument("members", nargs=-1, required=True, metavar="MODEL...")
@click.option(
    "-o",
    "--out",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="File of the new model, .safetensors; its name is the model's.",
)
@_record_in
@_scope
def average(members: tuple[str, ...], out: Path, catalogue: Path | str | None, scope: str) -> None:
    """Average the weights of MODELs that have a parent in common, into one model.

    Measure it like any other: the mean is often better on other slides, not always.
    """
    from hoverfast_platform.use_cases.model_making import average_models

    with _opened(catalogue) as opened:
        card = average_models(members, out, catalogue=opened, scope=scope)
    say(f"{card.name} {card.version}\n  {out}")


@command.command("adapt")
@click.argument("model")
@click.argument("dataset", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "-o",
    "--out",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="File of the new model, .safetensors; its name is the model's.",
)
@_record_in
@_scope
@click.option(
    "--patches",
    type=int,
    default=64,
    show_default=True,
    help="Most patches of the set that are looked at.",
)
def adapt(
    model: str,
    dataset: Path,
    out: Path,
    patches: int,
    catalogue: Path | str | None,
    scope: str,
) -> None:
    """Adapt MODEL to the stain of DATASET's images (.pytable), without labels or training.

    Only the statistics by which the network normalises what it sees are taken anew. On images
    of that lab it is often better, on others worse: average it with MODEL for a compromise.
    """
    from hoverfast_platform.use_cases.model_making import adapt_model

    with _opened(catalogue) as opened:
        card = adapt_model(model, dataset, out, n_patches=patches, catalogue=opened, scope=scope)
    say(f"{card.name} {card.version}\n  {out}")


@command.command("quantise")
@click.argument("model")
@click.option(
    "--calibrate-on",
    required=True,
    type=click.Path(path_type=Path, exists=True),
    help="Training set (.pytable) or folder of labelled images like those to be segmented.",
)
@click.option(
    "--check-on",
    required=True,
    type=click.Path(path_type=Path, exists=True),
    help=(
        "The same of other patients: on it the nuclei of int8 are compared with those of the "
        "weights."
    ),
)
@click.option("--mpp", type=float, help="Micrometres per pixel of images that do not say.")
def quantise_model(model: str, calibrate_on: Path, check_on: Path, mpp: float | None) -> None:
    """Put an int8 form beside MODEL, for CPUs; only if it agrees with the weights.

    From then on it is used wherever the precision is left to the platform and the processor adds
    as one does on which it agreed: with VNNI, or with AVX2 alone, which cuts off large sums.
    """
    from hoverfast_platform.cli.show import progress_bar
    from hoverfast_platform.evaluation.labelled_set import open_labelled_set
    from hoverfast_platform.progress import Progress
    from hoverfast_platform.use_cases.model_making import quantise_model

    calibrate, check = (open_labelled_set(path, mpp=mpp) for path in (calibrate_on, check_on))
    n_seen = 0
    with progress_bar("checking", "image", total=2 * len(check)) as show:

        def count(_progress: Progress) -> None:
            nonlocal n_seen
            n_seen += 1
            show(Progress("checking", n_seen, 2 * len(check), "images"))

        made = quantise_model(model, calibrate, check, on_progress=count)
    for arithmetic, agreement in made.checks.items():
        failures = agreement.failures()
        say(
            f"int8 with {arithmetic.upper()} against fp32 on {agreement.n_images} images, "
            f"{agreement.n_nuclei} nuclei: Dice {agreement.dice_between:.4f}"
            f"{'; not used there: ' + '; '.join(failures) if failures else ''}\n"
            f"against the labels   fp32     int8\n"
            f"  Dice               {agreement.dice_fp32:.4f}   {agreement.dice_int8:.4f}\n"
            f"  AJI                {agreement.aji_fp32:.4f}   {agreement.aji_int8:.4f}\n"
            f"  PQ                 {agreement.pq_fp32:.4f}   {agreement.pq_int8:.4f}"
        )


@command.command("export")
@click.argument("model")
@click.option(
    "-o",
    "--out",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="File to write, .onnx.",
)
def export(model: str, out: Path) -> None:
    """Write MODEL as an ONNX file, which other programs run without this platform.

    The file's metadata says how images are prepared and how nuclei are made of the maps.
    """
    from hoverfast_platform.use_cases.model_making import export_model

    say(export_model(model, out))


@command.command("register")
@click.argument("model")
@_need_catalogue
@_scope
@click.option("--reason", default="registered", show_default=True, help="Why, for the history.")
def register(model: str, catalogue: Path | str, scope: str, reason: str) -> None:
    """Register MODEL, a built-in name or a file, as a candidate; nothing is measured."""
    from hoverfast_platform.catalogue import Catalogue
    from hoverfast_platform.use_cases.model_stages import register_model

    with Catalogue.open(catalogue) as opened:
        sha256 = register_model(opened, model, scope=scope, reason=reason)
    say(f"Registered {model} ({sha256[:10]}) in scope {scope}.")


@command.command("retire")
@click.argument("model")
@_need_catalogue
@_scope
@click.option("--reason", required=True, help="Why, for the history.")
def retire(model: str, catalogue: Path | str, scope: str, reason: str) -> None:
    """Take MODEL out of use; if it was promoted, its scope is left without a model."""
    from hoverfast_platform.catalogue import Catalogue
    from hoverfast_platform.use_cases.model_stages import retire_model

    with Catalogue.open(catalogue) as opened:
        retire_model(opened, model, reason=reason, scope=scope)
    say(f"Retired {model} in scope {scope}.")


@contextmanager
def _opened(catalogue: Path | str | None) -> Iterator[Catalogue | None]:
    """Open the catalogue if there is one to record in."""
    if catalogue is None:
        yield None
        return
    from hoverfast_platform.catalogue import Catalogue

    with Catalogue.open(catalogue) as opened:
        yield opened


def _policy(path: Path | None) -> PromotionPolicy:
    from hoverfast_platform.verdict import PromotionPolicy

    if path is None:
        return PromotionPolicy()
    fields = f"Fields: {', '.join(PromotionPolicy.model_fields)}."
    return read_settings_file(path, PromotionPolicy, what="a promotion policy", remedy=fields)


def _when(standing: ModelStanding) -> str:
    return f"{standing.since:%Y-%m-%d %H:%M} UTC"
