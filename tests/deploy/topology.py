"""The processes of compose.yaml on this machine: PostgreSQL, code server, webserver, daemon.

Same settings files, same variables, same commands as in the containers; only addresses and
folders differ.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.conftest import REPOSITORY
from tests.postgres_server import PASSWORD, PostgresServer, free_port

_BIN = Path(sys.executable).parent
_SERVER = REPOSITORY / "deploy" / "server"


class Topology:
    """All processes and what they keep, under one folder."""

    def __init__(self, folder: Path, postgres: PostgresServer) -> None:
        self.folder, self.postgres = folder, postgres
        self.slides, self.artefacts = folder / "slides", folder / "artefacts"
        home = folder / "home"
        for made in (self.slides, self.artefacts, home):
            made.mkdir(parents=True)
        shutil.copy(_SERVER / "dagster.yaml", home)
        (folder / "password").write_text(PASSWORD + "\n")
        self.ports = {"code": free_port(), "webserver": free_port()}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        host = {"DAGSTER_PG_HOST": "127.0.0.1", "DAGSTER_PG_PORT": str(postgres.port)}
        self.environment = {
            # Nothing else of this machine's: what is missing in compose.yaml is missing here.
            "PATH": f"{_BIN}:{os.environ['PATH']}",
            "PYTHONPATH": str(REPOSITORY),
            "HOME": str(folder),
            "OMP_NUM_THREADS": "1",
            "SLURM_CPUS_PER_TASK": "1",
            "DAGSTER_HOME": str(home),
            **host,
            "DAGSTER_PG_USERNAME": "hoverfast",
            "DAGSTER_PG_DB": "dagster",
            "DAGSTER_PG_PASSWORD_FILE": str(folder / "password"),
            "PGPASSWORD_FILE": str(folder / "password"),
            "HOVERFAST_CODE_HOST": "127.0.0.1",
            "HOVERFAST_CODE_PORT": str(self.ports["code"]),
            "HOVERFAST_CATALOGUE": f"postgresql://hoverfast@127.0.0.1:{postgres.port}/hoverfast",
            "HOVERFAST_ARTEFACTS": str(self.artefacts),
            "HOVERFAST_SLIDES": str(self.slides),
            "HOVERFAST_SENSORS": "on",
            "HOVERFAST_SETTLE_S": "1",
            "HOVERFAST_LOST_AFTER_S": "45",  # not the two minutes of a deployment
        }

    @contextlib.contextmanager
    def running(self) -> Iterator[Topology]:
        """Make the databases, start everything in order, end everything."""
        self.postgres.sql("CREATE DATABASE dagster")
        for statement in _statements(_SERVER / "databases.sql"):
            self.postgres.sql(statement)
        try:
            self.once("hoverfast", "catalogue", "upgrade")
            self.once("dagster", "instance", "migrate")
            self.once("dagster", "instance", "concurrency", "set", "gpu", "1")
            for name in ("code", "webserver", "daemon"):
                self.start(name)
            yield self
        finally:
            for name in list(self._processes):
                self.kill(name)

    def once(self, *command: str) -> str:
        """Run a command to its end, as the migrate service does; what it printed."""
        done = subprocess.run(
            [str(REPOSITORY / "deploy" / "entrypoint.sh"), *command],
            cwd=REPOSITORY,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def start(self, name: str) -> None:
        """Start a process and wait until its health check passes."""
        port = str(self.ports.get(name))
        location = ("-m", "hoverfast_platform.assets.definitions", "--location-name", "hoverfast")
        workspace = ("-w", "deploy/server/workspace.yaml")
        command = {
            "code": ("dagster", "code-server", "start", "-h", "127.0.0.1", "-p", port, *location),
            "webserver": ("dagster-webserver", "-h", "127.0.0.1", "-p", port, *workspace),
            "daemon": ("dagster-daemon", "run", *workspace),
        }[name]
        with (self.folder / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [str(REPOSITORY / "deploy" / "entrypoint.sh"), *command],
                cwd=REPOSITORY,
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.wait_for(lambda: self.is_well(name), f"a healthy {name}", within_s=600)

    def kill(self, name: str) -> None:
        """As the kernel or a power cut does; runs are children of the code server."""
        process = self._processes.pop(name)
        if name == "code":
            for pid in _descendants(process.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(30)

    def has_ended(self, name: str) -> bool:
        return self._processes[name].poll() is not None

    def is_well(self, name: str) -> bool:
        """The health check of the container."""
        if name == "webserver":
            try:
                url = f"http://127.0.0.1:{self.ports[name]}/server_info"
                with urllib.request.urlopen(url, timeout=5) as response:
                    return bool(response.status == 200)
            except OSError:
                return False
        check = {
            "code": ("dagster", "api", "grpc-health-check", "-p", str(self.ports["code"])),
            "daemon": ("dagster-daemon", "liveness-check"),
        }[name]
        try:
            done = subprocess.run(
                [str(REPOSITORY / "deploy" / "entrypoint.sh"), *check],
                cwd=REPOSITORY,
                env=self.environment,
                capture_output=True,
                check=False,
                timeout=120,
            )
        except subprocess.TimeoutExpired:
            return False
        return done.returncode == 0

    def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        """The ``data`` of a GraphQL answer."""
        body = json.dumps({"query": query, "variables": variables}).encode()
        url = f"http://127.0.0.1:{self.ports['webserver']}/graphql"
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as response:
            answer = json.load(response)
        assert "errors" not in answer, answer["errors"]
        data: dict[str, Any] = answer["data"]
        return data

    def wait_for(self, condition: Callable[[], Any], what: str, *, within_s: float) -> Any:
        """The first truthy answer; every process we started must stay alive meanwhile."""
        give_up_at = time.monotonic() + within_s
        while not (found := condition()):
            for name, process in self._processes.items():
                assert process.poll() is None, f"{name} ended: {self.log(name)[-3000:]}"
            assert time.monotonic() < give_up_at, f"no {what} within {within_s:.0f} s"
            time.sleep(2)
        return found

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")


def _statements(path: Path) -> list[str]:
    lines = [line for line in path.read_text().splitlines() if not line.startswith("--")]
    return [statement.strip() for statement in "\n".join(lines).split(";") if statement.strip()]


def _descendants(pid: int) -> list[int]:
    import psutil

    return [child.pid for child in psutil.Process(pid).children(recursive=True)]
