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

import functools
import inspect
import logging
import multiprocessing
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

import numba

_LOG = logging.getLogger(__name__)
_P = ParamSpec("_P")
_R = TypeVar("_R")


def compiled(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Compile a function of arrays and numbers; the interpreter's lock is free while it runs."""
    # Nobody calls these from C; without the wrapper for it a quarter less is compiled.
    # The stubs do not know this option.
    compile_it: Any = functools.partial(numba.njit, function, nogil=True, no_cfunc_wrapper=True)
    try:
        machine_code = compile_it(cache=True)
    except RuntimeError as error:  # numba found no folder it may write
        _LOG.info("%s is compiled anew in every process: %s", function.__name__, error)
        _tell_that_nothing_is_kept()
        machine_code = compile_it()
    return cast(Callable[_P, _R], machine_code)


@functools.cache
def _tell_that_nothing_is_kept() -> None:
    """Say it once, and not again in every worker process."""
    if multiprocessing.parent_process() is None:
        _LOG.warning(
            "Machine code can be kept nowhere, so every process compiles its loops for some "
            "seconds. Set NUMBA_CACHE_DIR to a folder that can be written."
        )


def kept_in(function: Callable[..., object]) -> Path | None:
    """The folder in which machine code of a compiled function is kept; None: nowhere."""
    folder = cast(Any, function).stats.cache_path
    return None if folder is None else Path(folder)


def is_kept(function: Callable[..., object]) -> bool:
    """Whether machine code of a compiled function lies on the disk, of whatever version."""
    folder, plain = kept_in(function), cast(Any, function).py_func
    if folder is None:
        return False
    name = f"{Path(inspect.getfile(plain)).stem}.{plain.__qualname__}"
    return any(folder.glob(f"{name}-*.nbi"))
