"""The loop behind ``infer_roi``."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Sequence
from pathlib import Path

import click
import tifffile
from PIL import Image

import hoverfast_platform
from hoverfast_platform.arrays import RgbImage
from hoverfast_platform.config import Compute
from hoverfast_platform.errors import HoverFastError, Interrupted
from hoverfast_platform.inference.engine import SegmentationEngine
from hoverfast_platform.inference.segment_image import SegmentedImage, segment_image
from hoverfast_platform.model.registry import DEFAULT_MODEL
from hoverfast_platform.storage.atomic import written_atomically
from hoverfast_platform.storage.flat_images import read_rgb
from hoverfast_platform.storage.geojson import write_geojson
from hoverfast_platform.storage.previews import draw_nuclei
from hoverfast_platform.storage.qupath_validation import validate_qupath_file


def segment_images(
    images: Sequence[Path], out_dir: Path, *, mpp: float, model: str | None, device: str
) -> int:
    """Segment images one after another; returns how many failed."""
    n_failed = 0
    taken: set[str] = set()
    with SegmentationEngine.of(model or DEFAULT_MODEL, Compute(device=device)) as engine:
        for path in images:
            try:
                rgb = read_rgb(path)
                name = path.stem if path.stem not in taken else path.name
                while name in taken:  # the same name from another folder
                    name += "_"
                taken.add(name)
                found = segment_image(rgb, mpp=mpp, engine=engine)
                _write(out_dir, name, path, rgb, found, engine)
            except Interrupted:
                raise
            except HoverFastError as error:
                n_failed += 1
                click.echo(f"{path.name}: FAILED ({error.kind}): {error}", err=True)
            else:
                click.echo(f"{path.name}: {len(found.nuclei)} nuclei")
                for warning in found.warnings:
                    click.echo(f"  note: {warning}")
    return n_failed


def _write(
    out_dir: Path,
    name: str,
    path: Path,
    rgb: RgbImage,
    found: SegmentedImage,
    engine: SegmentationEngine,
) -> None:
    provenance = {
        "image_name": path.name,
        "image_sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "model_name": engine.model.card.name,
        "model_version": engine.model.card.version,
        "model_sha256": engine.model.digest,
        "code_version": hoverfast_platform.__version__,
        "warnings": found.warnings,
    }
    namespace = uuid.uuid5(
        uuid.NAMESPACE_OID, f"{provenance['image_sha256']} {engine.model.digest}"
    )
    height, width = rgb.shape[:2]
    with written_atomically(out_dir / "json" / f"{name}.json.gz") as part:
        write_geojson(part, [found.nuclei], provenance=provenance, namespace=namespace)
    validate_qupath_file(out_dir / "json" / f"{name}.json.gz", width=width, height=height)
    with written_atomically(out_dir / "label_mask" / f"{name}.tif") as part:
        tifffile.imwrite(part, found.instance_map, compression="zlib")
    overlay = draw_nuclei(rgb, [found.nuclei], scale_x=1, scale_y=1, thickness=2)
    with written_atomically(out_dir / "overlay" / f"{name}.png") as part:
        Image.fromarray(overlay).save(part, format="PNG")
