"""AnnData: a matrix of nuclei by measurements, with places in micrometres."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from hoverfast_platform.nuclei.identity import nucleus_ids
from hoverfast_platform.storage.exporters.exporter import Exporter, Need, NucleiSource


def _write(source: NucleiSource, path: Path, _per_piece: int) -> None:
    import anndata
    import pandas as pd

    names = list(source.columns)
    matrix = np.empty((source.n_nuclei, len(names)), np.float32)
    places = np.empty((source.n_nuclei, 2))
    tiles = np.empty(source.n_nuclei, np.int32)
    ids: list[str] = []
    for nuclei in source.blocks():  # outlines are let go, block by block
        rows = slice(len(ids), len(ids) + len(nuclei))
        for i, name in enumerate(names):
            matrix[rows, i] = nuclei.measurements[name]
        places[rows], tiles[rows] = nuclei.centroid_xy, nuclei.tile_index
        ids += nucleus_ids(nuclei, source.namespace)
    data = anndata.AnnData(
        X=matrix,
        obs=pd.DataFrame({"tile": tiles}, index=ids),
        var=pd.DataFrame(index=names),
        obsm={
            "spatial": places * (source.scale.x, source.scale.y),
            "spatial_px": places,
        },
        uns={"spatial_unit": "um", "hoverfast": json.dumps(dict(source.provenance))},
    )
    data.write_h5ad(path, compression="gzip")


EXPORTER = Exporter(
    name="anndata",
    extensions=(".h5ad",),
    what="nuclei by measurements, places in micrometres in obsm['spatial']",
    opens_in="anndata, scanpy, squidpy",
    write=_write,
    needs=(Need.SCALE,),
    package="anndata",
    streams=False,
)
