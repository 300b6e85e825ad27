"""Ways to tell people outside the UI: a web hook and mail."""

from __future__ import annotations

import json
import smtplib
import urllib.error
import urllib.request
from email.message import EmailMessage
from urllib.parse import unquote, urlsplit

import dagster as dg

_TIMEOUT_S = 10.0
"""A tick of a sensor has 60 s."""


class AlertChannels(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Where messages go. What is empty is not used."""

    webhook: str = ""
    """URL that takes JSON with a field `text`, as Slack, Mattermost and many others do. It usually
    holds a secret: give it as `dg.EnvVar`."""
    mail_server: str = ""
    """`smtp://user:password@host:587`, encrypted where the server offers it, or `smtps://`. Give it
    as `dg.EnvVar`."""
    mail_from: str = "hoverfast@localhost"
    mail_to: list[str] = []  # noqa: RUF012 - a field of pydantic
    ui_url: str = "http://127.0.0.1:3000"
    """Address of the Dagster UI, for links."""

    def send(self, subject: str, text: str) -> tuple[str, ...]:
        """Tell people over all channels; what went wrong, one sentence per channel.

        Args:
            subject: One line.
            text: All of it, without the subject.
        """
        problems = []
        if self.webhook:
            try:
                self._post(f"{subject}\n{text}")
            except (OSError, ValueError) as error:
                problems.append(f"The web hook was not reached ({_without_secret(error)}).")
        if self.mail_server and self.mail_to:
            try:
                self._mail(subject, text)
            except (OSError, ValueError, smtplib.SMTPException) as error:
                problems.append(f"No mail was sent ({_without_secret(error)}).")
        return tuple(problems)

    def _post(self, text: str) -> None:
        if urlsplit(self.webhook).scheme not in ("http", "https"):
            raise ValueError("its URL begins with neither http:// nor https://")
        request = urllib.request.Request(
            self.webhook,
            data=json.dumps({"text": text}).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S):
            pass

    def _mail(self, subject: str, text: str) -> None:
        message = EmailMessage()
        message["Subject"], message["From"] = subject, self.mail_from
        message["To"] = ", ".join(self.mail_to)
        message.set_content(text)
        with _connected(self.mail_server) as server:
            server.send_message(message)


def _connected(url: str) -> smtplib.SMTP:
    parts = urlsplit(url)
    if parts.scheme not in ("smtp", "smtps") or not parts.hostname:
        raise ValueError("the mail server is not given as smtp://host:port or smtps://host:port")
    kind = smtplib.SMTP_SSL if parts.scheme == "smtps" else smtplib.SMTP
    server = kind(parts.hostname, parts.port or 0, timeout=_TIMEOUT_S)
    server.ehlo()
    if parts.scheme == "smtp" and server.has_extn("starttls"):
        server.starttls()
    if parts.username:
        server.login(unquote(parts.username), unquote(parts.password or ""))
    return server


def _without_secret(error: Exception) -> str:
    """What went wrong. Messages of `urllib` may hold the URL, and with it the secret."""
    if isinstance(error, urllib.error.HTTPError):
        error.close()  # it is the answer, too
        return f"HTTP {error.code}"
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    return f"{type(error).__name__}: {reason}"
