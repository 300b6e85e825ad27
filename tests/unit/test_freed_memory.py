"""What a process keeps of what it freed; each asked in a process of its own."""

import subprocess
import sys

import pytest

_MIB = 2**20
_SCRIPT = """
import sys, numpy as np, psutil
from hoverfast_platform import freed_memory
getattr(freed_memory, sys.argv[1])()
before = psutil.Process().memory_info().rss
arrays = [np.ones(8 * 2**20, np.uint8) for _ in range(16)]
pinned = np.ones(2**16, np.uint8)  # lies above them where they came from a heap
del arrays
print(psutil.Process().memory_info().rss - before)
"""


def kept_bytes(setting):
    """Of 128 MiB in arrays of 8 MiB."""
    told = subprocess.run(
        [sys.executable, "-c", _SCRIPT, setting], capture_output=True, text=True, check=True
    )
    return int(told.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's settings")
def test_large_arrays_are_given_back_or_kept():
    assert kept_bytes("give_back_large_arrays") < 8 * _MIB
    assert kept_bytes("keep_freed_memory") > 100 * _MIB
