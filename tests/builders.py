"""Values and files that tests of several parts make alike."""

import dataclasses
import datetime
import uuid

import numpy as np
import tifffile

from hoverfast_platform.catalogue import ModelRecord, SegmentationRecord, SlideRecord
from hoverfast_platform.nuclei.nucleus import Nuclei
from hoverfast_platform.provenance import (
    Arithmetic,
    MaskSource,
    ModelSource,
    Provenance,
    SlideSource,
)
from hoverfast_platform.scores import EvaluationSummary, Interval, MeanScores
from hoverfast_platform.verdict import MeasuredScores, PromotionPolicy, Verdict

NAMESPACE = uuid.UUID(int=7)


def write_slide(path, rgb, *, mpp=0.25, tile_px=256):
    """A tiled TIFF that OpenSlide opens; None leaves its scale out."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scale = {} if mpp is None else {"resolution": (1e4 / mpp,) * 2, "resolutionunit": 3}
    tifffile.imwrite(
        path, rgb, photometric="rgb", tile=(tile_px, tile_px), compression="deflate", **scale
    )
    return path


def write_tissue_slide(path, *, pen=False, level=243):
    """Grainy pink tissue on glass at 1 um per pixel; ``pen`` draws a green stroke over it."""
    rgb = np.full((800, 1000, 3), level, np.uint8)
    rgb[200:600, 200:800] = (215, 150, 190)
    noise = np.random.default_rng(0).normal(0, 9, rgb[200:600, 200:800].shape)
    rgb[200:600, 200:800] = np.clip(rgb[200:600, 200:800] + noise, 0, 255)
    if pen:
        rgb[300:380, 100:900] = (40, 150, 90)
    return write_slide(path, rgb, mpp=1.0)


def squares(n, offset=0.0):
    """n squares of 10 px in a row, with one decimal."""
    x = offset + 20.0 * np.arange(n)
    corners = np.array([[0, 0], [10.5, 0], [10.5, 10], [0, 10], [0, 0]])
    return Nuclei(
        centroid_xy=np.stack([x + 5.25, np.full(n, 5.0)], axis=1),
        vertices_xy=(corners[None] + np.stack([x, np.zeros(n)], axis=1)[:, None]).reshape(-1, 2),
        ring_starts=5 * np.arange(n + 1, dtype=np.int64),
        tile_index=np.arange(n, dtype=np.int32) // 2,
        decimals=1,
        measurements={
            "area_um2": np.full(n, 6.5, np.float32),
            "perimeter_um": np.full(n, 10.0, np.float32),
            "confidence": np.full(n, np.nan, np.float32),
        },
    )


SLIDE = SlideRecord("a" * 64, "A 1.svs", "/slides/A 1.svs", "aperio", 10, 20, 0.25, 0.25, "file")


def provenance(
    identity="s1", *, slide=None, mask=None, model=None, arithmetic=None, code_version="0"
):
    """What a segmentation of a slide of 400 by 100 px was made from, but for what is given."""
    return Provenance(
        segmentation_id=identity,
        slide=SlideSource(
            **{
                "sha256": "a" * 64,
                "mpp_x": 0.25,
                "mpp_y": 0.25,
                "mpp_source": "file",
                "frame": "full",
                "origin_px": (0, 0),
                "width_px": 400,
                "height_px": 100,
            }
            | (slide or {})
        ),
        mask=MaskSource(**{"engine": "builtin", "sha256": "b" * 64} | (mask or {})),
        model=ModelSource(
            **{"name": "m", "version": "1", "sha256": "c" * 64, "mpp": 0.25} | (model or {})
        ),
        arithmetic=Arithmetic(
            **{
                "device": "cpu",
                "backend": "openvino",
                "precision": "fp32",
                "maps": "openvino fp32",
                "statistics": "fp32",
            }
            | (arithmetic or {})
        ),
        settings={"x": 1},
        code_version=code_version,
    )


def segmentation(identity="s1", slide=SLIDE, made_from=None, **changes):
    """A record of a segmentation; ``made_from`` holds what its provenance says otherwise."""
    made = provenance(identity, slide={"sha256": slide.sha256}, **(made_from or {}))
    model = made.model
    record = SegmentationRecord(
        slide=slide,
        provenance=made,
        model=ModelRecord(model.sha256, model.name, model.version, "", {"licence": "CC-BY-4.0"}),
        tissue_area_mm2=1.0,
        run_id="r",
        n_nuclei=5,
        seconds_per_mm2=2.0,
        finished_at=datetime.datetime.now(datetime.UTC),
        files={"/out/A.json.gz": "d" * 64},
    )
    return dataclasses.replace(record, **changes)


def evaluation_summary(scores, *, n_images, n_true):
    """A measurement with these means, of one group."""
    return EvaluationSummary(
        n_images=n_images,
        n_groups=1,
        n_true=n_true,
        n_predicted=n_true,
        reference="annotations",
        device="cpu (openvino fp32)",
        code_version="0",
        scores=MeanScores(
            **{
                name: Interval(mean, None, None, n_images, 1)
                for name, mean in ({"precision": 0.9, "recall": 0.85} | scores).items()
            }
        ),
    )


def verdict(*reasons, passed=True):
    """What the gate found of a first model, kept with what it was judged by."""
    scores = {"dice": 0.81, "aji": 0.62, "pq": 0.58, "f1": 0.84}
    return Verdict(
        passed=passed,
        reasons=reasons,
        candidate=MeasuredScores("d" * 64, "e" * 64, n_images=7, n_nuclei=412, scores=scores),
        promoted=None,
        policy=PromotionPolicy(tolerance=0.01),
    )
