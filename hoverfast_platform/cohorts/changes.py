"""Which cohorts changed since they were last learned from, and whether a change stands still.

Slides come one by one and labels folder by folder, so the platform acts on a change only when
nothing more has come for a while. The caller keeps what was seen from one look to the next.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hoverfast_platform.catalogue import Catalogue, KnownSlide
from hoverfast_platform.cohorts.cohort import LearningFolder, find_cohort
from hoverfast_platform.errors import CatalogueError, HoverFastError, SettingsError
from hoverfast_platform.evaluation.promotion import Judgement
from hoverfast_platform.files import Sha256, read_settings_file, text_sha256

LONGEST_WAIT = 6
"""The longest wait, in quiet times: a cohort that grows all the time is learned from, too."""


@dataclass(frozen=True)
class SeenCohort:
    """A cohort as it was at the last look.

    Attributes:
        signature: A text that changes with the plan, the registered slides and the label files;
            quick to make.
        digest: Digest of the cohort as it would be resolved; empty if it cannot be resolved.
        problem: Why it cannot be resolved.
        first_s: When it first differed from the version learned from, seconds since 1970.
        changed_s: When it last changed.
    """

    signature: str
    digest: str
    problem: str
    first_s: float
    changed_s: float


@dataclass(frozen=True)
class CohortChange:
    """A cohort that is not what was last learned from.

    Attributes:
        name: Name of the cohort.
        version: The version that it will get.
        digest: Digest of the cohort as it is now.
        wait_s: How much longer it should stay unchanged; with 0 or less it is due.
    """

    name: str
    version: int
    digest: str
    wait_s: float


@dataclass(frozen=True)
class CohortLook:
    """What a look found.

    Attributes:
        seen: What was seen, to be given to the next look.
        changes: Cohorts that changed.
        problems: Why plans cannot be followed, by cohort.
    """

    seen: Mapping[str, SeenCohort]
    changes: tuple[CohortChange, ...]
    problems: Mapping[str, str]


def look_at_cohorts(
    folder: LearningFolder,
    catalogue: Catalogue,
    seen: Mapping[str, SeenCohort],
    *,
    now_s: float,
    quiet_s: float,
) -> CohortLook:
    """Compare every plan with the newest version of its cohort.

    Args:
        folder: Where plans and labels are.
        catalogue: Knows the registered slides and the cohorts' versions.
        seen: What the look before returned; empty at the first look.
        now_s: The present moment, seconds since 1970.
        quiet_s: How long a cohort must stay as it is to be learned from.
    """
    slides = catalogue.slides.all()
    now_seen: dict[str, SeenCohort] = {}
    changes: list[CohortChange] = []
    for name in folder.plan_names():
        version, learned_digest = _newest(catalogue, name)
        current = _see(folder, slides, name, seen.get(name), now_s)
        if not current.problem and current.digest == learned_digest:
            current = SeenCohort(current.signature, current.digest, "", now_s, current.changed_s)
        now_seen[name] = current
        if current.digest and current.digest != learned_digest:
            due_s = min(current.changed_s + quiet_s, current.first_s + LONGEST_WAIT * quiet_s)
            changes.append(CohortChange(name, version + 1, current.digest, due_s - now_s))
    problems = {name: cohort.problem for name, cohort in now_seen.items() if cohort.problem}
    return CohortLook(now_seen, tuple(changes), problems)


def gate_asked_for(folder: LearningFolder, catalogue: Catalogue, name: str) -> str:
    """A digest of a cohort's gate and scope, if its student was judged by others; else empty.

    They do not decide what is learned, so the student is judged again and not trained again.
    """
    try:
        plan, cohort = folder.read_plan(name), catalogue.cohorts.get(name)
    except HoverFastError:  # a wrong plan, or never learned from: others tell that
        return ""
    path = folder.evaluation(cohort) / "verdict.json"
    if not path.is_file():
        return ""
    judgement = read_settings_file(path, Judgement, what="a readable verdict")
    judged = judgement.verdict.policy
    asked = plan.gate.model_copy(update={"validation_digest": judged.validation_digest})
    if (judged, judgement.scope) == (asked, plan.scope):
        return ""
    return text_sha256(f"{plan.scope} {plan.gate.model_dump_json()}")


def wrong_plan(folder: LearningFolder, name: str) -> str:
    """What is wrong with a plan's file; empty if nothing is."""
    try:
        folder.read_plan(name)
    except SettingsError as error:
        return str(error)
    return ""


def _see(
    folder: LearningFolder,
    slides: Sequence[KnownSlide],
    name: str,
    before: SeenCohort | None,
    now_s: float,
) -> SeenCohort:
    signature = _signature(folder, slides, name)
    if before is not None and before.signature == signature:
        return before
    digest = problem = ""
    try:
        digest = find_cohort(folder, slides, name).digest
    except HoverFastError as error:
        problem = str(error)
    if before is None:
        return SeenCohort(signature, digest, problem, now_s, now_s)
    changed_s = before.changed_s if digest == before.digest else now_s
    return SeenCohort(signature, digest, problem, before.first_s, changed_s)


def _newest(catalogue: Catalogue, name: str) -> tuple[int, str]:
    try:
        cohort = catalogue.cohorts.get(name)
    except CatalogueError:  # never learned from
        return 0, ""
    return cohort.version, cohort.digest


def _signature(folder: LearningFolder, slides: Sequence[KnownSlide], name: str) -> str:
    """Return a digest of everything that decides a cohort, without reading labels."""
    sha = Sha256()
    try:
        plan = folder.read_plan(name)
        sha.add(plan.model_dump_json())
        labels_dir = folder.labels_of(plan)
        of_labels = sorted(labels_dir.iterdir()) if labels_dir is not None else []
        of_sets = [path for named in folder.label_sets_of(plan) for path in named.files]
        for path in (*of_labels, *of_sets):
            status = path.stat()
            sha.add(f"{path.name} {status.st_size} {status.st_mtime_ns}\n")
    except (HoverFastError, OSError) as error:  # gone or wrong: resolving it will say so
        sha.add(str(error))
    for slide in slides:
        sha.add(f"{slide.key} {slide.name} {slide.sha256} ")
        sha.add(f"{slide.is_replaced} {slide.is_missing} {slide.is_withdrawn}\n")
    return sha.hex()
