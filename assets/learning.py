"""Learning, one partition per cohort: cohort, teacher labels, student, evaluation, promotion.

Thin on purpose: the steps themselves are in ``hoverfast_platform.use_cases.learn``.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal

import dagster as dg

from hoverfast_platform.assets.automation import when_gate_passed, when_inputs_change
from hoverfast_platform.assets.failures import failures_by_kind
from hoverfast_platform.assets.names import HasResources, Names, drawn
from hoverfast_platform.assets.pictures import inline_picture
from hoverfast_platform.assets.progress_log import log_progress
from hoverfast_platform.catalogue import Catalogue
from hoverfast_platform.cohorts.cohort import LearningFolder
from hoverfast_platform.cohorts.plan import CohortPlan
from hoverfast_platform.files import text_sha256
from hoverfast_platform.model.registry import weights_digest
from hoverfast_platform.texts import markdown

_MAX_PICTURES = 4
"""How many images of the evaluation are shown inline: the first of the validation set."""


@dataclass(frozen=True)
class Learning:
    """What the assets of learning of a pipeline are built from.

    Attributes:
        names: Name of the pipeline, and of the cohort where the assets are of one.
        plan: Plan of that cohort; None where the plans are files in the artefact folder.
        gate_severity: How a student is shown that may not be promoted.
    """

    names: Names
    plan: CohortPlan | None = None
    gate_severity: Literal["warn", "error"] = "warn"

    def folder(self, context: HasResources) -> LearningFolder:
        """Where plans, labels and students are."""
        plans = {self.names.cohort: self.plan} if self.plan is not None else None
        return self.names.store(context).learning(plans)

    def catalogue(self, context: HasResources) -> AbstractContextManager[Catalogue]:
        """The catalogue, for one step."""
        return self.names.store(context).open_catalogue()

    def failures(self, context: dg.AssetExecutionContext) -> AbstractContextManager[None]:
        """Has the step tried again, or its failure recorded, by its kind."""
        return failures_by_kind(context, self.names.store(context))

    def device(self, context: HasResources) -> AbstractContextManager[str]:
        """The device, for one step."""
        return self.names.compute(context).leased(self.names.store(context))


def build_learning(of: Learning) -> list[dg.AssetsDefinition]:
    """The assets from `cohort` to `promoted_model`."""
    return [
        _build_cohort(of),
        _build_teacher_labels(of),
        _build_student_model(of),
        _build_model_evaluation(of),
        _build_promoted_model(of),
    ]


def _build_cohort(of: Learning) -> dg.AssetsDefinition:
    names = of.names

    @dg.asset(
        key=names.learning_key("cohort"),
        partitions_def=names.cohorts,
        required_resource_keys=names.needs("store"),
        deps=[names.key("corrections"), *map(drawn, map(names.key, ("label_set", "slide")))],
        group_name=names.learning_word("learning"),
        kinds={"sqlalchemy"},
        owners=["team:platform"],
        tags=names.tags("learning"),
    )
    def cohort(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
        """A named list of slides a student learns from, in versions.

        **Where it is.** Its plan is `cohorts/<name>.json` in the artefact folder, written by you;
        the versions are in the catalogue.

        **Running it again.** Makes a new version only if the slides it matches, their patients,
        their labels or the plan changed. The sensor `cohort_changes` does it once a change stands
        still, and the rest of this group follows by itself. Slides whose file is gone are left out
        with a warning, or hold the cohort, as `missing_slides` in its plan says.

        **When it fails.** The plan is wrong or no slide matches; the message says which.
        """
        from hoverfast_platform.use_cases.learn import resolve_cohort

        with of.failures(context), of.catalogue(context) as catalogue:
            found = resolve_cohort(of.folder(context), catalogue, context.partition_key)
            plan = of.folder(context).read_plan(context.partition_key)
        rows = "\n".join(
            f"| {markdown(m.slide.key)} | {markdown(m.slide.name)} | {markdown(m.patient)} |"
            for m in found.members
        )
        return dg.MaterializeResult(
            metadata={
                "version": found.version,
                "n_slides": len(found.members),
                "n_patients": len({m.patient for m in found.members}),
                **({"warnings": "\n".join(found.warnings)} if found.warnings else {}),
                "plan": dg.MetadataValue.json(plan.model_dump(mode="json", exclude_defaults=True)),
                "members": dg.MetadataValue.md(
                    f"| slide | file | patient |\n|---|---|---|\n{rows}"
                ),
            },
            data_version=dg.DataVersion(found.digest),
        )

    return cohort


def _build_teacher_labels(of: Learning) -> dg.AssetsDefinition:
    names = of.names

    @dg.asset(
        key=names.learning_key("teacher_labels"),
        partitions_def=names.cohorts,
        required_resource_keys=names.needs("store", "compute"),
        deps=[names.learning_key("cohort"), drawn(names.key("tissue_mask"))],
        group_name=names.learning_word("learning"),
        kinds={"hdf5"},
        owners=["team:platform"],
        tags=names.tags("learning"),
        pool="gpu",
        automation_condition=when_inputs_change(),
    )
    def teacher_labels(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
        """Tiles of the cohort's slides with the nuclei a teacher or people found in them.

        **Where it is.** `teacher_labels/<cohort>/v<version>/`, two PyTables files; no patient is in
        both.

        **Running it again.** Gives the same tiles and labels; an interrupted run goes on from the
        tiles that were labelled.

        **When it fails.** A slide has no tissue, or a label file does not fit its slide; nothing
        half-made is left under the final name.
        """
        from hoverfast_platform.storage.previews import draw_instances
        from hoverfast_platform.use_cases.learn import make_teacher_labels

        with (
            of.failures(context),
            of.catalogue(context) as catalogue,
            of.device(context) as device,
        ):
            found = catalogue.cohorts.get(context.partition_key)
            made = make_teacher_labels(
                of.folder(context),
                catalogue,
                found,
                device=device,
                on_progress=log_progress(context, found.name),
            )
        held_out = made.held_out()
        example = made.training.read(int(made.training.n_nuclei.argmax()))
        return dg.MaterializeResult(
            metadata={
                "cohort_version": found.version,
                "teacher": made.training.provenance.teacher,
                "n_training_patches": len(made.training),
                "n_training_nuclei": int(made.training.n_nuclei.sum()),
                "n_validation_patches": len(held_out),
                "n_validation_nuclei": int(held_out.n_nuclei.sum()),
                "n_tiles_left_out": made.n_left_out,
                "validation_patients": ", ".join(sorted(set(held_out.groups))),
                "example": inline_picture(
                    draw_instances(example.image, example.instance_map), "teacher labels"
                ),
                "training_set": dg.MetadataValue.path(str(made.training.path)),
                "validation_set": dg.MetadataValue.path(str(held_out.path)),
            },
            data_version=dg.DataVersion(f"{made.training.digest[:32]}{held_out.digest[:32]}"),
        )

    return teacher_labels


def _build_student_model(of: Learning) -> dg.AssetsDefinition:
    names = of.names

    @dg.asset(
        key=names.learning_key("student_model"),
        partitions_def=names.cohorts,
        required_resource_keys=names.needs("store", "compute"),
        deps=[names.learning_key("teacher_labels")],
        group_name=names.learning_word("learning"),
        kinds={"pytorch"},
        owners=["team:platform"],
        tags=names.tags("learning"),
        pool="gpu",
        automation_condition=when_inputs_change(),
    )
    def student_model(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
        """A student trained on the cohort's labels; a candidate, used by nobody yet.

        **Where it is.** `students/<cohort>-v<version>/`: weights, card, checkpoints, TensorBoard.

        **Running it again.** Finds a finished training finished; an interrupted one goes on from
        its last checkpoint.

        **When it fails.** The loss was not finite (the batch is kept), or the labels cannot teach.
        """
        from hoverfast_platform.cohorts.pictures import draw_learning_curves
        from hoverfast_platform.use_cases.learn import train_student

        folder = of.folder(context)
        with (
            of.failures(context),
            of.catalogue(context) as catalogue,
            of.device(context) as device,
        ):
            found = catalogue.cohorts.get(context.partition_key)
            student = train_student(
                folder,
                catalogue,
                found,
                device=device,
                on_progress=log_progress(context, found.name),
            )
        kept = student.kept
        return dg.MaterializeResult(
            metadata={
                "cohort_version": found.version,
                "n_steps": student.n_steps,
                "kept_step": kept.step,
                "curves": inline_picture(
                    draw_learning_curves(student.validations), "learning curves"
                ),
                "dice": round(kept.dice, 4),
                "aji": round(kept.aji, 4),
                "pq": round(kept.pq, 4),
                "f1": round(kept.f1, 4),
                "model": dg.MetadataValue.path(str(student.model_path)),
                "tensorboard": f"tensorboard --logdir {student.model_path.parent}",
            },
            data_version=dg.DataVersion(weights_digest(student.model_path)),
        )

    return student_model


def _build_model_evaluation(of: Learning) -> dg.AssetsDefinition:
    names = of.names

    @dg.asset(
        key=names.learning_key("model_evaluation"),
        partitions_def=names.cohorts,
        required_resource_keys=names.needs("store", "compute"),
        deps=[names.learning_key("student_model")],
        group_name=names.learning_word("learning"),
        kinds={"scikitimage"},
        owners=["team:platform"],
        tags=names.tags("learning"),
        pool="gpu",
        automation_condition=when_inputs_change(),
        check_specs=[
            dg.AssetCheckSpec(
                "model_gate",
                asset=names.learning_key("model_evaluation"),
                description="Whether the student may replace the promoted model: no worse on the "
                "fixed validation set, above the floors, licence of its labels allowed.",
                partitions_def=names.cohorts,
                blocking=True,
            )
        ],
    )
    def model_evaluation(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[Any]]:
        """The student and the model it would replace, on patients neither was trained on.

        **Where it is.** `evaluations/<cohort>-v<version>/`: tables and a page with pictures (white:
        agree, green: only the student, magenta: only the labels).

        **Running it again.** Measures again; equal inputs give equal scores. A student that is
        worse stays a candidate, and the check `model_gate` says why.

        **Over time.** Overview, Metadata, Plots, Events: Dice, AJI and PQ of one student after the
        other.
        """
        import numpy as np
        from PIL import Image

        from hoverfast_platform.evaluation.agreement import AGREEMENT_LEGEND
        from hoverfast_platform.use_cases.learn import judge_student

        with (
            of.failures(context),
            of.catalogue(context) as catalogue,
            of.device(context) as device,
        ):
            found = catalogue.cohorts.get(context.partition_key)
            judged = judge_student(
                of.folder(context),
                catalogue,
                found,
                device=device,
                on_progress=log_progress(context, found.name),
            )
        verdict = judged.judgement.verdict
        ours, theirs = (
            dict(judged.student.overall().named()),
            dict(judged.baseline.overall().named()),
        )
        table = "\n".join(f"| {name} | {ours[name]} | {theirs[name]} |" for name in ours)
        baseline = f"{judged.baseline.model.name} {judged.baseline.model.version}"
        metadata: dict[str, Any] = {
            "gate": f"passed: {verdict}" if verdict.passed else f"stays a candidate: {verdict}",
            "cohort_version": found.version,
            "scores": dg.MetadataValue.md(
                f"| | student | {markdown(baseline)} |\n|---|---|---|\n{table}"
            ),
            **{name: round(interval.mean, 4) for name, interval in ours.items()},
        }
        for i, path in enumerate(judged.picture_paths[:_MAX_PICTURES]):
            with Image.open(path) as picture:
                pixels = np.asarray(picture)
            metadata[f"agreement_{i + 1}"] = inline_picture(pixels, path.stem, AGREEMENT_LEGEND)
        metadata["report"] = dg.MetadataValue.path(str(judged.report_path))
        yield dg.MaterializeResult(
            metadata=metadata,
            data_version=dg.DataVersion(text_sha256(judged.judgement.model_dump_json())),
            check_results=[
                dg.AssetCheckResult(
                    check_name="model_gate",
                    passed=verdict.passed,
                    severity=dg.AssetCheckSeverity[of.gate_severity.upper()],
                    description=str(verdict),
                    metadata={
                        f"{whose}_{name}": round(interval.mean, 4)
                        for whose, scores in (("student", ours), ("promoted", theirs))
                        for name, interval in scores.items()
                    },
                )
            ],
        )

    return model_evaluation


def _build_promoted_model(of: Learning) -> dg.AssetsDefinition:
    names = of.names

    @dg.asset(
        key=names.learning_key("promoted_model"),
        partitions_def=names.cohorts,
        required_resource_keys=names.needs("store"),
        deps=[names.learning_key("model_evaluation")],
        group_name=names.learning_word("learning"),
        kinds={"sqlalchemy"},
        owners=["team:platform"],
        tags=names.tags("learning"),
        output_required=False,
        # Missing on purpose while the gate refuses the student, so not to be swept up.
        automation_condition=when_gate_passed(names.learning_key("model_evaluation")),
    )
    def promoted_model(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[Any]]:
        """The student, once it is what slides are segmented with.

        **Where it is.** The catalogue; `hoverfast models` lists it with its history. Not
        materialized while the gate refuses the student.

        **Rolling back.** `hoverfast models promote FORMER --roll-back --reason "..."`.
        """
        from hoverfast_platform.use_cases.learn import promote_student, read_judgement

        with of.failures(context), of.catalogue(context) as catalogue:
            found = catalogue.cohorts.get(context.partition_key)
            judgement = read_judgement(of.folder(context), found)
            if not judgement.verdict.passed:
                context.log.warning("Stays a candidate: %s", judgement.verdict)
                return
            promoted = promote_student(catalogue, found, judgement)
        yield dg.MaterializeResult(
            metadata={
                "model": f"{promoted.name} {promoted.version}",
                "scope": promoted.scope,
                "replaces": judgement.replaces or "nothing",
                "reason": promoted.reason,
                "path": dg.MetadataValue.path(promoted.path or ""),
            },
            data_version=dg.DataVersion(promoted.sha256),
        )

    return promoted_model
