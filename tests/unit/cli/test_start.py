"""A signal while the commands are still imported ends with one line, not with a traceback."""

import signal
import subprocess
import sys
import tomllib

import pytest

from tests.conftest import REPOSITORY

_STRUCK_WHILE_IMPORTING = """
import importlib.abc, os, signal, sys

class Strike(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "{module}":
            os.kill(os.getpid(), {number})
        return None

sys.meta_path.insert(0, Strike())
sys.argv = ["hoverfast", "--version"]
if {is_ignored}:
    signal.signal({number}, signal.SIG_IGN)
from hoverfast_platform.cli.start import main
main()
"""


def struck(number, module, *, is_ignored=False):
    code = _STRUCK_WHILE_IMPORTING.format(number=int(number), module=module, is_ignored=is_ignored)
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("module", ["hoverfast_platform.cli.main", "click", "pydantic"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_before_the_command_runs_is_one_line(number, module):
    done = struck(number, module)

    assert done.returncode == 130
    assert done.stderr == "Interrupted. Nothing was begun; run the command again.\n"
    assert done.stdout == ""


def test_a_signal_that_the_caller_ignores_stays_ignored():
    """As under nohup."""
    done = struck(signal.SIGHUP, "click", is_ignored=True)

    assert done.returncode == 0
    assert "hoverfast" in done.stdout


def test_nothing_large_is_imported_before_signals_are_heard():
    code = (
        "import sys; import hoverfast_platform.cli.start\n"
        "assert not {'click', 'pydantic', 'numpy', 'asyncio'} & set(sys.modules)\n"
    )

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_installed_commands_begin_there():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]

    assert set(project["scripts"].values()) == {"hoverfast_platform.cli.start:main"}
