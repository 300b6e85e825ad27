"""One RGB image to nuclei, in this process: ROIs, notebooks, evaluation."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

import numpy as np

from hoverfast_platform.arrays import InstanceMap, RgbImage
from hoverfast_platform.config import SegmentationSettings
from hoverfast_platform.geometry import Box, ModelLattice
from hoverfast_platform.inference.engine import SegmentationEngine
from hoverfast_platform.inference.workers import RegionTask, post_process
from hoverfast_platform.nuclei.nucleus import Nuclei, measurement_columns
from hoverfast_platform.nuclei.seams import audit_seams, is_near_seam
from hoverfast_platform.slide.array_reader import ArrayReader
from hoverfast_platform.slide.reader import SlideInfo
from hoverfast_platform.slide.resample import check_scale, read_region_at
from hoverfast_platform.stain import StainNormalisation
from hoverfast_platform.storage.summary import (
    DabPositivity,
    Distribution,
    Seams,
    SegmentationSummary,
)
from hoverfast_platform.tiling import TilePlan, plan_tiles


@dataclass(frozen=True)
class SegmentedImage:
    """Nuclei of an image.

    Attributes:
        instance_map: ``(H, W)`` int32 at the input's size: 0 background, ``i + 1`` the pixels
            of row ``i`` of ``nuclei``.
        nuclei: Polygons and measurements in input pixels.
        info: The image as it was read: its size and its scale.
        plan: The tiles it was predicted in.
        normalisation: What was done to its stain before the model saw it.
        n_dropped_invalid: Nuclei for which no valid polygon could be made.
        warnings: What the reader of the result should know.
    """

    instance_map: InstanceMap
    nuclei: Nuclei
    info: SlideInfo
    plan: TilePlan
    normalisation: StainNormalisation
    n_dropped_invalid: int
    warnings: tuple[str, ...]

    @property
    def mpp(self) -> float:
        """Micrometres per input pixel."""
        return self.info.mpp.x


def segment_image(
    rgb: RgbImage,
    *,
    mpp: float,
    engine: SegmentationEngine | None = None,
    settings: SegmentationSettings = SegmentationSettings(),
) -> SegmentedImage:
    """Find every nucleus of an RGB image; no tissue mask is applied.

    Args:
        rgb: ``(H, W, 3)`` uint8, any size.
        mpp: Micrometres per pixel of the image; a flat image does not say, and it is never
            guessed.
        engine: Model to use; without it the default model on the best device.
        settings: What decides which nuclei come out.

    Raises:
        ArrayContractError: If ``rgb`` is not such an image.
        UnsupportedScaleError: If it is too coarse for the model.
    """
    engine = engine if engine is not None else SegmentationEngine.of()
    reader = ArrayReader(rgb, mpp=mpp)
    info = reader.info
    warnings = check_scale(info, engine.model.card.mpp, settings.scale)
    lattice = ModelLattice.of(
        width=info.width, height=info.height, slide_mpp=info.mpp, model_mpp=engine.model.card.mpp
    )
    plan = plan_tiles(lattice, settings.tiling, lambda *_box: True, engine.field_of_view)
    model = engine.for_slide(reader, lattice, lambda *_box: True, settings.staining.stain)
    instance_map = np.zeros((lattice.height_px, lattice.width_px), dtype=np.int32)
    parts = [Nuclei.empty(1, measurement_columns(settings.staining.stain))]
    n_nuclei = n_dropped_invalid = 0
    for tile in plan.tiles:
        pixels = read_region_at(reader, lattice, tile.region)
        maps = model.predict([pixels])[0]
        task = RegionTask(tile, lattice, info.mpp, settings)
        found, instances = post_process(maps, pixels, task)
        number = np.zeros(int(instances.max(initial=0)) + 1, dtype=np.int32)
        number[found.labels] = np.arange(n_nuclei + 1, n_nuclei + 1 + len(found.labels))
        _paint(instance_map, number[instances], tile.region)
        parts.append(found.nuclei)
        n_nuclei += len(found.labels)
        n_dropped_invalid += found.n_dropped_invalid
    if instance_map.shape != rgb.shape[:2]:
        instance_map = _at_input_size(instance_map, lattice, (info.height, info.width))
    return SegmentedImage(
        instance_map=instance_map,
        nuclei=Nuclei.concatenate(parts),
        info=info,
        plan=plan,
        normalisation=model.normalisation,
        n_dropped_invalid=n_dropped_invalid,
        warnings=warnings,
    )


def image_summary(
    image_sha256: str,
    found: SegmentedImage,
    engine: SegmentationEngine,
    settings: SegmentationSettings,
) -> SegmentationSummary:
    """Figures and provenance of an image's nuclei.

    Args:
        image_sha256: Digest of the file.
        found: Its nuclei.
        engine: What found them.
        settings: What was asked for. Without ``mpp_override`` the image was taken to have the
            model's scale, and the summary says so.
    """
    nuclei, staining = found.nuclei, settings.staining
    distributions = {name: Distribution.of(values) for name, values in nuclei.measurements.items()}
    source, warnings = found.info.source(image_sha256), found.warnings
    if settings.scale.mpp_override is None:
        source = source.model_copy(update={"mpp_source": "assumed"})
        warnings += (
            f"No mpp was given: the image was taken to have {found.mpp} um per pixel, the model's.",
        )
    near = nuclei.take(is_near_seam(nuclei.centroid_xy, found.plan))
    return SegmentationSummary(
        provenance=engine.provenance(source, None, settings),
        n_nuclei=len(nuclei),
        tissue_area_mm2=found.info.area_mm2,
        stain_factors=found.normalisation.factors,
        exposure_gain=found.normalisation.gain,
        tissue_fraction=1.0,
        nuclei_per_mm2=len(nuclei) / found.info.area_mm2,
        distributions={name: one for name, one in distributions.items() if one},
        dab=DabPositivity.of(nuclei.measurements["dab_od_mean"], staining)
        if staining.stain == "ihc_dab"
        else None,
        n_dropped_invalid=found.n_dropped_invalid,
        n_tiles=len(found.plan.tiles),
        seams=Seams.of(audit_seams(near, len(nuclei) - len(near), found.plan)),
        warnings=warnings,
        finished_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )


def _paint(whole: InstanceMap, region_map: InstanceMap, region: Box) -> None:
    """Copy the numbered pixels of a region onto the whole map."""
    inside = region.clipped(Box.at_origin(width=whole.shape[1], height=whole.shape[0]))
    source = region_map[
        inside.y0 - region.y0 : inside.y1 - region.y0, inside.x0 - region.x0 : inside.x1 - region.x0
    ]
    target = whole[inside.y0 : inside.y1, inside.x0 : inside.x1]
    np.copyto(target, source, where=source > 0)


def _at_input_size(
    instance_map: InstanceMap, lattice: ModelLattice, shape: tuple[int, int]
) -> InstanceMap:
    """Nearest model pixel of every input pixel's centre."""
    x = ((np.arange(shape[1]) + 0.5) / lattice.scale_x).astype(np.int64)
    y = ((np.arange(shape[0]) + 0.5) / lattice.scale_y).astype(np.int64)
    x, y = np.minimum(x, lattice.width_px - 1), np.minimum(y, lattice.height_px - 1)
    return instance_map[np.ix_(y, x)]
