"""The code location: everything assembled, once. No asset or resource is written here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import dagster as dg

from hoverfast_platform.assets.automation import Automation
from hoverfast_platform.assets.corrections import corrections
from hoverfast_platform.assets.learning import (
    cohort,
    model_evaluation,
    promoted_model,
    student_model,
    teacher_labels,
)
from hoverfast_platform.assets.segmentation import nuclei
from hoverfast_platform.assets.segmentation_model import segmentation_model
from hoverfast_platform.assets.sensor_table import build_sensors
from hoverfast_platform.assets.slide_inventory import slide_inventory
from hoverfast_platform.assets.slides import slide
from hoverfast_platform.assets.tissue_masks import tissue_mask
from hoverfast_platform.resources.artefact_folder import ArtefactFolder
from hoverfast_platform.resources.environment import Environment
from hoverfast_platform.resources.leased_device import LeasedDevice
from hoverfast_platform.resources.patience import Patience
from hoverfast_platform.resources.slide_folders import SlideFolders


def build_definitions(  # noqa: PLR0913 - one parameter per setting of a deployment
    root: Path,
    *,
    catalogue: str | None = None,
    slide_folders: Sequence[Path] = (),
    settle_s: float = 30.0,
    automation: Automation = Automation(),
    pseudonyms: bool = False,
    viewer_url: str = "",
) -> dg.Definitions:
    """The platform with its artefacts under ``root``.

    Args:
        root: Folder of the artefacts.
        catalogue: SQLite file or PostgreSQL URL, also as `dg.EnvVar`; None: a file in ``root``.
        slide_folders: Where slides arrive.
        settle_s: How long a file must stay unchanged before it counts.
        automation: What runs by itself.
        pseudonyms: Whether result files are named after content instead of after files.
        viewer_url: Address under which browsers reach the viewer; empty: there is none.
    """
    catalogue = catalogue or str(root / "catalogue.sqlite")
    return dg.Definitions(
        assets=[
            slide_inventory,
            slide,
            tissue_mask,
            segmentation_model,
            nuclei,
            corrections,
            cohort,
            teacher_labels,
            student_model,
            model_evaluation,
            promoted_model,
        ],
        sensors=build_sensors(automation),
        resources={
            "store": ArtefactFolder(
                root=str(root), catalogue=catalogue, pseudonyms=pseudonyms, viewer_url=viewer_url
            ),
            "compute": LeasedDevice(lease_dir=str(root / "leases"), catalogue=catalogue),
            "patience": Patience(quiet_s=automation.quiet_s, lost_after_s=automation.lost_after_s),
            "slide_folders": SlideFolders(
                folders=[str(folder) for folder in slide_folders], settle_s=settle_s
            ),
        },
        # One stage per run: a child process per step would load the model again.
        executor=dg.in_process_executor,
    )


def _deployment(environment: Environment) -> dg.Definitions:
    return build_definitions(
        environment.artefacts,
        # Its name, not its value: a URL holds a password, and the UI shows resources.
        catalogue=dg.EnvVar("HOVERFAST_CATALOGUE") if environment.catalogue else None,
        slide_folders=environment.slides,
        settle_s=environment.settle_s,
        automation=Automation(
            is_on=environment.sensors,
            quiet_s=environment.cohort_quiet_s,
            resegments=environment.resegment,
            lost_after_s=environment.lost_after_s,
        ),
        pseudonyms=environment.pseudonyms,
        viewer_url=environment.viewer_url,
    )


@dg.definitions
def defs() -> dg.Definitions:
    """The code location as the environment describes it; read when it is loaded, not imported."""
    return _deployment(Environment())
