"""The JSON beside a result: what was found, how well, from what, by what."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, ValidationError

from hoverfast_platform.config import Settings
from hoverfast_platform.errors import StorageError


class Provenance(Settings):
    """What a segmentation was made from; also the first member of the QuPath file."""

    schema_version: int = 1
    segmentation_id: str
    slide_name: str
    slide_sha256: str
    slide_mpp_x: float
    slide_mpp_y: float
    slide_mpp_source: str
    frame: str
    origin_px: tuple[int, int]
    width_px: int
    height_px: int
    mask_engine: str
    mask_sha256: str
    model_name: str
    model_version: str
    model_sha256: str
    model_mpp: float
    model_labels: tuple[str, ...] = ()
    """Label sets the model learned from, with their licences."""
    teacher: str = ""
    cohort: str = ""
    training_set_digest: str = ""
    settings: dict[str, object]
    code_version: str


class Seams(Settings):
    """See :class:`hoverfast_platform.nuclei.seams.SeamAudit`."""

    n_near_seams: int
    n_duplicates: int
    density_ratio: float | None
    """None where it cannot be told."""


class SegmentationSummary(Settings):
    """One segmentation in figures."""

    provenance: Provenance
    n_nuclei: int
    tissue_area_mm2: float
    tissue_fraction: float
    nuclei_per_mm2: float | None
    """None without tissue."""
    area_um2_percentiles: dict[str, float] = Field(default_factory=dict)
    n_dropped_invalid: int = 0
    """Nuclei for which no valid polygon could be written."""
    n_tiles: int
    n_tiles_resumed: int = 0
    seams: Seams
    warnings: tuple[str, ...] = ()
    seconds: dict[str, float] = Field(default_factory=dict)
    """Wall clock ``total`` and, summed over processes, each phase; phases overlap."""
    seconds_per_mm2: float | None = None
    device: str
    backend: str
    precision: str
    run_id: str = ""
    finished_at: str
    files: dict[str, str] = Field(default_factory=dict)
    """File name to SHA-256."""

    def write(self, path: Path) -> None:
        """Write as JSON."""
        path.write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> SegmentationSummary:
        """Read one back.

        Raises:
            StorageError: If it is missing or not a summary.
        """
        try:
            return cls.model_validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            raise StorageError(f"{path} is no readable summary: {error}", "") from error
