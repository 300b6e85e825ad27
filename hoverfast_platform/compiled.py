"""Machine code for loops over pixels and vertices: the one module that knows numba.

A function is compiled at its first call and the code is kept beside its source, or in the
user's cache folder where that cannot be written (``NUMBA_CACHE_DIR`` names another); several
processes may do so at once. Where nothing can be written, as in a read-only container, every
process compiles for itself, which takes seconds, not results. Kept code is renewed when the
function's own file changes: a compiled function calls compiled ones of its own module only
(``tests/architecture`` holds it to that). Worker processes use this, so it
must not import torch.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

import numba

_LOG = logging.getLogger(__name__)
_P = ParamSpec("_P")
_R = TypeVar("_R")


def compiled(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Compile a function of arrays and numbers; the interpreter's lock is free while it runs."""
    try:
        machine_code = numba.njit(function, cache=True, nogil=True)
    except RuntimeError as error:  # numba found no folder it may write
        _LOG.info("%s is compiled anew in every process: %s", function.__name__, error)
        machine_code = numba.njit(function, nogil=True)
    return cast(Callable[_P, _R], machine_code)
