"""For 10x Genomics' pipelines, which count transcripts in the outlines."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hoverfast_platform.nuclei.identity import nucleus_ids
from hoverfast_platform.storage.exporters.exporter import Exporter, NucleiSource


def _writing(properties_of: Callable[[int], dict[str, Any]]) -> Callable[..., None]:
    """A writer of features with these properties, from a nucleus's number that begins with 1."""

    def write(source: NucleiSource, path: Path, _per_piece: int) -> None:
        n = 0
        with path.open("w", encoding="utf-8") as file:
            file.write('{"type":"FeatureCollection","features":[\n')
            for nuclei in source.blocks():
                for i, identity in enumerate(nucleus_ids(nuclei, source.namespace)):
                    n += 1
                    ring = nuclei.ring(i).round(nuclei.decimals).tolist()
                    feature = {
                        "type": "Feature",
                        "id": identity,
                        "geometry": {"type": "Polygon", "coordinates": [ring]},
                        "properties": properties_of(n),
                    }
                    text = json.dumps(feature, separators=(",", ":"))
                    file.write((",\n" if n > 1 else "") + text)
            file.write("\n]}\n")

    return write


SPACE_RANGER_EXPORTER = Exporter(
    name="space-ranger",
    extensions=(".spaceranger.geojson",),
    what="a FeatureCollection for `spaceranger count --custom-segmentation-file`",
    opens_in="Space Ranger 4, geopandas",
    write=_writing(lambda number: {"cell_id": number}),
)

XENIUM_EXPORTER = Exporter(
    name="xenium-ranger",
    extensions=(".xenium.geojson",),
    what="a FeatureCollection for `xeniumranger import-segmentation --nuclei`, pixels as unit",
    opens_in="Xenium Ranger, geopandas",
    write=_writing(lambda _number: {"objectType": "cell"}),
)
