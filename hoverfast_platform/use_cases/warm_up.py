"""Getting a machine ready before its first slide: what the first use compiles, compiled now."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from hoverfast_platform.compiled import kept_in
from hoverfast_platform.errors import StorageError
from hoverfast_platform.hv.flooding import grow_markers
from hoverfast_platform.inference.workers import warm_up as compile_post_processing


@dataclass(frozen=True)
class ReadyLoops:
    """The loops of post-processing, compiled.

    Attributes:
        folder: Where their machine code is kept, for this and all later processes.
        seconds: What compiling or loading them took.
    """

    folder: Path
    seconds: float


def warm_up() -> ReadyLoops:
    """Compile the loops of post-processing, or load them where they are compiled already.

    Raises:
        StorageError: If their machine code can be kept nowhere.
    """
    started = time.perf_counter()
    compile_post_processing()
    seconds = time.perf_counter() - started
    folder = kept_in(grow_markers)
    if folder is None:
        raise StorageError(
            "The loops of post-processing were compiled, but their machine code can be kept "
            "nowhere, so every process will compile them again.",
            "Set NUMBA_CACHE_DIR to a folder that can be written, for this command and for all "
            "later ones.",
        )
    return ReadyLoops(folder, seconds)
