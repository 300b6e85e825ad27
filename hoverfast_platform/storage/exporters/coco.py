"""COCO's annotations of one image."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import orjson

from hoverfast_platform.nuclei.nucleus import Nuclei
from hoverfast_platform.nuclei.rings import enclosed_areas
from hoverfast_platform.storage.exporters.exporter import Exporter, Need, NucleiSource


def _write(source: NucleiSource, path: Path, _per_piece: int) -> None:
    width, height = source.frame_px
    name = source.path.name.removesuffix(".gz").removesuffix(".json").removesuffix(".parquet")
    head = {
        "info": {"description": "Nuclei found by hoverfast", "provenance": source.provenance},
        "images": [{"id": 1, "file_name": name, "width": width, "height": height}],
        "categories": [{"id": 1, "name": "nucleus", "supercategory": "cell"}],
    }
    n_before = 0
    with path.open("wb") as file:
        file.write(json.dumps(head, ensure_ascii=False).removesuffix("}").encode())
        file.write(b', "annotations": [\n')
        for nuclei in source.blocks():
            file.write((b",\n" if n_before else b"") + b",\n".join(_annotations(nuclei, n_before)))
            n_before += len(nuclei)
        file.write(b"\n]}\n")


def _annotations(nuclei: Nuclei, n_before: int) -> Iterator[bytes]:
    areas = enclosed_areas(nuclei.vertices_xy, nuclei.ring_starts).round(2).tolist()
    vertices = nuclei.vertices_xy.round(nuclei.decimals)
    lows, highs = replace(nuclei, vertices_xy=vertices).boxes_xy()
    boxes = np.concatenate([lows, highs - lows], axis=1).round(nuclei.decimals)
    starts = nuclei.ring_starts.tolist()
    for i, (start, end) in enumerate(itertools.pairwise(starts)):
        annotation = {
            "id": n_before + i + 1,
            "image_id": 1,
            "category_id": 1,
            "iscrowd": 0,
            "area": areas[i],
            "bbox": boxes[i],
            "segmentation": [vertices[start : end - 1].ravel()],  # COCO's rings are open
        }
        yield orjson.dumps(annotation, option=orjson.OPT_SERIALIZE_NUMPY)


EXPORTER = Exporter(
    name="coco",
    extensions=(".coco.json",),
    what="COCO annotations of one image, polygons",
    opens_in="pycocotools, Detectron2, CVAT, FiftyOne",
    write=_write,
    needs=(Need.SLIDE_SIZE,),
)
