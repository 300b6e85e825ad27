"""Where slides, masks, results and the catalogue are."""

from __future__ import annotations

from pathlib import Path

import dagster as dg

from hoverfast_platform.catalogue import Catalogue, FailureRecord, SegmentationRecord
from hoverfast_platform.config import Scale, SegmentationSettings
from hoverfast_platform.errors import HoverFastError


class PlatformStore(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The artefact folder and the catalogue in it."""

    root: str
    """Folder for masks, results and the catalogue; made if need be."""
    mpp_override: float | None = None
    """Micrometres per level-0 pixel for slides that do not say, recorded with the result."""

    def register(self, slide: Path) -> str:
        """Add a slide to the catalogue; returns its partition key.

        Raises:
            SlideError: If it cannot be read or has no mpp.
        """
        from hoverfast_platform.inference.record import slide_record
        from hoverfast_platform.slide import open_slide
        from hoverfast_platform.slide.digest import slide_digest

        with open_slide(slide, self.scale()) as reader:
            record = slide_record(slide, reader.info, slide_digest(slide))
        with self.open_catalogue() as catalogue:
            return catalogue.register_slide(record)

    def slide_path(self, key: str) -> Path:
        with self.open_catalogue() as catalogue:
            return catalogue.slide_path(key)

    def record_done(self, record: SegmentationRecord) -> None:
        with self.open_catalogue() as catalogue:
            catalogue.record_done(record)

    def record_failure(self, key: str, error: Exception, run_id: str) -> None:
        """Record why a slide failed; an error not raised on purpose is a defect."""
        from hoverfast_platform.inference.record import failure_record

        path = self.slide_path(key)
        if isinstance(error, HoverFastError):
            failure = failure_record(path, error, run_id)
        else:
            text = f"{type(error).__name__}: {error}"
            remedy = "Please report it with the log of the run."
            failure = FailureRecord(str(path), "defect", text, remedy, run_id)
        with self.open_catalogue() as catalogue:
            catalogue.record_failure(failure)

    def folder(self) -> Path:
        return Path(self.root)

    def open_catalogue(self) -> Catalogue:
        """The catalogue; use as a context manager."""
        return Catalogue.open(self.catalogue_path())

    def catalogue_path(self) -> Path:
        return Path(self.root) / "catalogue.sqlite"

    def mask_path(self, key: str) -> Path:
        return Path(self.root) / "masks" / f"{key}.png"

    def nuclei_dir(self, key: str) -> Path:
        return Path(self.root) / "nuclei" / key

    def scale(self) -> Scale:
        return Scale(mpp_override=self.mpp_override)

    def settings(self) -> SegmentationSettings:
        return SegmentationSettings(scale=self.scale())
