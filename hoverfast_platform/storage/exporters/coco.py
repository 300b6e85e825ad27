"""COCO's annotations of one image."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

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
    with path.open("w", encoding="utf-8") as file:
        file.write(json.dumps(head, ensure_ascii=False).removesuffix("}") + ', "annotations": [\n')
        for nuclei in source.blocks():
            lines = _annotations(nuclei, n_before)
            file.write((",\n" if n_before else "") + ",\n".join(lines))
            n_before += len(nuclei)
        file.write("\n]}\n")


def _annotations(nuclei: Nuclei, n_before: int) -> list[str]:
    areas = enclosed_areas(nuclei.vertices_xy, nuclei.ring_starts)
    lines = []
    for i in range(len(nuclei)):
        ring = nuclei.ring(i)[:-1].round(nuclei.decimals)  # COCO's rings are open
        (x0, y0), (x1, y1) = ring.min(axis=0), ring.max(axis=0)
        box = np.round([x0, y0, x1 - x0, y1 - y0], nuclei.decimals)
        annotation = {
            "id": n_before + i + 1,
            "image_id": 1,
            "category_id": 1,
            "iscrowd": 0,
            "area": round(float(areas[i]), 2),
            "bbox": box.tolist(),
            "segmentation": [ring.ravel().tolist()],
        }
        lines.append(json.dumps(annotation, separators=(",", ":")))
    return lines


EXPORTER = Exporter(
    name="coco",
    extensions=(".coco.json",),
    what="COCO annotations of one image, polygons",
    opens_in="pycocotools, Detectron2, CVAT, FiftyOne",
    write=_write,
    needs=(Need.SLIDE_SIZE,),
)
