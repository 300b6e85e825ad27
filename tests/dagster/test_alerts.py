"""People are told of failed runs, over a real web hook and a real mail server of this test."""

import json
import socketserver
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import dagster as dg
import pytest

from hoverfast_platform.assets.alerts import Alerts, failed_runs_sensor
from hoverfast_platform.resources.alert_channels import AlertChannels


@contextmanager
def serving(server):
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def hook():
    """The port of a web hook, what it was sent, and the status it answers with."""
    got, status = [], [200]

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self):
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(status[0])
            self.end_headers()

        def log_message(self, *args):
            pass

    with serving(HTTPServer(("127.0.0.1", 0), Hook)) as port:
        yield port, got, status


@pytest.fixture
def mail():
    """The port of a mail server, and the mails it took."""
    got = []

    class Mail(socketserver.StreamRequestHandler):
        def handle(self):
            def say(line):
                self.wfile.write(line.encode() + b"\r\n")

            say("220 test")
            while line := self.rfile.readline().decode().strip():
                if line.upper() == "DATA":
                    say("354 go on")
                    lines = iter(self.rfile.readline, b".\r\n")
                    got.append(b"".join(lines).decode())
                say("221 bye" if line.upper() == "QUIT" else "250 ok")
                if line.upper() == "QUIT":
                    return

    with serving(socketserver.TCPServer(("127.0.0.1", 0), Mail)) as port:
        yield port, got


@dg.asset
def bad():
    raise dg.Failure("1 of 3 slides failed. p1-0123456789: missing_mpp", allow_retries=False)


def tell(alerts, **tags):
    """A failed run, and what its sensor does."""
    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize([bad], instance=instance, raise_on_error=False, tags=tags)
        context = dg.build_run_status_sensor_context(
            sensor_name="failed_runs",
            dagster_event=result.get_run_failure_event(),
            dagster_instance=instance,
            dagster_run=result.dagster_run,
        ).for_run_failure()
        failed_runs_sensor(is_on=True)(context, alerts=alerts)
    return result.run_id


def test_a_failed_run_is_told_by_hook_and_mail_with_reason_and_link(hook, mail):
    (hook_port, posted, _), (mail_port, mails) = hook, mail
    alerts = AlertChannels(
        webhook=f"http://127.0.0.1:{hook_port}/secret",
        mail_server=f"smtp://127.0.0.1:{mail_port}",
        mail_to=["it@hospital.example", "lab@hospital.example"],
        ui_url="https://dagster.example/",
    )

    run_id = tell(alerts)

    (message,) = posted
    assert "bad" in message["text"]
    assert "p1-0123456789: missing_mpp" in message["text"]
    assert f"https://dagster.example/runs/{run_id}" in message["text"]
    (sent,) = mails
    assert "To: it@hospital.example, lab@hospital.example" in sent
    assert "missing_mpp" in sent


def test_a_run_that_is_tried_again_is_not_told(hook):
    port, posted, _ = hook

    tell(AlertChannels(webhook=f"http://127.0.0.1:{port}"), **{"dagster/will_retry": "true"})

    assert posted == []


def test_a_channel_that_fails_is_named_without_its_secret_and_stops_no_other(hook, mail):
    (port, _, status), (mail_port, mails) = hook, mail
    status[0] = 500
    alerts = AlertChannels(
        webhook=f"http://127.0.0.1:{port}/secret",
        mail_server=f"smtp://127.0.0.1:{mail_port}",
        mail_to=["it@hospital.example"],
    )

    with pytest.raises(Exception, match=r"not reached .HTTP 500") as caught:
        tell(alerts)

    assert "secret" not in str(caught.value)
    assert len(mails) == 1


def test_the_sensor_is_off_until_somebody_is_named():
    def status(**attributes):
        (sensor,) = dg.build_defs_for_component(Alerts(**attributes)).sensors
        return sensor.default_status.value

    assert status() == "STOPPED"
    assert status(mail_server_variable="MAIL") == "STOPPED"
    assert status(mail_server_variable="MAIL", mail_to=["it@hospital.example"]) == "RUNNING"
    assert status(webhook_variable="HOOK") == "RUNNING"
