"""A webserver and a daemon of their own, on a scratch instance, and questions put to them."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
_BIN = Path(sys.executable).parent


class RunningPlatform:
    """Everything under one folder: ``slides`` is watched, ``artefacts`` holds what is made."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        self.slides = folder / "slides"
        self.artefacts = folder / "artefacts"
        self.home = folder / "home"
        for made in (self.slides, self.artefacts, self.home):
            made.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / "deploy" / "dagster.yaml", self.home / "dagster.yaml")
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._environment = os.environ | {
            "DAGSTER_HOME": str(self.home),
            "HOVERFAST_ARTEFACTS": str(self.artefacts),
            "HOVERFAST_SLIDES": str(self.slides),
            "HOVERFAST_SENSORS": "on",
            **settings,
        }
        self._webserver: subprocess.Popen[bytes] | None = None
        self._daemon: subprocess.Popen[bytes] | None = None

    @contextlib.contextmanager
    def running(self) -> Iterator[RunningPlatform]:
        """Start both, wait until the code location is loaded, stop both at the end."""
        try:
            self._webserver = self._start(
                "dagster-webserver", "-w", "workspace.yaml", "-h", "127.0.0.1", "-p", str(self.port)
            )
            self.wait_for(self._is_loaded, "the code location", within_s=180)
            self.start_daemon()
            yield self
        finally:
            for process in (self._daemon, self._webserver):
                if process is not None and process.poll() is None:
                    process.terminate()
            for process in (self._daemon, self._webserver):
                if process is not None:
                    _end(process)

    def start_daemon(self) -> None:
        self._daemon = self._start("dagster-daemon", "run", "-w", "workspace.yaml")

    def kill_daemon(self) -> None:
        """As a power cut does: the daemon, its code server and the runs it started."""
        assert self._daemon is not None
        os.killpg(self._daemon.pid, signal.SIGKILL)
        self._daemon.wait()

    def _start(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{program}.log").open("ab") as log:
            return subprocess.Popen(
                [str(_BIN / program), *arguments],
                cwd=REPOSITORY,
                env=self._environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a process group that can be killed as a whole
            )

    def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        """The ``data`` of a GraphQL answer."""
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(
            f"{self.url}/graphql", body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as response:
            answer = json.load(response)
        assert "errors" not in answer, answer["errors"]
        found: dict[str, Any] = answer["data"]
        return found

    def wait_for(self, condition: Callable[[], Any], what: str, *, within_s: float) -> Any:
        """The first truthy answer of a condition, asked every two seconds."""
        deadline = time.monotonic() + within_s
        while True:
            if found := condition():
                return found
            for process in (self._webserver, self._daemon):
                assert process is None or process.poll() is None, f"{process.args} ended"
            assert time.monotonic() < deadline, f"no {what} within {within_s:.0f} s"
            time.sleep(2)

    def _is_loaded(self) -> bool:
        try:
            found = self.ask(
                "{workspaceOrError {... on Workspace {locationEntries {"
                "loadStatus locationOrLoadError {__typename}}}}}"
            )
        except OSError:
            return False
        return [
            entry["locationOrLoadError"]
            for entry in found["workspaceOrError"]["locationEntries"]
            if entry["loadStatus"] == "LOADED"
        ] == [{"__typename": "RepositoryLocation"}]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
