"""Signals are handled on a stack that exists."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="sigaltstack of Linux")

PROGRAM = """
import ctypes, mmap, os, signal
from hoverfast_platform import signal_stack

memory = mmap.mmap(-1, 65536)
address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
libc = ctypes.CDLL(None)
libc.sigaltstack(ctypes.byref(signal_stack._Stack(address, 0, 65536)), None)
assert signal_stack.signal_stack_address() == address
if {is_mended}:
    signal_stack.use_ordinary_stack_for_signals()
    assert signal_stack.signal_stack_address() is None
libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
libc.munmap(address, 65536)
try:
    os.kill(os.getpid(), signal.SIGINT)
except KeyboardInterrupt:
    os._exit(130)
"""


@pytest.mark.parametrize(("is_mended", "code"), [(False, -11), (True, 130)])
def test_ctrl_c_after_a_library_took_the_stack_away(is_mended, code):
    """The first run shows that the program does what the library did."""
    program = PROGRAM.format(is_mended=is_mended)
    done = subprocess.run([sys.executable, "-c", program], check=False)

    assert done.returncode == code
