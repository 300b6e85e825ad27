"""The component ``Alerts``: people are told of failed runs by mail or by a web hook."""

from collections.abc import Sequence

import dagster as dg
from pydantic import Field

from hoverfast_platform.resources.alert_channels import AlertChannels

_MAX_CHARACTERS = 1500
"""A batch may name many slides; the run has all of it."""


class Alerts(dg.Component, dg.Resolvable, dg.Model):
    """Tells people of failed runs of this code location, by a web hook, by mail or by both.

    Makes the sensor `failed_runs` and the resource `alerts`. The sensor is off until a web hook, or
    a mail server and somebody to write to, are given. A message names the slides that failed; where
    file names are confidential, it may only go to people who may know them. Example::

        type: hoverfast_platform.Alerts
        attributes:
          webhook_variable: LAB_WEBHOOK
          mail_server_variable: LAB_MAIL_SERVER
          mail_to: [pathology-it@hospital.example]
    """

    webhook_variable: str = Field(
        default="",
        description="Name of the environment variable that holds the URL of a web hook. It is sent "
        "JSON with a field `text`, as Slack, Mattermost and many others take it.",
    )
    mail_server_variable: str = Field(
        default="",
        description="Name of the environment variable that holds "
        "`smtp://user:password@host:587`, or `smtps://`.",
    )
    mail_from: str = Field(default="hoverfast@localhost", description="Sender of the mails.")
    mail_to: Sequence[str] = Field(default=(), description="Who is written to.")
    ui_url: str = Field(
        default="http://127.0.0.1:3000", description="Address of the Dagster UI, for links."
    )

    @property
    def is_configured(self) -> bool:
        """Whether there is anybody to tell."""
        return bool(self.webhook_variable or (self.mail_server_variable and self.mail_to))

    @classmethod
    def get_spec(cls) -> dg.ComponentTypeSpec:
        return dg.ComponentTypeSpec(owners=["team:platform"], produces=["sensor", "resource"])

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        channels = AlertChannels(
            webhook=_variable(self.webhook_variable),
            mail_server=_variable(self.mail_server_variable),
            mail_from=self.mail_from,
            mail_to=list(self.mail_to),
            ui_url=self.ui_url,
        )
        return dg.Definitions(
            sensors=[failed_runs_sensor(is_on=self.is_configured)], resources={"alerts": channels}
        )


def _variable(name: str) -> str:
    # `dg.EnvVar` is a string that is read when a run or a tick needs it, and never shown.
    return dg.EnvVar(name) if name else ""


def failed_runs_sensor(*, is_on: bool) -> dg.SensorDefinition:
    """The sensor that tells of failed runs.

    Args:
        is_on: Whether it runs before anybody switched it in the UI.
    """
    on, off = dg.DefaultSensorStatus.RUNNING, dg.DefaultSensorStatus.STOPPED

    @dg.run_failure_sensor(
        name="failed_runs", default_status=on if is_on else off, minimum_interval_seconds=30
    )
    def failed_runs(context: dg.RunFailureSensorContext, alerts: AlertChannels) -> None:
        """Tells people of every failed run, by the web hook and the mail of the resource `alerts`.

        A run that will be tried again is told of only once the last try failed.
        """
        if context.dagster_run.tags.get("dagster/will_retry") == "true":
            return
        subject, text = describe(context)
        link = f"{alerts.ui_url.rstrip('/')}/runs/{context.dagster_run.run_id}"
        problems = alerts.send(subject, f"{text}\n{link}")
        if problems:
            raise dg.Failure(" ".join(problems), allow_retries=False)

    return failed_runs


def describe(context: dg.RunFailureSensorContext) -> tuple[str, str]:
    """Subject and text of the message: what failed, of which slides, and why."""
    run = context.dagster_run
    assets = ", ".join(sorted(key.to_user_string() for key in run.asset_selection or ()))
    first, last = (
        run.tags.get(f"dagster/asset_partition_range_{end}", "") for end in ("start", "end")
    )
    of = run.tags.get("dagster/partition") or (f"{first} to {last}" if first else "")
    reasons, steps = [], []
    for event in context.get_step_failure_events():
        steps.append(event.step_key or "")
        failure = event.step_failure_data
        told = failure.user_failure_data.description if failure.user_failure_data else None
        reasons.append(told or (failure.error.message.strip() if failure.error else ""))
    text = "\n".join(filter(None, reasons)) or context.failure_event.message or ""
    shown = text if len(text) <= _MAX_CHARACTERS else f"{text[:_MAX_CHARACTERS]} ..."
    what = ", ".join(filter(None, steps)) or assets
    job = "" if run.job_name.startswith("__") else run.job_name  # those are Dagster's own
    title = f"{job}: {what}" if job and what else job or what or "A run"
    return f"{title} failed{f' for {of}' if of else ''}", shown
