"""Write the regions of a slide to blocks on disk, and these to the files of the result.

All of this happens while other tiles are predicted: a thread writes blocks, workers make and check
the QuPath features of each block, and the thread adds them to table and preview in the order of the
slide.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from hoverfast_platform.inference.workers import STALLED_S, RegionNuclei, StalledWorkersError

Ids = npt.NDArray[np.uint8]
"""``(N, 16)`` the bytes of nuclei's ids."""


class BlockWriter:
    """Takes regions in any order; a context manager, which ends its thread.

    Args:
        n_tiles: Number of tiles of the slide.
        tiles_per_block: Consecutive tiles of a block.
        write_block: Stores a block's regions, by the indices of their tiles.
        make_features: Has a worker make the features of a block on disk.
        add_block: Adds a block to the files of the result; called in order.
    """

    def __init__(
        self,
        n_tiles: int,
        tiles_per_block: int,
        *,
        write_block: Callable[[int, dict[int, RegionNuclei]], None],
        make_features: Callable[[int], Future[Ids]],
        add_block: Callable[[int, Ids], None],
    ) -> None:
        self._n_tiles, self._tiles_per_block = n_tiles, tiles_per_block
        self._write_block, self._make_features = write_block, make_features
        self._add_block = add_block
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="write")
        self._waiting: dict[int, dict[int, RegionNuclei]] = {}
        self._writes: dict[int, Future[None]] = {}
        self._features: dict[int, Future[Ids]] = {}
        self._jobs: deque[Future[None]] = deque()
        self._n_added = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self._thread.shutdown(wait=True, cancel_futures=True)

    @property
    def n_blocks(self) -> int:
        return -(-self._n_tiles // self._tiles_per_block)

    def run(self, job: Callable[..., None], *arguments: Any) -> None:
        """Have the thread do something in its turn; an error ends the slide."""
        self._jobs.append(self._thread.submit(job, *arguments))

    def take(self, tile_index: int, region: RegionNuclei) -> None:
        """A tile's nuclei; the last of a block has the block written."""
        block = tile_index // self._tiles_per_block
        self._waiting.setdefault(block, {})[tile_index] = region
        n_wanted = min(self._tiles_per_block, self._n_tiles - block * self._tiles_per_block)
        if len(self._waiting[block]) == n_wanted:
            regions = self._waiting.pop(block)
            self._writes[block] = self._thread.submit(self._write_block, block, regions)
        self._advance()

    def take_finished(self, block: int) -> None:
        """A block that an earlier run has written."""
        self._features[block] = self._make_features(block)

    def finish(self) -> None:
        """Wait until every block is added and the thread has nothing to do."""
        for block in list(self._writes):
            self._begin_features(block)
        while self._n_added < self.n_blocks:
            self._add_next()
        while self._jobs:
            self._jobs.popleft().result()

    def _advance(self) -> None:
        """What can be done without waiting; failures end the slide now, not at the end."""
        for block in [block for block, write in self._writes.items() if write.done()]:
            self._begin_features(block)
        while self._n_added in self._features and self._features[self._n_added].done():
            self._add_next()
        while self._jobs and self._jobs[0].done():
            self._jobs.popleft().result()

    def _begin_features(self, block: int) -> None:
        self._writes.pop(block).result()
        self._features[block] = self._make_features(block)

    def _add_next(self) -> None:
        block = self._n_added
        features = self._features.pop(block)
        if wait([features], STALLED_S).not_done:
            raise StalledWorkersError
        self.run(self._add_block, block, features.result())
        self._n_added += 1
