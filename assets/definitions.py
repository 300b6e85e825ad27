"""The code location of this repository: three components, with values from the environment."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import dagster as dg

from hoverfast_platform.assets.alerts import Alerts
from hoverfast_platform.assets.automation import Automation
from hoverfast_platform.assets.components import Cohort, Segmentation, SlideFolder, Statistics
from hoverfast_platform.checks.policy import read_policy
from hoverfast_platform.files import read_settings_file_if_any
from hoverfast_platform.ingest.mpp_rules import read_mpp_rules
from hoverfast_platform.ingest.scope_rules import read_scope_rules
from hoverfast_platform.ingest.stain_rules import read_stain_rules
from hoverfast_platform.mask.engines import read_mask_settings
from hoverfast_platform.neighbourhood.measure import NeighbourhoodSettings
from hoverfast_platform.resources.environment import Environment

NEIGHBOURS_FILE = "neighbours.json"
"""Where it is present, neighbourhoods and tables of slides are made, too."""


def build_definitions(  # noqa: PLR0913 - one parameter per setting of a deployment
    root: Path,
    *,
    shared: str = "",
    catalogue: str | dg.EnvVar = "",
    slide_folders: Sequence[Path] = (),
    settle_s: float = 30.0,
    automation: Automation = Automation(),
    pseudonyms: bool = False,
    viewer_url: str = "",
    alerts: Alerts | None = None,
) -> dg.Definitions:
    """The platform with its artefacts under ``root``.

    Settings that differ from the defaults are in ``mpp.json``, ``masks.json``, ``stains.json``,
    ``scopes.json`` and ``checks.json`` there; they become attributes of the components. A file
    ``neighbours.json``, ``{}`` if nothing differs, adds the assets of statistics.

    Args:
        root: Folder of the artefacts.
        shared: Object store that finished artefacts are published to; empty: they stay here.
        catalogue: SQLite file or PostgreSQL URL, also as `dg.EnvVar`; empty: a file in ``root``.
        slide_folders: Where slides arrive.
        settle_s: How long a file must stay unchanged before it counts.
        automation: What runs by itself.
        pseudonyms: Whether result files are named after content instead of after files.
        viewer_url: Address under which browsers reach the viewer; empty: there is none.
        alerts: Who is told of failed runs; None: nobody.

    Raises:
        SettingsError: If a file of settings is wrong; every wrong field is named.
    """
    checks = read_policy(root / "checks.json")
    slides = SlideFolder(
        folders=[str(folder) for folder in slide_folders],
        artefacts=str(root),
        shared=shared,
        catalogue=catalogue if not isinstance(catalogue, dg.EnvVar) else "",
        catalogue_variable=(catalogue.env_var_name if isinstance(catalogue, dg.EnvVar) else ""),
        settle_s=settle_s,
        mpp=read_mpp_rules(root / "mpp.json"),
        staining=read_stain_rules(root / "stains.json"),
        scopes=read_scope_rules(root / "scopes.json"),
        pseudonyms=pseudonyms,
        viewer_url=viewer_url,
        runs_by_itself=automation.is_on,
        lost_after_s=automation.lost_after_s,
    )
    segmentation = Segmentation(
        mask=read_mask_settings(root / "masks.json"),
        checks=checks,
        resegments=automation.resegments,
        runs_by_itself=automation.is_on,
    )
    cohort = Cohort(
        gate_severity=checks.gate.severity,
        quiet_s=automation.quiet_s,
        runs_by_itself=automation.is_on,
    )
    options = []
    if (root / NEIGHBOURS_FILE).is_file():
        what = "a file of what counts as a neighbour"
        neighbours = read_settings_file_if_any(
            root / NEIGHBOURS_FILE, NeighbourhoodSettings, what=what
        )
        options.append(Statistics(neighbours=neighbours, runs_by_itself=automation.is_on))
    return dg.Definitions.merge(
        dg.build_defs_for_component(slides),
        segmentation.definitions([cohort]),
        dg.build_defs_for_component(cohort),
        dg.build_defs_for_component(alerts or Alerts()),
        *map(dg.build_defs_for_component, options),
        # One stage per run: a child process per step would load the model again.
        dg.Definitions(executor=dg.in_process_executor),
    )


@dg.definitions
def defs() -> dg.Definitions:
    """The code location as the environment describes it; read when it is loaded, not imported."""
    environment = Environment()
    return build_definitions(
        environment.artefacts,
        shared=environment.shared,
        # Its name, not its value: a URL holds a password, and the UI shows resources.
        catalogue=dg.EnvVar("HOVERFAST_CATALOGUE") if environment.catalogue else "",
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
        alerts=Alerts(
            webhook_variable="HOVERFAST_ALERT_WEBHOOK" if environment.alert_webhook else "",
            mail_server_variable=(
                "HOVERFAST_ALERT_MAIL_SERVER" if environment.alert_mail_server else ""
            ),
            mail_from=environment.alert_mail_from,
            mail_to=environment.alert_mail_to,
            ui_url=environment.ui_url,
        ),
    )
