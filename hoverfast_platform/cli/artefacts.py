"""``hoverfast artefacts``: what machines share in an object store, for people."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hoverfast_platform.cli.json_text import json_option, json_text
from hoverfast_platform.cli.say import say
from hoverfast_platform.cli.shared_option import HELP, VARIABLE

if TYPE_CHECKING:
    from hoverfast_platform.storage.shared_artefacts import SharedArtefacts
    from hoverfast_platform.storage.shared_manifest import Manifest

_shared = click.option("--shared", required=True, envvar=VARIABLE, show_envvar=True, help=HELP)
_folder = click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
_MIB = 2**20


@click.group("artefacts")
def command() -> None:
    """Masks, nuclei, students and labels in an object store that machines share.

    Where a deployment has such a store (docs/shared-store.md), Dagster publishes and fetches by
    itself. These commands are for people: to look at results elsewhere, to give the deployment
    plans, label sets and corrections, and to tidy up.
    """


@command.command("list")
@click.argument("below", default="", required=False)
@_shared
@json_option
def list_(below: str, shared: str, as_json: bool) -> None:
    """List what is published, or what is BELOW a name such as `nuclei`."""
    found = _open(Path(), shared).manifests(below)
    if as_json:
        say(json_text(found))
        return
    for manifest in found:
        say(_line(manifest))
    n_mib = sum(manifest.n_bytes for manifest in found) / _MIB
    say(f"{len(found)} artefacts, {n_mib:,.1f} MiB", err=True)


@command.command("fetch")
@_folder
@click.argument("names", nargs=-1)
@_shared
def fetch(folder: Path, names: tuple[str, ...], shared: str) -> None:
    """Bring NAMES, or all of the store, into FOLDER, where `hoverfast view` and others see them.

    A name is as `list` prints it, or the first part of it: `nuclei`, `nuclei/slide-1`. What is
    there already and equal is not fetched again. Plans, label sets and corrections that were
    changed in FOLDER since they came stay as they are.
    """
    artefacts = _open(folder, shared)
    for manifest in _chosen(artefacts, names):
        artefacts.fetch(manifest.name)
        say(_line(manifest))


@command.command("publish")
@_folder
@click.argument("names", nargs=-1, required=True)
@_shared
def publish(folder: Path, names: tuple[str, ...], shared: str) -> None:
    """Publish NAMES of FOLDER, such as `label_sets`, `cohorts/liver.json` or `nuclei`.

    Every machine of the deployment sees them from then on. What is there already is not sent
    again; of two who publish the same, the later counts. Publish only what is finished.
    """
    artefacts = _open(folder, shared)
    for path in artefacts.published_by(names):
        say(_line(artefacts.publish(path)))


@command.command("publish-model")
@click.argument("weights", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@_shared
def publish_model(weights: Path, shared: str) -> None:
    """Publish the model in WEIGHTS with its card and int8 form.

    Every machine finds it by its digest then. Students that Dagster trains are published by
    themselves; a model from elsewhere is published once, before it is promoted.
    """
    from hoverfast_platform.model.registry import weights_digest

    say(_line(_open(weights.parent, shared).publish_model(weights, weights_digest(weights))))


@command.command("remove")
@click.argument("names", nargs=-1, required=True)
@_shared
def remove(names: tuple[str, ...], shared: str) -> None:
    """Remove NAMES from the store, as `list` prints them; folders of machines stay as they are.

    Also for one that is damaged: then it can be made, or published, again.
    """
    n_removed = _open(Path(), shared).remove(*names)
    say(f"{n_removed} of {len(names)} removed.")
    if n_removed < len(names):
        raise SystemExit(1)


@command.command("sweep")
@click.option(
    "--older-than-days",
    type=click.FloatRange(min=1),
    default=7.0,
    help="Younger ones stay, since an upload may be under way.",
)
@_shared
def sweep(older_than_days: float, shared: str) -> None:
    """Remove what killed uploads left, and files of what was published anew since.

    Nothing that can be seen is removed.
    """
    age = datetime.timedelta(days=older_than_days)
    swept = _open(Path(), shared).sweep(age)
    say(f"{swept.n_parts} parts removed, {swept.n_bytes / _MIB:,.1f} MiB.")


def _open(folder: Path, shared: str) -> SharedArtefacts:
    from hoverfast_platform.storage.object_store import ObjectStore
    from hoverfast_platform.storage.shared_artefacts import SharedArtefacts

    return SharedArtefacts(folder, ObjectStore(shared))


def _chosen(artefacts: SharedArtefacts, names: tuple[str, ...]) -> tuple[Manifest, ...]:
    """The artefacts of these names, or of all.

    Raises StorageError for a name that the store lacks.
    """
    from hoverfast_platform.errors import StorageError

    if not names:
        return artefacts.manifests()
    found: dict[str, Manifest] = {}
    for name in names:
        own = artefacts.manifest(name)
        several = (own,) if own is not None else artefacts.manifests(name.rstrip("/"))
        if not several:
            raise StorageError(
                f"{artefacts.store.url} has nothing called {name}.",
                "`hoverfast artefacts list` prints what it has.",
            )
        found |= {manifest.name: manifest for manifest in several}
    return tuple(found.values())


def _line(manifest: Manifest) -> str:
    return (
        f"{manifest.name}  {len(manifest.files)} files, {manifest.n_bytes / _MIB:,.2f} MiB, "
        f"{manifest.published_at}, {manifest.machine}"
    )
