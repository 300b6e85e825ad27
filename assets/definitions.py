"""The code location: everything assembled, once. No asset or resource is written here."""

from __future__ import annotations

import os
from pathlib import Path

import dagster as dg

from assets.learning import (
    cohort,
    model_evaluation,
    promoted_model,
    student_model,
    teacher_labels,
)
from assets.segmentation import nuclei
from assets.slides import slide
from assets.tissue_masks import tissue_mask
from resources.compute import Compute
from resources.platform_store import PlatformStore


def build_definitions(root: Path) -> dg.Definitions:
    """The platform with its artefacts under ``root``."""
    return dg.Definitions(
        assets=[
            slide,
            tissue_mask,
            nuclei,
            cohort,
            teacher_labels,
            student_model,
            model_evaluation,
            promoted_model,
        ],
        resources={
            "store": PlatformStore(root=str(root)),
            "compute": Compute(
                lease_dir=str(root / "leases"), catalogue=str(root / "catalogue.sqlite")
            ),
        },
        # One stage per run: a child process per step would load the model again.
        executor=dg.in_process_executor,
    )


defs = build_definitions(Path(os.environ.get("HOVERFAST_ARTEFACTS", "demo/artefacts")).absolute())
