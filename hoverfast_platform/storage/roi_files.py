"""The files of a flat image's result: where the published HoverFast puts them, and a summary."""

from __future__ import annotations

import uuid
from pathlib import Path

import tifffile
from PIL import Image

from hoverfast_platform.arrays import InstanceMap, RgbImage
from hoverfast_platform.files import fitting_stem, reporting_storage, written_atomically
from hoverfast_platform.nuclei.nucleus import Nuclei
from hoverfast_platform.storage.geojson import write_geojson
from hoverfast_platform.storage.previews import Line, draw_nuclei
from hoverfast_platform.storage.publish import publishing_lock
from hoverfast_platform.storage.qupath_validation import validate_qupath_file
from hoverfast_platform.storage.summary import SegmentationSummary


def publish_roi(  # noqa: PLR0913 - an image, its nuclei, and how to draw them
    out_dir: Path,
    stem: str,
    rgb: RgbImage,
    nuclei: Nuclei,
    instance_map: InstanceMap,
    summary: SegmentationSummary,
    line: Line,
) -> str:
    """Write ``json/``, ``label_mask/``, ``overlay/`` and, last, ``summary/`` of one image.

    Returns:
        The name the files got: the stem, longer if another image has taken that.

    Raises:
        StorageError: If something cannot be written or is not what was to be written.
    """
    with reporting_storage(out_dir):
        lock = publishing_lock(out_dir)
        lock.acquire()  # another run may be about to take the same name
    try:
        name = _free_name(out_dir, stem, summary.provenance.slide.sha256)
        _write(out_dir, name, rgb, nuclei, instance_map, summary, line)
    finally:
        lock.release()
    return name


def _write(  # noqa: PLR0913 - as above
    out_dir: Path,
    name: str,
    rgb: RgbImage,
    nuclei: Nuclei,
    instance_map: InstanceMap,
    summary: SegmentationSummary,
    line: Line,
) -> None:
    namespace = uuid.UUID(summary.provenance.segmentation_id)
    provenance = summary.provenance.model_dump(mode="json")
    qupath_path = out_dir / "json" / f"{name}.json.gz"
    with written_atomically(qupath_path) as part:
        write_geojson(part, [nuclei], provenance=provenance, namespace=namespace)
    height, width = rgb.shape[:2]
    validate_qupath_file(qupath_path, width=width, height=height)
    with written_atomically(out_dir / "label_mask" / f"{name}_label_mask.tif") as part:
        tifffile.imwrite(part, instance_map, compression="zlib")
    overlay = draw_nuclei(
        rgb, [nuclei], scale_x=1, scale_y=1, thickness=line.width_px, colour=line.colour
    )
    with written_atomically(out_dir / "overlay" / f"{name}_overlay.png") as part:
        Image.fromarray(overlay).save(part, format="PNG")
    with written_atomically(_summary_path(out_dir, name)) as part:
        summary.write(part)


def _summary_path(out_dir: Path, name: str) -> Path:
    return out_dir / "summary" / f"{name}.json"


def _free_name(out_dir: Path, stem: str, image_sha256: str) -> str:
    """The stem, unless the files of that name are another image's, or nobody knows whose."""
    summary_path = _summary_path(out_dir, fitting_stem(stem))
    if summary_path.is_file():
        is_ours = SegmentationSummary.read(summary_path).provenance.slide.sha256 == image_sha256
    else:
        is_ours = not (out_dir / "json" / f"{stem}.json.gz").exists()
    return stem if is_ours else f"{stem}.{image_sha256[:8]}"
