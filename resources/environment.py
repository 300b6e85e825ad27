"""The environment variables that a deployment sets, read once.

``python -m hoverfast_platform.resources.environment`` writes ``docs/environment.md`` from the
fields below; a test holds the two equal.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

_PAGE = Path(__file__).resolve().parents[1] / "docs" / "environment.md"


class Environment(BaseSettings):
    """What the Dagster side is told from outside. Each variable begins with ``HOVERFAST_``."""

    model_config = SettingsConfigDict(
        env_prefix="HOVERFAST_",
        env_ignore_empty=True,
        frozen=True,
        use_attribute_docstrings=True,
        validate_default=True,
    )

    artefacts: Path = Path("demo/artefacts")
    """Folder for masks, nuclei, students, the catalogue and the settings files. All machines of a
    deployment need it under the same path; with `HOVERFAST_SHARED` each has a folder of its own
    there."""

    shared: str = Field(default="", pattern="^([a-z0-9]+://.+)?$")
    """`s3://bucket/folder`, or another URL of fsspec: where finished masks, nuclei and models are
    published to and fetched from, so that machines need no folder in common. The catalogue is
    PostgreSQL then. Credentials come from the environment as the store's own programs read them,
    such as `AWS_ACCESS_KEY_ID` and `AWS_ENDPOINT_URL`. The command line reads it too."""

    catalogue: str = ""
    """SQLite file or PostgreSQL URL (`postgresql://user:password@host/name`; with a standby:
    [deploy/README.md](../deploy/README.md)) of the catalogue. Without it,
    `catalogue.sqlite` in the artefact folder. The command line reads it too."""

    slides: Annotated[tuple[Path, ...], NoDecode] = ()
    """Folders in which slides arrive, separated like `PATH`. They are looked through with all
    their subfolders."""

    settle_s: float = Field(default=30.0, ge=0)
    """Seconds a file must stay unchanged before it counts as complete."""

    sensors: bool = False
    """Whether sensors run without being switched on in the UI: `on` or `off`."""

    cohort_quiet_s: float = Field(default=600.0, ge=0)
    """Seconds a cohort must stay unchanged before a student learns from it."""

    resegment: bool = False
    """Whether slides are segmented again after another model was promoted: `on` or `off`. It takes
    effect only where sensors are on."""

    lost_after_s: float = Field(default=120.0, gt=0)
    """Seconds without a sign of life after which a run is given up."""

    pseudonyms: bool = False
    """Whether result files are named after the slide's content instead of after its file: `on` or
    `off`. Set it before the first slide."""

    viewer_url: str = Field(default="", pattern="^(https?://.*)?$")
    """Address under which browsers reach `hoverfast view`, such as
    `https://nuclei.hospital.example/viewer/`. `nuclei` and `tissue_mask` link to it; without it
    they have no link. `hoverfast up` sets it."""

    alert_webhook: str = Field(default="", pattern="^(https?://.*)?$")
    """URL of a web hook that is told of failed runs: it is sent JSON with a field `text`, as Slack,
    Mattermost and many others take it."""

    alert_mail_server: str = Field(default="", pattern="^(smtps?://.*)?$")
    """`smtp://user:password@host:587` or `smtps://`: the server that sends mail of failed runs."""

    alert_mail_to: Annotated[tuple[str, ...], NoDecode] = ()
    """Who is written to of failed runs, separated by commas."""

    alert_mail_from: str = "hoverfast@localhost"
    """Sender of these mails."""

    ui_url: str = Field(default="http://127.0.0.1:3000", pattern="^https?://")
    """Address under which browsers reach the Dagster UI, for links in alerts."""

    @field_validator("alert_mail_to", mode="before")
    @classmethod
    def _by_commas(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(name.strip() for name in value.split(",") if name.strip())
        return value

    @field_validator("slides", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(Path(folder).absolute() for folder in value.split(os.pathsep) if folder)
        return value

    @field_validator("artefacts")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.absolute()


def reference_page() -> str:
    """The table of all variables, as Markdown."""
    rows = [
        f"| `HOVERFAST_{name.upper()}` | {_default(field.default)} | "
        f"{' '.join((field.description or '').split())} |"
        for name, field in Environment.model_fields.items()
    ]
    return "\n".join(
        [
            "# Environment variables",
            "",
            "The Dagster side reads these when it starts. This page is made from",
            "`resources/environment.py` by `python -m hoverfast_platform.resources.environment`.",
            "",
            "| variable | default | meaning |",
            "|---|---|---|",
            *rows,
            "",
        ]
    )


def _default(value: object) -> str:
    if isinstance(value, bool):
        return "`on`" if value else "`off`"
    if value in ("", ()):
        return "none"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


if __name__ == "__main__":
    _PAGE.write_text(reference_page(), encoding="utf-8")
