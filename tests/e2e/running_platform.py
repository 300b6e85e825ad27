"""A webserver, a daemon and a code server of their own, on a scratch instance.

As in a deployment one code server serves both and starts the runs; without it each of the two
would start its own anew every minute.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil

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
        self._port, self._code_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self._workspace = folder / "workspace.yaml"
        self._workspace.write_text(
            "load_from:\n  - grpc_server: {host: 127.0.0.1, "
            f"port: {self._code_port}, location_name: hoverfast}}\n"
        )
        self._environment = os.environ | {
            "DAGSTER_HOME": str(self.home),
            "HOVERFAST_ARTEFACTS": str(self.artefacts),
            "HOVERFAST_SLIDES": str(self.slides),
            "HOVERFAST_SENSORS": "on",
            **settings,
        }
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    @contextlib.contextmanager
    def running(self) -> Iterator[RunningPlatform]:
        """Start all three, wait until the code location is loaded, stop all at the end."""
        workspace = ("-w", str(self._workspace))
        try:
            self._start_code_server()
            self.wait_for(self._serves_code, "code server", within_s=600)
            self._start("dagster-webserver", *workspace, "-h", "127.0.0.1", "-p", str(self._port))
            self._start("dagster-daemon", "run", *workspace)
            self.wait_for(self._is_loaded, "the code location", within_s=600)
            yield self
        finally:
            for process in self._processes.values():
                process.terminate()
            for process in self._processes.values():
                _end(process)

    def kill_all_but_webserver(self) -> int:
        """As a power cut does: daemon, code server and the runs it started; how many processes."""
        n_killed = 0
        for program in ("dagster-daemon", "dagster"):
            process = psutil.Process(self._processes[program].pid)
            for one in (process, *process.children(recursive=True)):
                with contextlib.suppress(psutil.NoSuchProcess):
                    one.kill()
                    n_killed += 1
            self._processes[program].wait()
        return n_killed

    def start_again(self) -> None:
        self._start_code_server()
        self._start("dagster-daemon", "run", "-w", str(self._workspace))

    def _start_code_server(self) -> None:
        where = ("-h", "127.0.0.1", "-p", str(self._code_port))
        self._start("dagster", "api", "grpc", "-m", "hoverfast_platform.assets.definitions", *where)

    def _start(self, program: str, *arguments: str) -> None:
        with (self.folder / f"{program}.log").open("ab") as log:
            self._processes[program] = subprocess.Popen(
                [str(_BIN / program), *arguments],
                cwd=REPOSITORY,
                env=self._environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the test, which then stops them in order
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
        """The first truthy answer of a condition, asked every two seconds.

        No answer is no yes: a server may be starting, or its machine be busy.
        """
        deadline = time.monotonic() + within_s
        while True:
            with contextlib.suppress(OSError):
                if found := condition():
                    return found
            for program, process in self._processes.items():
                assert process.poll() is None, f"{program} ended: see {self.folder}"
            assert time.monotonic() < deadline, (
                f"no {what} within {within_s:.0f} s; logs are in {self.folder}"
            )
            time.sleep(2)

    def _serves_code(self) -> bool:
        with socket.create_connection(("127.0.0.1", self._code_port), timeout=5):
            return True

    def _is_loaded(self) -> bool:
        found = self.ask(
            "{workspaceOrError {... on Workspace {locationEntries {"
            "loadStatus locationOrLoadError {__typename ... on PythonError {message}}}}}}"
        )
        entries = found["workspaceOrError"]["locationEntries"]
        loaded = [e["locationOrLoadError"] for e in entries if e["loadStatus"] == "LOADED"]
        for location in loaded:
            assert location["__typename"] == "RepositoryLocation", location["message"]
        return bool(loaded)


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
