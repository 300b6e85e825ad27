"""The compute (GPU) resource: one model and worker pool per run, one lease per device."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
from filelock import FileLock
from pydantic import PrivateAttr

from hoverfast_platform import config
from hoverfast_platform.model.registry import DEFAULT_MODEL

if TYPE_CHECKING:
    from hoverfast_platform.inference.engine import SegmentationEngine


class Compute(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Batched inference on a device, with post-processing processes beside it.

    The model is loaded when first asked for. The lease is a file lock: runs that bypass
    Dagster's pools, such as a materialization from a script, wait for it too.
    """

    lease_dir: str
    """Folder of the lock files; the same for all runs on a machine."""
    model: str = DEFAULT_MODEL
    device: str = "auto"
    n_workers: int = 0

    _engine: SegmentationEngine | None = PrivateAttr(default=None)
    _lease: FileLock | None = PrivateAttr(default=None)

    def engine(self) -> SegmentationEngine:
        """The engine of this run; waits while another run holds the device."""
        if self._engine is None:
            from hoverfast_platform.inference.engine import SegmentationEngine
            from hoverfast_platform.inference.predictors import resolve_device

            folder = Path(self.lease_dir)
            folder.mkdir(parents=True, exist_ok=True)
            # Of the device itself: "auto" and "cuda:0" may be the same one.
            device = resolve_device(self.device)
            self._lease = FileLock(folder / f"{device.replace(':', '-')}.lock")
            self._lease.acquire()
            self._engine = SegmentationEngine.of(
                self.model, config.Compute(device=device, n_workers=self.n_workers)
            )
        return self._engine

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:
        """End the workers and give the device back."""
        if self._engine is not None:
            self._engine.close()
            self._engine = None
        if self._lease is not None:
            self._lease.release()
            self._lease = None
