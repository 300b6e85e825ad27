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

    nuclei, names = source.nuclei, list(source.nuclei.measurements)
    matrix = np.stack(
        [nuclei.measurements[name] for name in names],
        axis=1,
    )
    data = anndata.AnnData(
        X=matrix,
        obs=pd.DataFrame({"tile": nuclei.tile_index}, index=nucleus_ids(nuclei, source.namespace)),
        var=pd.DataFrame(index=names),
        obsm={
            "spatial": nuclei.centroid_xy * (source.scale.x, source.scale.y),
            "spatial_px": nuclei.centroid_xy,
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
