"""Scripts of people, which do not guard their main part."""

import subprocess
import sys

SCRIPT = """
import multiprocessing, operator
from hoverfast_platform.child_processes import main_not_imported_again

print("the script runs")
{start}
    pool = multiprocessing.get_context("spawn").Pool(1)
print(pool.apply(operator.add, (1, 2)))
pool.terminate()
"""


def run(tmp_path, start):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(start=start))
    return subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, check=False, timeout=60
    )


def test_a_script_without_a_guarded_main_part_runs_once(tmp_path):
    done = run(tmp_path, "with main_not_imported_again():")

    assert done.stdout == "the script runs\n3\n", done.stderr


def test_the_main_module_is_as_it_was_afterwards():
    from hoverfast_platform.child_processes import main_not_imported_again

    main = sys.modules["__main__"]
    before = getattr(main, "__spec__", None), getattr(main, "__file__", None)
    with main_not_imported_again():
        assert main.__spec__ is None
        assert not hasattr(main, "__file__")

    assert (getattr(main, "__spec__", None), getattr(main, "__file__", None)) == before
