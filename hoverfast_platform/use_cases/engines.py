"""Which engine a slide is segmented with where nobody names a model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from hoverfast_platform.config import Compute, Scale
from hoverfast_platform.inference.engine import SegmentationEngine
from hoverfast_platform.model.registry import shipped_for
from hoverfast_platform.slide import open_slide


class ShippedEngines:
    """Engines of the models that ship, each slide's by its scale; one of them at a time.

    Use as a context manager, in the main thread.

    Args:
        compute: Device, precision, workers.
        on_engine: Is told of every engine that is made.
    """

    def __init__(
        self,
        compute: Compute = Compute(),
        on_engine: Callable[[SegmentationEngine], None] = lambda _engine: None,
    ) -> None:
        self._compute = compute
        self._on_engine = on_engine
        self._engine: SegmentationEngine | None = None
        self._name = ""

    def engine(self, slide: Path, scale: Scale) -> SegmentationEngine:
        """The engine for a slide; that of a slide before it stays where it fits.

        Raises:
            UnreadableSlideError, IncompleteSlideError: If the slide cannot be opened.
            MissingMppError, UnsupportedScaleError: If its scale is not known or absurd.
        """
        with open_slide(slide, scale) as reader:
            name = shipped_for(reader.info.mpp.x)
        if self._engine is None or name != self._name:
            self.close()
            self._engine = SegmentationEngine.of(name, self._compute, for_slides=True)
            self._name = name
            self._on_engine(self._engine)
        return self._engine

    def close(self) -> None:
        """End the workers."""
        if self._engine is not None:
            self._engine.close()
            self._engine = None

    def __enter__(self) -> ShippedEngines:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()
