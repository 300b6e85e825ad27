"""Compiled code where its cache can and cannot be written."""

import os
import subprocess
import sys

_CODE = """
import logging, sys
logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(message)s")
import numpy as np
from hoverfast_platform.half_precision import to_float32
print(to_float32(np.array([0.5, -2], np.float16)).tolist())
"""


def run_with_cache_in(folder, code=_CODE):
    """The only folder numba may use."""
    environment = {
        **os.environ,
        "NUMBA_CACHE_DIR": str(folder),
        "NUMBA_CACHE_LOCATOR_CLASSES": "UserProvidedCacheLocator",
    }
    return subprocess.Popen(
        [sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True
    )


def test_several_processes_may_fill_one_cache(tmp_path):
    processes = [run_with_cache_in(tmp_path / "cache") for _ in range(2)]

    assert [process.communicate()[0] for process in processes] == ["[0.5, -2.0]\n"] * 2
    assert list((tmp_path / "cache").rglob("*.nbc"))


def test_results_are_the_same_where_nothing_can_be_written(tmp_path):
    (tmp_path / "file").touch()  # no folder can be made below a file, not even by root

    output, _ = run_with_cache_in(tmp_path / "file" / "cache").communicate()

    assert "_widened is compiled anew in every process" in output
    assert output.count("Set NUMBA_CACHE_DIR") == 1
    assert output.endswith("[0.5, -2.0]\n")


def test_it_is_known_whether_machine_code_is_kept(tmp_path):
    code = (
        "import numpy as np;from hoverfast_platform.compiled import is_kept;"
        "from hoverfast_platform import half_precision as h;print(is_kept(h._widened));"
        "h.to_float32(np.zeros(2, np.float16)); print(is_kept(h._widened))"
    )
    output, _ = run_with_cache_in(tmp_path / "cache", code).communicate()
    (tmp_path / "file").touch()
    nowhere, _ = run_with_cache_in(tmp_path / "file" / "cache", code).communicate()

    assert output.split() == ["False", "True"]
    assert nowhere.split() == ["False", "False"]
