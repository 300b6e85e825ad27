"""The device of a run (a GPU, the CPU): one lease per device, one engine per run on it."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
from filelock import FileLock
from pydantic import PrivateAttr

from hoverfast_platform.catalogue import DEFAULT_SCOPE
from hoverfast_platform.config import Compute
from hoverfast_platform.model.registry import find_model, weights_digest
from hoverfast_platform.resources.artefact_folder import ArtefactFolder

if TYPE_CHECKING:
    from hoverfast_platform.inference.engine import SegmentationEngine
    from hoverfast_platform.use_cases.models_in_use import ModelInUse


class LeasedDevice(dg.ConfigurableResource):  # type: ignore[type-arg]
    """A device that one run at a time uses, and the engine that segments slides on it.

    The model is loaded when first asked for. The lease is a file lock: runs that bypass
    Dagster's pools, such as a materialization from a script, wait for it too.
    """

    lease_dir: str = ""
    """Folder of the lock files; the same for all runs, also those of other machines. Empty: in the
    artefact folder."""
    model: str = ""
    """Name or file, for all slides; empty takes the model promoted in a slide's scope, else the one
    promoted by default, else the one that ships for its scale."""
    scope: str = ""
    """For all slides; empty takes each slide's own, by the rules of the pipeline."""
    device: str = "auto"
    n_workers: int = 0

    _engine: SegmentationEngine | None = PrivateAttr(default=None)
    _leases: list[FileLock] = PrivateAttr(default_factory=list)

    def engine(
        self,
        store: ArtefactFolder,
        scope: str = DEFAULT_SCOPE,
        mpp: float | None = None,
        model: str = "",
    ) -> SegmentationEngine:
        """The engine for slides of a scope; waits while another run holds the device.

        One at a time: slides of another model in the same run get an engine of their own.

        Args:
            store: Whose catalogue knows the promoted model.
            scope: Whose promoted model is taken.
            mpp: Micrometres per pixel of the slide, for which the model that ships is chosen.
            model: Name or file, where the run is launched with one.
        """
        wanted = self.model_in_use(store, scope, mpp, model)
        if self._engine is not None and self._engine.model.digest != wanted.sha256:
            self._engine.close()
            self._engine = None
        if self._engine is None:
            from hoverfast_platform.inference.engine import SegmentationEngine

            device = self._take_lease(store)
            self._engine = SegmentationEngine.of(
                wanted.path,
                Compute(device=device, n_workers=self.n_workers),
                for_slides=True,
            )
        return self._engine

    @contextmanager
    def leased(self, store: ArtefactFolder) -> Iterator[str]:
        """The device, for a step of several in a run; waits while another run has it.

        Given back at the end of the step: Dagster gives the pool's slot to another run then,
        and that one would wait for the lease while the next step here waits for the slot.
        """
        try:
            yield self._take_lease(store)
        finally:
            self._give_back()

    def _take_lease(self, store: ArtefactFolder) -> str:
        from hoverfast_platform.inference.backends.devices import resolve_devices

        # Of the device itself: "auto" and "cuda:0" may be the same one.
        devices = resolve_devices(self.device)
        if not self._leases:
            folder = Path(self.lease_dir or Path(store.root) / "leases")
            folder.mkdir(parents=True, exist_ok=True)
            for name in sorted(map(lease_name, devices)):  # in one order: nobody waits in a ring
                lease = FileLock(folder / f"{name}.lock")
                lease.acquire()
                self._leases.append(lease)
        return ",".join(devices)

    def model_in_use(
        self,
        store: ArtefactFolder,
        scope: str = DEFAULT_SCOPE,
        mpp: float | None = None,
        model: str = "",
    ) -> ModelInUse:
        """What slides of a scope and scale are segmented with, unless a setting says otherwise.

        Raises:
            CheckpointError: If its file is missing, or is not the one that was promoted.
        """
        from hoverfast_platform.use_cases.models_in_use import ModelInUse, model_in_use

        if model or self.model:
            path = find_model(model or self.model)
            return ModelInUse(scope, weights_digest(path), path)
        with store.open_catalogue() as catalogue:
            elsewhere = store.learning().model_file
            return model_in_use(catalogue, self.scope or scope, mpp, elsewhere)

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:
        """End the workers and give the device back."""
        if self._engine is not None:
            self._engine.close()
            self._engine = None
        self._give_back()

    def _give_back(self) -> None:
        while self._leases:
            self._leases.pop().release()


def lease_name(device: str) -> str:
    """What a lease is of: the very GPU, whichever container sees it and under which number.

    Anything else is leased per machine, or per container, which has its own share of the cores.
    """
    if device.startswith("cuda"):
        import torch

        return f"gpu-{torch.cuda.get_device_properties(device).uuid}"
    return f"{device}-{platform.node()}"
