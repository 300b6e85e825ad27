"""What a segmentation was made from, and its identity.

One value, made once by the engine. It passes unchanged into the files of a result, the catalogue
and the lineage. Slides and flat images have the same one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import ValidationError

from hoverfast_platform.config import Appearance, FileRecord, SegmentationSettings, Settings
from hoverfast_platform.errors import StorageError
from hoverfast_platform.files import text_sha256
from hoverfast_platform.geometry import Mpp
from hoverfast_platform.version import RESULT_VERSION, __version__


class SlideSource(Settings):
    """The slide or flat image, named by its digest.

    A file's name may say whose tissue it is, and results are passed on. The catalogue knows the
    name.
    """

    sha256: str
    mpp_x: float
    mpp_y: float
    mpp_source: str
    """``file``; ``override`` if a person gave it; ``assumed`` if nobody said, so that the image
    was taken to have the model's."""
    frame: str
    """``full``, or ``bounds`` where level-0 coordinates start at the slide's bounds."""
    origin_px: tuple[int, int]
    width_px: int
    height_px: int

    @property
    def mpp(self) -> Mpp:
        """Micrometres per level-0 pixel."""
        return Mpp(self.mpp_x, self.mpp_y)


class MaskSource(Settings):
    """The tissue mask: where nuclei were looked for."""

    engine: str
    sha256: str


class ModelSource(Settings):
    """The model, and what its card says that decides nuclei or tells where its labels come from."""

    name: str
    version: str
    sha256: str
    mpp: float
    appearance: Appearance = Appearance()
    statistics_share: float = 0.0
    """Share of the slide's own batch-norm statistics in those the model saw it with."""
    labels: tuple[str, ...] = ()
    """Label sets the model learned from, with their licences."""
    teacher: str = ""
    cohort: str = ""
    training_set_digest: str = ""

    @property
    def title(self) -> str:
        """Name and version, for people."""
        return f"{self.name} {self.version}"


class Arithmetic(Settings):
    """Where and how a network's maps were computed."""

    device: str
    backend: str
    precision: str
    maps: str
    """All that decides the maps besides the weights."""
    statistics: str
    """The precision in which a slide's batch-norm statistics were taken."""

    def __str__(self) -> str:
        return f"{self.device} ({self.backend} {self.precision})"


class Provenance(FileRecord):
    """What a segmentation was made from; also the first member of the QuPath file."""

    newest_form: ClassVar[int] = 2
    schema_version: int = 2
    segmentation_id: str
    slide: SlideSource
    mask: MaskSource | None
    """None where no mask was applied, as for flat images."""
    model: ModelSource
    arithmetic: Arithmetic
    settings: dict[str, object]
    code_version: str

    @classmethod
    def of(
        cls,
        slide: SlideSource,
        mask: MaskSource | None,
        model: ModelSource,
        arithmetic: Arithmetic,
        settings: SegmentationSettings,
    ) -> Provenance:
        """The record with its identity: the digest of everything that decides the nuclei."""
        decided_by = {
            "slide": slide.sha256,
            "mask": mask and mask.sha256,
            "model": model.sha256,
            "model_mpp": model.mpp,
            "appearance": model.appearance.model_dump(mode="json"),
            "statistics": model.statistics_share
            and [model.statistics_share, arithmetic.statistics],
            "settings": settings.digest(),
            "arithmetic": arithmetic.maps,
            "version": RESULT_VERSION,
        }
        return cls(
            segmentation_id=text_sha256(json.dumps(decided_by, sort_keys=True))[:32],
            slide=slide,
            mask=mask,
            model=model,
            arithmetic=arithmetic,
            settings=settings.model_dump(mode="json"),
            code_version=__version__,
        )

    @classmethod
    def found_in(cls, record: Mapping[str, Any], name: str) -> Provenance | None:
        """The provenance that a file's own record holds.

        Args:
            record: What the file says of its making.
            name: The file's, for errors.

        Returns:
            None if the file is not a result: another program's, or converted from one.

        Raises:
            StorageError: If it is a result of another version.
        """
        if "segmentation_id" not in record:
            return None
        try:
            return cls.model_validate(dict(record))
        except ValidationError as error:
            raise StorageError(
                f"{name} does not say in this version's form what it was made from: {error}",
                "Usually another version of hoverfast wrote it; segment the slide again.",
            ) from error
