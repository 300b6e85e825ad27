"""SpatialData: outlines, labels and a table of measurements in one Zarr, in micrometres."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from hoverfast_platform.files import scratch_folder
from hoverfast_platform.nuclei.identity import nucleus_ids
from hoverfast_platform.storage.exporters.exporter import Exporter, Need, NucleiSource
from hoverfast_platform.storage.exporters.labels import write_zarr
from hoverfast_platform.storage.label_pyramid import LABELS

_SHAPES, _LABELS, _TABLE = "nuclei", "nuclei_labels", "measurements"
_SMALLEST_PX = 1024


def _write(source: NucleiSource, path: Path, _per_piece: int) -> None:
    import spatialdata
    from spatialdata.transformations import Scale

    to_um = {"global": Scale([source.scale.x, source.scale.y], axes=("x", "y"))}
    part = path.with_name(f".{path.name}.part")
    shutil.rmtree(part, ignore_errors=True)  # of a run that was killed
    with scratch_folder(path.parent) as folder:
        pyramid = folder / "labels.zarr"
        write_zarr(source, pyramid, 0)
        shapes: dict[str, Any] = {}
        tables: dict[str, Any] = {}
        if source.n_nuclei:  # SpatialData has no empty shapes; the labels are there, all background
            shapes[_SHAPES], tables[_TABLE] = _shapes_and_table(source, to_um)
        data = spatialdata.SpatialData(
            labels={_LABELS: _labels(source, pyramid, to_um)},
            shapes=shapes,
            tables=tables,
            attrs={"hoverfast": json.dumps(dict(source.provenance))},
        )
        try:
            data.write(part)
            if path.exists():
                shutil.rmtree(path)
            part.rename(path)
        finally:
            shutil.rmtree(part, ignore_errors=True)


def _labels(source: NucleiSource, pyramid: Path, to_um: dict[str, Any]) -> Any:
    """The label image, read chunk by chunk when it is written."""
    import dask.array
    from spatialdata.models import Labels2DModel

    array = dask.array.from_zarr(str(pyramid / LABELS), component="0")
    n_halvings = max(0, int(np.ceil(np.log2(max(source.frame_px) / _SMALLEST_PX))))
    return Labels2DModel.parse(
        array,
        dims=("y", "x"),
        transformations=to_um,
        scale_factors=[2] * n_halvings or None,
    )


def _shapes_and_table(source: NucleiSource, to_um: dict[str, Any]) -> tuple[Any, Any]:
    """Outlines in level-0 pixels, and measurements; a row of the table names its outline's id."""
    import anndata
    import geopandas
    import pandas as pd
    from spatialdata.models import ShapesModel, TableModel

    blocks = list(source.blocks())
    ids = [one for nuclei in blocks for one in nucleus_ids(nuclei, source.namespace)]
    outlines = np.concatenate([one.polygons() for one in blocks])
    frame = geopandas.GeoDataFrame(geometry=outlines, index=pd.Index(ids, dtype=object))
    names = list(source.columns)
    matrix = np.concatenate(
        [np.stack([one.measurements[name] for name in names], axis=1) for one in blocks]
    )
    places = np.concatenate([one.centroid_xy for one in blocks])
    observed = pd.DataFrame(
        {"region": pd.Categorical([_SHAPES] * len(ids)), "nucleus": ids},
        index=pd.Index(ids, dtype=object),
    )
    table = anndata.AnnData(
        X=matrix,
        obs=observed,
        var=pd.DataFrame(index=names),
        obsm={"spatial": places * (source.scale.x, source.scale.y)},
    )
    return (
        ShapesModel.parse(frame, transformations=to_um),
        TableModel.parse(table, region=_SHAPES, region_key="region", instance_key="nucleus"),
    )


EXPORTER = Exporter(
    name="spatialdata",
    extensions=(".sdata.zarr",),
    what="outlines, labels and measurements in one Zarr; coordinate system 'global' in micrometres",
    opens_in="spatialdata, napari-spatialdata, squidpy",
    write=_write,
    needs=(Need.SCALE, Need.SLIDE_SIZE),
    package="spatialdata",
    renames_itself=True,
    streams=False,
)
