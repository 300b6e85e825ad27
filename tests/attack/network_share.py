"""A folder as a network share shows it: a soft mount whose server fails when it is told to.

``python -m tests.attack.network_share ROOT MOUNT [no-locks] [old-attributes]`` mounts ROOT on
MOUNT through FUSE and reads commands, one JSON a line, from its input: a :class:`Fault`, or null
for a healthy server. It answers each with the number of operations since the command before, and
ends when its input does. :func:`mounted_share` runs it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mfusepy import FUSE, Operations

NOT_IDEMPOTENT = frozenset(("rename", "unlink", "mkdir", "rmdir", "link"))
"""What a client that sends it again is told did not work, although it did the first time."""

OLD_FOR_S = 3.0
"""How long attributes are kept by a client that was mounted with ``old-attributes``."""


@dataclasses.dataclass(frozen=True)
class Fault:
    """What the server does wrong, and when.

    Attributes:
        kind: ``once``, an operation fails; ``away``, every one from then on; ``stale``, handles
            that are open then are not known any more; ``retried``, an operation is done, and the
            answer says otherwise; ``late``, written bytes are lost, which closing tells.
        nth: Number of the operation, counted from 1. Of ``retried`` and ``late`` only those
            that can be are counted.
        error: Name of the error, for ``once``, ``away`` and ``late``.
        only: Operations that are counted; empty takes all.
    """

    kind: str
    nth: int
    error: str = "EIO"
    only: tuple[str, ...] = ()


class Server:
    """Counts operations and says which fail."""

    def __init__(self) -> None:
        self._fault: Fault | None = None
        self.n_operations = 0
        self.n_counted = 0
        self.has_struck = False

    def told(self, fault: Fault | None) -> dict[str, object]:
        """Change what is wrong; what happened since the last time."""
        happened = {"operations": self.n_operations, "struck": self.has_struck}
        self._fault, self.n_operations, self.n_counted = fault, 0, 0
        self.has_struck = False
        return happened

    def strikes(self, operation: str) -> Fault | None:
        """The fault, if it is this operation that suffers it."""
        self.n_operations += 1
        fault = self._fault
        if fault is None:
            return None
        if fault.kind == "away" and self.has_struck:
            return fault
        if not self._is_counted(operation, fault):
            return None
        self.n_counted += 1
        if self.n_counted != fault.nth:
            return None
        self.has_struck = True
        return fault

    @staticmethod
    def _is_counted(operation: str, fault: Fault) -> bool:
        if fault.kind == "retried":
            return operation in NOT_IDEMPOTENT
        if fault.kind == "late":
            return operation == "write"
        return not fault.only or operation in fault.only


class Share(Operations):  # type: ignore[misc]  # the binding has no types
    """Passes everything on to the folder, unless the server fails."""

    use_ns = True

    def __init__(self, root: Path, server: Server) -> None:
        self._root, self._server = str(root), server
        self._paths: dict[int, str] = {}
        self._stale: set[int] = set()
        self._late: dict[int, int] = {}

    def _real(self, path: str) -> Path:
        """Where it lies; files that were removed while open are called as NFS calls them."""
        return Path(self._root + path.replace("/.fuse_hidden", "/.nfs"))

    def _begin(self, operation: str, handle: int | None = None) -> Fault | None:
        """Fail if the server does; the fault if the operation itself has to see to it."""
        fault = self._server.strikes(operation)
        if fault is not None and fault.kind == "stale":
            self._stale |= set(self._paths)
        if handle in self._stale:
            raise OSError(errno.ESTALE, "stale")
        if fault is not None and fault.kind in ("once", "away"):
            raise OSError(getattr(errno, fault.error), fault.error)
        return fault

    def _end(self, operation: str, fault: Fault | None) -> int:
        """Answer as to a request that came twice."""
        if fault is not None and fault.kind == "retried":
            made = operation in ("mkdir", "link")
            raise OSError(errno.EEXIST if made else errno.ENOENT, "sent again")
        return 0

    # Names

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        """Coarse times, as many servers keep them."""
        self._begin("getattr", fh)
        found = os.fstat(fh) if fh is not None else self._real(path).lstat()
        names = ("mode", "nlink", "uid", "gid", "size", "ino", "blocks")
        second = 10**9
        return {f"st_{name}": getattr(found, f"st_{name}") for name in names} | {
            f"st_{name}": getattr(found, f"st_{name}_ns") // second * second
            for name in ("atime", "mtime", "ctime")
        }

    def readdir(self, path: str, fh: int) -> list[tuple[str, dict[str, int], int]]:
        self._begin("readdir")
        with os.scandir(self._real(path)) as found:
            numbers = {entry.name: entry.inode() for entry in found}
        named = {".": 1, "..": 1} | numbers
        return [(name, {"st_ino": number}, 0) for name, number in named.items()]

    def statfs(self, path: str) -> dict[str, int]:
        self._begin("statfs")
        found = os.statvfs(self._real(path))
        names = ("bavail", "bfree", "blocks", "bsize", "favail", "ffree", "files", "frsize")
        return {f"f_{name}": getattr(found, f"f_{name}") for name in names}

    def mkdir(self, path: str, mode: int) -> int:
        fault = self._begin("mkdir")
        self._real(path).mkdir(mode)
        return self._end("mkdir", fault)

    def rmdir(self, path: str) -> int:
        fault = self._begin("rmdir")
        self._real(path).rmdir()
        return self._end("rmdir", fault)

    def unlink(self, path: str) -> int:
        """An open file stays under another name until it is closed; libfuse calls ``rename``."""
        fault = self._begin("unlink")
        self._real(path).unlink()
        return self._end("unlink", fault)

    def rename(self, old: str, new: str) -> int:
        fault = self._begin("rename")
        self._real(old).replace(self._real(new))
        return self._end("rename", fault)

    def link(self, target: str, source: str) -> int:
        fault = self._begin("link")
        os.link(self._real(source), self._real(target))
        return self._end("link", fault)

    def symlink(self, target: str, source: str) -> int:
        self._begin("symlink")
        self._real(target).symlink_to(source)
        return 0

    def readlink(self, path: str) -> str:
        self._begin("readlink")
        return str(self._real(path).readlink())

    def chmod(self, path: str, mode: int) -> int:
        self._begin("chmod")
        self._real(path).chmod(mode)
        return 0

    def chown(self, path: str, uid: int, gid: int) -> int:
        self._begin("chown")
        os.chown(self._real(path), uid, gid)
        return 0

    def utimens(self, path: str, times: tuple[int, int] | None = None) -> int:
        self._begin("utimens")
        os.utime(self._real(path), ns=times)
        return 0

    # Contents

    def create(self, path: str, mode: int, fi: object = None) -> int:
        self._begin("create")
        handle = os.open(self._real(path), os.O_RDWR | os.O_CREAT, mode)
        self._paths[handle] = path
        return handle

    def open(self, path: str, flags: int) -> int:
        self._begin("open")
        handle = os.open(self._real(path), flags)
        self._paths[handle] = path
        return handle

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        self._begin("read", fh)
        return os.pread(fh, size, offset)

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        fault = self._begin("write", fh)
        if fault is not None and fault.kind == "late":
            wanted = os.fstat(fh).st_ino
            same = [handle for handle in self._paths if os.fstat(handle).st_ino == wanted]
            self._late |= dict.fromkeys(same, getattr(errno, fault.error))
            return len(data)
        return os.pwrite(fh, data, offset)

    def truncate(self, path: str, length: int, fh: int | None = None) -> int:
        self._begin("truncate", fh)
        os.truncate(self._real(path) if fh is None else fh, length)
        return 0

    def flush(self, path: str, fh: int) -> int:
        self._begin("flush", fh)
        self._tell_late(fh)
        return 0

    def fsync(self, path: str, datasync: int, fh: int) -> int:
        self._begin("fsync", fh)
        self._tell_late(fh)
        return 0

    def release(self, path: str, fh: int) -> int:
        self._paths.pop(fh, None)
        self._stale.discard(fh)
        self._late.pop(fh, None)
        os.close(fh)
        return 0

    def _tell_late(self, handle: int) -> None:
        """Once to each who has the file open, as a client does."""
        if (number := self._late.pop(handle, 0)) != 0:
            raise OSError(number, "told late")


class ShareWithoutLocks(Share):
    """Exported without a lock service."""

    def lock(self, path: str, fh: int, cmd: int, lock: object) -> int:
        raise OSError(errno.ENOLCK, "no locks")

    def flock(self, path: str, fh: int, op: int) -> int:
        raise OSError(errno.ENOLCK, "no locks")


class MountedShare:
    """A mounted share.

    Args:
        process: The process that serves it.
        root: What the server holds, as it sees it itself.
        path: Where it is mounted.
    """

    def __init__(self, process: subprocess.Popen[str], root: Path, path: Path) -> None:
        self._process, self.root, self.path = process, root, path

    def fail(self, fault: Fault) -> None:
        """Let the server fail from now on."""
        self._tell(dataclasses.asdict(fault))

    def heal(self) -> dict[str, Any]:
        """Let the server be well; how many operations there were, and whether a fault struck."""
        return self._tell(None)

    def _tell(self, command: dict[str, object] | None) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer


@contextlib.contextmanager
def mounted_share(root: Path, path: Path, *options: str) -> Iterator[MountedShare]:
    """Mount a folder as a network share; both folders are made.

    Raises:
        TimeoutError: If it is not mounted after ten seconds.
    """
    root.mkdir(parents=True, exist_ok=True)
    path.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "tests.attack.network_share", str(root), str(path), *options]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    ) as process:
        try:
            ends = time.monotonic() + 10
            while not path.is_mount():
                if time.monotonic() > ends or process.poll() is not None:
                    raise TimeoutError(f"{path} was not mounted")
                time.sleep(0.02)
            yield MountedShare(process, root, path)
        finally:  # lazily: what still uses it must not keep anybody waiting
            subprocess.run(["fusermount3", "-u", "-z", str(path)], check=False, timeout=10)
            process.kill()


def main(root: Path, path: Path, options: list[str]) -> None:
    server = Server()

    def obey() -> None:
        for line in sys.stdin:
            command = json.loads(line)
            if command is not None:
                command = Fault(**command | {"only": tuple(command["only"])})
            sys.stdout.write(json.dumps(server.told(command)) + "\n")
            sys.stdout.flush()

    threading.Thread(target=obey, daemon=True).start()
    share = (ShareWithoutLocks if "no-locks" in options else Share)(root, server)
    kept_s = OLD_FOR_S if "old-attributes" in options else 1.0
    FUSE(
        share,
        str(path),
        foreground=True,
        nothreads=True,
        big_writes=True,
        use_ino=True,
        fsname="server:/export",
        attr_timeout=kept_s,
        entry_timeout=kept_s,
        ac_attr_timeout=kept_s,
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute(), Path(sys.argv[2]).absolute(), sys.argv[3:])
