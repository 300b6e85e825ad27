"""What a lab wants of a cohort: which slides, what labels them, how a student is trained.

A plan is a JSON file, ``cohorts/<name>.json`` in the artefact folder. Changing it, or the
slides it matches, makes a new version of the cohort.
"""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import field_validator

from hoverfast_platform.catalogue.records import (
    DEFAULT_SCOPE,
    CohortMemberRecord,
    CohortRecord,
    KnownSlide,
)
from hoverfast_platform.config import Settings
from hoverfast_platform.errors import SettingsError, TrainingError
from hoverfast_platform.files import read_settings_file, text_sha256
from hoverfast_platform.model.registry import DEFAULT_MODEL
from hoverfast_platform.teachers.sampling import Sampling
from hoverfast_platform.training.settings import TrainingSettings
from hoverfast_platform.verdict import PromotionPolicy


class LabelFolder(Settings):
    """Labels that exist already: made by people, corrected in QuPath, or made by another tool."""

    folder: str
    """Folder that holds one label image or GeoJSON per slide, named like the slide."""
    only_reviewed: bool = False
    """Whether the folder holds corrections made in the viewer or in QuPath. A student then learns
    only from the regions that people looked at, and from nothing else of a slide."""
    licence: str = "unknown"
    """SPDX identifier. The gate lets only allowed licences through."""
    citation: str = ""
    """What to cite for the labels; goes into the student's card."""
    made_by: str = "people"
    """Who or what made the labels; goes into the student's card."""


class CohortPlan(Settings):
    """One cohort and the student made from it."""

    slides: tuple[str, ...] = ()
    """Keys of slides (their partitions in the UI)."""

    slides_like: str = ""
    """Also every registered slide whose file name matches, as in a shell: ``breast_*.svs``."""

    patient_pattern: str = ""
    """Regular expression whose first group in a slide's file name is its patient; it must find one
    in every name. Without it every slide stands for itself when the cohort is split."""

    missing_slides: Literal["leave_out", "hold"] = "leave_out"
    """What happens if the file of a slide is gone from its watched folder. ``leave_out``: the next
    version of the cohort does without the slide and says so. ``hold``: no version is made until
    the file is back."""

    teacher: str = "classical"
    """``classical``; ``hovernet:`` and a file of published weights; or our students' names or
    files joined by ``+``. Not used with labels."""

    teacher_licence: str = ""
    """Licence of HoVer-Net's weights: students inherit it, and the gate asks for it."""

    labels: LabelFolder | None = None
    """Labels to use instead of a teacher; slides without one are left out."""

    label_sets: tuple[str, ...] = ()
    """Names of label sets to learn from too, or, in a plan without slides, from alone: then the
    student is judged on what the first of them holds out."""

    sampling: Sampling = Sampling()
    training: TrainingSettings = TrainingSettings()

    parent: str = DEFAULT_MODEL
    """Model that the student starts from, so that it is site-specific; empty: random weights."""

    scope: str = DEFAULT_SCOPE
    """What the student competes for: it replaces the model promoted in this scope."""

    gate: PromotionPolicy = PromotionPolicy()

    @field_validator("patient_pattern")
    @classmethod
    def _has_one_group(cls, pattern: str) -> str:
        try:
            n_groups = re.compile(pattern).groups
        except (re.error, OverflowError, RecursionError) as error:
            raise ValueError(f"is not a regular expression: {error}") from error
        if pattern and n_groups != 1:
            raise ValueError("needs exactly one group in parentheses, the patient")
        return pattern


def read_plan(path: Path) -> CohortPlan:
    """A plan file.

    Raises:
        SettingsError: If it is missing or wrong; every wrong field is named.
    """
    if not path.exists():
        raise SettingsError(
            f"There is no plan of the cohort: {path}.", "Write one; docs/learning.md has examples."
        )
    return read_settings_file(path, CohortPlan, what="a cohort's plan")


def choose_members(
    name: str, plan: CohortPlan, slides: Sequence[KnownSlide], label_stems: frozenset[str] | None
) -> CohortRecord:
    """The slides a plan matches now, with the digest that tells whether anything changed.

    Args:
        name: Name of the cohort.
        plan: What is wanted.
        slides: All registered slides.
        label_stems: Stems that have labels, where the plan uses labels.

    Raises:
        TrainingError: If a slide asked for is not registered, none matches, or files of slides are
            gone and the plan waits for them.
    """
    known = {slide.key: slide for slide in slides if not slide.is_replaced}
    missing = [key for key in plan.slides if key not in known]
    if missing:
        raise TrainingError(
            f"Cohort {name}: {len(missing)} slides are not registered, or their files hold "
            f"something else now: {', '.join(missing[:5])}.",
            "Keys are the partitions of `slide`; register the files first.",
        )
    chosen = set(plan.slides) | {
        slide.key
        for slide in known.values()
        if plan.slides_like and fnmatch.fnmatch(slide.name, plan.slides_like)
    }
    withdrawn = {key for key in chosen if known[key].is_withdrawn}
    chosen -= withdrawn
    gone = [key for key in sorted(chosen) if known[key].is_missing]
    told = f"{len(gone)} slides have no file any more: {', '.join(gone[:5])}"
    if gone and plan.missing_slides == "hold":
        raise TrainingError(
            f"Cohort {name} is held: {told}.",
            "Put the files back; or set missing_slides to leave_out, or take the slides out of the "
            "plan.",
        )
    members = tuple(
        CohortMemberRecord(known[key], _patient(known[key], plan))
        for key in sorted(chosen.difference(gone))
        if label_stems is None or Path(known[key].name).stem in label_stems
    )
    if not members and not (plan.label_sets and not plan.slides and not plan.slides_like):
        raise TrainingError(
            f"Cohort {name} is empty: of {len(known)} registered slides none matches.",
            "Check slides and slides_like in its plan, and that labels have the slides' names.",
        )
    _refuse_unknown_patients(name, plan, members)
    content = [(m.slide.sha256, m.patient) for m in members]
    # Neither decides what is learned: where only they change, the student is judged again.
    learned = plan.model_dump(mode="json", exclude={"gate", "scope"})
    digest = text_sha256(json.dumps([content, learned]))
    warnings = [f"{told}. They were left out."] if gone else []
    if withdrawn:
        warnings.append(f"{len(withdrawn)} slides were withdrawn and are left out.")
    return CohortRecord(name, 0, digest, members, tuple(warnings))


def _refuse_unknown_patients(
    name: str, plan: CohortPlan, members: Sequence[CohortMemberRecord]
) -> None:
    """Refuse slides without a patient: one could be split apart from others of the same patient."""
    unknown = [m.slide.name for m in members if not m.patient]
    if unknown:
        raise TrainingError(
            f"Cohort {name}: patient_pattern {plan.patient_pattern!r} finds no patient in "
            f"{len(unknown)} of {len(members)} file names: {', '.join(unknown[:5])}.",
            "Make the pattern fit all names, capitals included, or leave these slides out.",
        )


def _patient(slide: KnownSlide, plan: CohortPlan) -> str:
    """The patient of a slide; empty if the plan says how to find one and there is none."""
    if not plan.patient_pattern:
        return slide.key
    found = re.search(plan.patient_pattern, slide.name)
    return (found.group(1) or "") if found else ""
