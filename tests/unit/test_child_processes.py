"""Scripts of people, which do not guard their main part, and Ctrl-C while children start."""

import os
import signal
import subprocess
import sys
import time

import pytest

SCRIPT = """
import multiprocessing, operator
from hoverfast_platform.child_processes import starting_children

print("the script runs")
{start}
    pool = multiprocessing.get_context("spawn").Pool(1)
print(pool.apply(operator.add, (1, 2)))
pool.terminate()
"""


CTRL_C = """
import multiprocessing, sys, time
from hoverfast_platform.child_processes import starting_children
from hoverfast_platform.interruption import end_on_signals

end_on_signals()
with starting_children():
    child = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(9,))
    child.start()
try:
    print("started", flush=True)
    time.sleep(9)
except KeyboardInterrupt as error:
    child.terminate()
    child.join()
    sys.exit(f"heard {error}")
"""


def run(tmp_path, start):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(start=start))
    return subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, check=False, timeout=60
    )


def test_a_script_without_a_guarded_main_part_runs_once(tmp_path):
    done = run(tmp_path, "with starting_children():")

    assert done.stdout == "the script runs\n3\n", done.stderr


def test_the_main_module_is_as_it_was_afterwards():
    from hoverfast_platform.child_processes import starting_children

    main = sys.modules["__main__"]
    before = getattr(main, "__spec__", None), getattr(main, "__file__", None)
    with starting_children():
        assert main.__spec__ is None
        assert not hasattr(main, "__file__")

    assert (getattr(main, "__spec__", None), getattr(main, "__file__", None)) == before


@pytest.mark.parametrize("after_s", [0, 0.02, 0.05])
def test_children_that_still_import_say_nothing_of_ctrl_c(tmp_path, after_s):
    """The terminal tells the parent and its children alike."""
    script = tmp_path / "script.py"
    script.write_text(CTRL_C)
    with subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as parent:
        assert parent.stdout.readline() == "started\n"
        time.sleep(after_s)
        os.killpg(parent.pid, signal.SIGINT)
        _, errors = parent.communicate(timeout=60)

    assert errors.splitlines() == ["heard SIGINT ended the work. Run the same command to go on."]
    assert parent.returncode == 1


def test_ctrl_c_while_children_are_started_is_heard_afterwards(tmp_path):
    from hoverfast_platform.child_processes import starting_children

    begun = []
    with pytest.raises(KeyboardInterrupt), starting_children():
        # Sent to this thread: of the process another thread would hear, where there is one.
        begun.append((signal.raise_signal(signal.SIGINT), "a child"))

    assert begun == [(None, "a child")]
