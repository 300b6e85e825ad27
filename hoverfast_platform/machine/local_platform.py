"""The folder of a platform on one workstation: slides, artefacts, Dagster's instance.

Knows files and environment variables; starts nothing and imports no Dagster.
"""

from __future__ import annotations

import importlib.resources
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_WORKSPACE = """\
# What the Dagster UI shows; other code locations may be added below.
load_from:
  - python_module:
      module_name: hoverfast_platform.assets.definitions
      location_name: hoverfast
"""


@dataclass(frozen=True)
class LocalPlatform:
    """A platform that is ready to be started.

    Attributes:
        slides: Folders in which slides arrive, separated like `PATH`.
        artefacts: Folder of masks, nuclei, students and the catalogue.
        workspace: Dagster's list of code locations.
        environment: Variables of its processes.
    """

    slides: str
    artefacts: Path
    workspace: Path
    environment: Mapping[str, str]


def prepare_platform(
    folder: Path, environment: Mapping[str, str], *, port: int, viewer_port: int | None
) -> LocalPlatform:
    """Make what a platform needs in a folder; what is there stays as it is.

    Variables that are set win: `DAGSTER_HOME`, `HOVERFAST_SLIDES`, `HOVERFAST_ARTEFACTS` and the
    like name other places, `HOVERFAST_SENSORS=off` leaves the sensors to the UI.

    Args:
        folder: Of the platform; made if need be.
        environment: Variables that are set.
        port: Of the Dagster UI.
        viewer_port: Of the viewer; None: there is none.

    Raises:
        OSError: If the folder cannot be written.
    """
    folder = folder.absolute()
    defaults = {
        "DAGSTER_HOME": str(folder / "dagster"),
        "HOVERFAST_ARTEFACTS": str(folder / "artefacts"),
        "HOVERFAST_SLIDES": str(folder / "slides"),
        "HOVERFAST_SENSORS": "on",
        "HOVERFAST_UI_URL": f"http://127.0.0.1:{port}",
    }
    if viewer_port is not None:
        defaults["HOVERFAST_VIEWER_URL"] = f"http://127.0.0.1:{viewer_port}/"
    used = defaults | {name: value for name, value in environment.items() if value}
    home, artefacts = Path(used["DAGSTER_HOME"]), Path(used["HOVERFAST_ARTEFACTS"])
    for made in (folder, home, artefacts):
        made.mkdir(parents=True, exist_ok=True)
    if used["HOVERFAST_SLIDES"] == defaults["HOVERFAST_SLIDES"]:
        Path(used["HOVERFAST_SLIDES"]).mkdir(exist_ok=True)
    instance = importlib.resources.files("hoverfast_platform") / "assets" / "instance.yaml"
    _write_if_absent(home / "dagster.yaml", instance.read_text(encoding="utf-8"))
    _write_if_absent(folder / "workspace.yaml", _WORKSPACE)
    return LocalPlatform(used["HOVERFAST_SLIDES"], artefacts, folder / "workspace.yaml", used)


def _write_if_absent(path: Path, text: str) -> None:
    if not path.exists():
        path.write_text(text, encoding="utf-8")
