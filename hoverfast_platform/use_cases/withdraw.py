"""A slide, a patient or labels that must not be used any more, and everything made of them."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hoverfast_platform.catalogue import Catalogue
from hoverfast_platform.catalogue.descent_records import Reached
from hoverfast_platform.catalogue.withdrawals import WithdrawnKind
from hoverfast_platform.errors import SettingsError
from hoverfast_platform.files import reporting_storage
from hoverfast_platform.storage.publish import LABELS, SUMMARY, TABLE
from hoverfast_platform.storage.shared_artefacts import SharedArtefacts


@dataclass(frozen=True)
class WithdrawalPlan:
    """What a withdrawal does.

    Attributes:
        kind: ``slide``, ``labels`` or ``patient``.
        subject: Name of the slide, label set or patient.
        reached: The subject itself and all that was made of it.
        to_remove: Files and folders that are there and must go.
        slides_to_make_again: Keys of other slides whose nuclei a reached model found.
        shared_to_remove: Artefacts that are in the shared store and must go; each as a whole.
    """

    kind: WithdrawnKind
    subject: str
    reached: tuple[Reached, ...]
    to_remove: tuple[Path, ...]
    slides_to_make_again: tuple[str, ...]
    shared_to_remove: tuple[str, ...] = ()


def plan_withdrawal(
    catalogue: Catalogue,
    kind: WithdrawnKind,
    subject: str,
    shared: SharedArtefacts | None = None,
) -> WithdrawalPlan:
    """What withdrawing something would do; changes nothing.

    Args:
        catalogue: Knows what was made of what.
        kind: What is withdrawn.
        subject: A slide's key, name, path or digest; a label set's name; a patient.
        shared: The store that machines publish to; None: there is none.

    Raises:
        CatalogueError: If nothing is called that.
    """
    reached = catalogue.withdrawals.reach(kind, subject)
    models = {item.model_sha256 for item in reached if item.model_sha256}
    own = {item.what for item in reached if item.kind == "slide"}
    again = [
        result.slide.key
        for result in catalogue.results.current()
        if result.model_sha256 in models and result.slide.key not in own
    ]
    in_store = _published(reached, shared) if shared is not None else ()
    return WithdrawalPlan(kind, subject, reached, _files(reached), tuple(again), in_store)


def withdraw(
    catalogue: Catalogue,
    plan: WithdrawalPlan,
    *,
    reason: str,
    shared: SharedArtefacts | None = None,
) -> None:
    """Carry a plan out: remove the files, mark what it reaches, keep that it happened.

    Cohorts leave out its slides from now on, so that they get new versions, which are learned from.
    Models that learned from what is withdrawn are not removed, but no gate lets them pass any more.

    Args:
        catalogue: Where it is recorded.
        plan: What to do.
        reason: Why, in words: who asked for it, and when.
        shared: The store that it was planned with.

    Raises:
        SettingsError: If no reason is given.
        StorageError: If a file cannot be removed; nothing is recorded then, and trying again
            goes on.
    """
    if not reason.strip():
        raise SettingsError("A withdrawal needs a reason: who asked for it, and when?")
    if shared is not None:  # first, since a machine that lacks a file fetches it from there
        shared.remove(*plan.shared_to_remove)
    for path in plan.to_remove:
        with reporting_storage(path):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    catalogue.withdrawals.record(
        plan.kind,
        plan.subject,
        plan.reached,
        reason=reason,
        removed=[item.path for item in plan.reached if item.path is not None],
    )


def _published(reached: Sequence[Reached], shared: SharedArtefacts) -> tuple[str, ...]:
    """The artefacts of the store that hold a reached file, in whichever machine's folder it lay."""
    paths = [f"{Path(item.path).as_posix()}/" for item in reached if item.path is not None]
    return tuple(
        manifest.name
        for manifest in shared.manifests()
        if any(f"/{manifest.name}/" in path for path in paths)
    )


def _files(reached: Sequence[Reached]) -> tuple[Path, ...]:
    """The reached files that exist, with those that lie beside a result."""
    found: dict[Path, None] = {}
    for item in reached:
        if item.path is None:
            continue
        paths = [Path(item.path)]
        if item.kind == "report":  # its folder may be anybody's: only what shows tissue goes
            paths = [paths[0] / name for name in ("agreement", "report.html")]
        if item.kind == "result" and item.path.endswith(TABLE):
            stem = item.path.removesuffix(TABLE)
            paths += [Path(f"{stem}{ending}") for ending in (SUMMARY, LABELS)]
        found.update(dict.fromkeys(path for path in paths if path.exists()))
    return tuple(found)
