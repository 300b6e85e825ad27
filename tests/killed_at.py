"""Killing a process before a step that changes files, and counting such steps."""

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Engine

_WRITES = os.O_WRONLY | os.O_RDWR
_CHANGING = ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate", "os.link")


def killed_before_step(n: int, task: Callable[[], object], folder: object) -> bool:
    """Run ``task`` in a process of its own that is killed before its ``n``-th change of files.

    Counted are renames, removals, new folders and openings for writing below ``folder``.

    Returns:
        False if the task ended before, so that there is no ``n``-th change.
    """
    return _killed(lambda: _be_killed_before(n, str(folder)), task)


def killed_before_statement(n: int, task: Callable[[], object]) -> bool:
    """Run ``task`` in a process of its own, killed before its ``n``-th statement or commit.

    Returns:
        False if the task ended before.
    """
    return _killed(lambda: _be_killed_before_statement(n), task)


def killed_before_request(n: int, task: Callable[[], object]) -> bool:
    """Run ``task`` in a process of its own, killed before its ``n``-th request to an S3 server.

    Returns:
        False if the task ended before.
    """
    return _killed(lambda: _be_killed_before_request(n), task)


def _killed(prepare: Callable[[], None], task: Callable[[], object]) -> bool:
    child = os.fork()
    if child == 0:
        prepare()
        try:
            task()
        except BaseException:
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.WEXITSTATUS(status) == 0, "the task failed by itself"
    return False


def _be_killed_before(n: int, folder: str) -> None:
    left = n

    def count(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal left
        changes = event in _CHANGING or (
            event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITES
        )
        if not changes or not _is_below(arguments[0], folder):
            return
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)


def _be_killed_before_statement(n: int) -> None:
    left = n

    def count(*_arguments: object) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    event.listen(Engine, "before_cursor_execute", count)
    event.listen(Engine, "commit", count)


def _be_killed_before_request(n: int) -> None:
    from aiobotocore.httpsession import AIOHTTPSession

    left, send = n, AIOHTTPSession.send

    async def count(session: Any, request: object) -> object:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return await send(session, request)

    AIOHTTPSession.send = count


def _is_below(path: object, folder: str) -> bool:
    """Removal of a tree goes by descriptor and name, so that a relative name counts."""
    name = os.fsdecode(path) if isinstance(path, str | bytes | os.PathLike) else ""
    return name.startswith(folder) or (bool(name) and not name.startswith("/"))
