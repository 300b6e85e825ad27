"""Signals end the work with one line and exit code 130, wherever they find the program."""

import os
import signal
import subprocess
import sys
import textwrap

import pytest
from sqlalchemy import text

from hoverfast_platform.catalogue.database import open_database
from hoverfast_platform.errors import ComputeError, HoverFastError, Interrupted
from hoverfast_platform.interruption import end_on_signals
from hoverfast_platform.memory_errors import out_of_memory
from hoverfast_platform.use_cases.outcome import each


@pytest.fixture
def signals():
    before = {number: signal.getsignal(number) for number in (2, 15, 1)}
    end_on_signals()
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
    end_on_signals()
    for number, handler in before.items():
        signal.signal(number, handler)


def test_an_interruption_is_not_taken_for_a_failure_of_what_was_running():
    assert not issubclass(Interrupted, Exception)
    assert not issubclass(Interrupted, HoverFastError)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_a_library_turns_into_its_own_error_still_ends_all_items(signals, number):
    """Machine code that calls Python gives on an error of its own, as OpenVINO's converter does."""
    begun = []

    def make(item):
        begun.append(item)
        try:
            os.kill(os.getpid(), number)
        except BaseException:
            raise RuntimeError("Couldn't get TorchScript module by tracing") from None

    with pytest.raises(Interrupted, match=signal.Signals(number).name):
        list(each(["a", "b"], make, record_failure=lambda *_: None))

    assert begun == ["a"]


class _RaisesInItsEnd:
    """An object whose finaliser is running when the signal comes: Python drops what it raises."""

    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_signal_whose_exception_was_dropped_still_ends_the_work(signals):
    begun = []

    def make(item):
        begun.append(item)
        _RaisesInItsEnd()  # freed at once

    with pytest.raises(Interrupted, match="SIGTERM"):
        list(each(["a", "b"], make, record_failure=lambda *_: None))

    assert begun == ["a"]


def test_ctrl_c_within_a_statement_is_not_a_lost_server(signals, tmp_path, monkeypatch):
    database = open_database(tmp_path / "catalogue.sqlite")

    def interrupted(*_arguments):
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(database.reader.dialect, "do_execute", interrupted)
    with database.reader.connect() as connection, pytest.raises(Interrupted):
        connection.execute(text("SELECT 1"))


def command(code):
    """A program whose one command is the code."""
    return [
        sys.executable,
        "-c",
        "import click, os, signal, sys, time\n"
        "from hoverfast_platform.cli import main\n"
        "@click.command()\n"
        "def task():\n"
        f"{textwrap.indent(textwrap.dedent(code), '    ')}\n"
        "main.hoverfast.get_command = lambda context, name: task\n"
        "sys.argv = ['hoverfast', 'task']\n"
        "main.main()\n",
    ]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_command_ends_with_130_even_where_a_library_hid_the_signal(number):
    code = f"""
        try: os.kill(os.getpid(), {int(number)}); time.sleep(9)
        except BaseException: raise RuntimeError("Conversion is failed for: aten::_convolution")
    """
    done = subprocess.run(command(code), capture_output=True, text=True, check=False)

    assert done.returncode == 130
    assert done.stderr.splitlines() == [
        "Interrupted. What was finished is kept; run the command again."
    ]


DROPPED = """
    class Ends:
        def __del__(self):
            os.kill(os.getpid(), signal.SIGTERM)
    Ends()
    from hoverfast_platform.interruption import raise_if_interrupted
    raise_if_interrupted()
"""


def test_where_python_drops_the_interruption_nothing_of_it_is_shown():
    """It shows a traceback otherwise, before the one line."""
    done = subprocess.run(command(DROPPED), capture_output=True, text=True, check=False)

    assert done.returncode == 130
    assert done.stderr.strip().splitlines() == [
        "Interrupted. What was finished is kept; run the command again."
    ]


def test_other_errors_that_python_drops_are_still_shown():
    code = DROPPED.replace("os.kill(os.getpid(), signal.SIGTERM)", "raise ValueError('a defect')")
    done = subprocess.run(command(code), capture_output=True, text=True, check=False)

    assert done.returncode == 0
    assert "ValueError: a defect" in done.stderr


def test_a_second_signal_while_the_program_ends_adds_nothing():
    """`timeout` tells the command, and then its whole group."""
    code = """
        import atexit
        atexit.register(os.kill, os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
    """
    done = subprocess.run(command(code), capture_output=True, text=True, check=False)

    assert done.returncode == 130
    assert done.stderr.strip().splitlines() == [
        "Interrupted. What was finished is kept; run the command again."
    ]


def test_under_nohup_a_closed_terminal_ends_nothing():
    code = "os.kill(os.getpid(), signal.SIGHUP); click.echo('went on')"
    nohup = ["nohup", *command(code)]
    done = subprocess.run(nohup, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (0, "went on\n")


def test_closed_standard_streams_are_not_given_to_the_next_file(tmp_path):
    """Otherwise what a library prints lands in a database or a result."""
    path = tmp_path / "file"
    code = f"""
        file = os.open({str(path)!r}, os.O_CREAT | os.O_WRONLY)
        assert file > 2, file
        os.write(1, b"said"); os.write(2, b"said"); click.echo("said")
    """
    shell = ["bash", "-c", 'exec "$@" <&- >&- 2>&-', "bash", *command(code)]
    done = subprocess.run(shell, check=False)

    assert done.returncode == 0
    assert path.read_bytes() == b""


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("Unable to allocate 3.00 GiB for an array"),
        OSError(12, "Cannot allocate memory"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate"),
        RuntimeError("Check 'x' failed: std::bad_alloc"),
        RuntimeError("Exception from core.cpp:117:\nExc from plugin.cpp:54:\ncan't alloc\n"),
    ],
)
def test_a_library_that_lacks_memory_is_one_named_error(error):
    def make(item):
        raise error

    (outcome,) = each(["a"], make, record_failure=lambda *_: None)

    assert outcome.kind == "compute"
    assert "Memory ran out: " in outcome.failure_text
    assert "ulimit -v" in outcome.failure_text
    assert out_of_memory(ValueError("something else")) is None
    assert out_of_memory(ComputeError("CUDA out of memory")) is None
