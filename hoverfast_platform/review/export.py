"""A review in the GeoJSON that ``hoverfast corrections`` and QuPath read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import shapely

from hoverfast_platform.files import write_text
from hoverfast_platform.review.state import Drawn, ReviewState
from hoverfast_platform.storage.geojson import CLASSIFICATION
from hoverfast_platform.storage.nuclei_lookup import NucleiLookup, Place

SOURCE = "hoverfast viewer"
"""What the file names as its source, so that it is not taken for one of QuPath."""

REVIEWED = {"name": "Reviewed", "color": [30, 110, 220]}
WRONG_TILE = {"name": "Wrong tile*", "color": [240, 120, 0]}
"""Classes that end with ``*`` are ignored, by QuPath and by ``hoverfast corrections``."""


def write_review(
    path: Path,
    state: ReviewState,
    lookup: NucleiLookup | None,
    *,
    slide_sha256: str,
    segmentation_id: str = "",
) -> int:
    """Write the reviewed regions and the nuclei in them as they are now, whole or not at all.

    Args:
        path: The file.
        state: What the edits add up to.
        lookup: The nuclei of the result; None where a slide without nuclei is annotated.
        slide_sha256: Digest of the slide, by which a cohort finds its corrections.
        segmentation_id: Id of the result; empty without one.

    Returns:
        How many nuclei lie in the regions.

    Raises:
        StorageError: If the result cannot be read or the file cannot be written.
    """
    regions = [shapely.Polygon(region.ring).buffer(0) for region in state.regions.values()]
    nuclei = _kept_nuclei(regions, state, lookup)
    reviewed = shapely.union_all(regions)
    for drawn in state.drawn.values():
        if shapely.intersects(shapely.Polygon(drawn.ring).buffer(0), reviewed):
            given = _class_of(drawn.id, drawn.class_name, state)
            nuclei.append(_feature(drawn, "detection", given))
    features = [_feature(one, "annotation", REVIEWED) for one in state.regions.values()]
    features += [_feature(one, "annotation", WRONG_TILE) for one in state.wrong_tiles.values()]
    people = sorted({one.by for one in (*state.drawn.values(), *state.regions.values())})
    head = {
        "source": SOURCE,
        "slide_sha256": slide_sha256,
        "segmentation_id": segmentation_id,
        "reviewed_by": people,
        "n_regions": len(state.regions),
    }
    lines = ",\n".join(json.dumps(one, ensure_ascii=False) for one in [*features, *nuclei])
    write_text(
        path,
        '{"type":"FeatureCollection","provenance":'
        f'{json.dumps(head, ensure_ascii=False)},"features":[\n{lines}\n]}}\n',
    )
    return len(nuclei)


def _kept_nuclei(
    regions: list[Any], state: ReviewState, lookup: NucleiLookup | None
) -> list[dict[str, Any]]:
    """Nuclei of the result that reach into a region and are not gone."""
    kept: dict[str, dict[str, Any]] = {}
    for region in regions if lookup is not None else []:
        assert lookup is not None
        found = lookup.within(Place(*region.bounds))
        inside = np.flatnonzero(shapely.intersects(found.nuclei.polygons(), region))
        ids = lookup.ids(found.rows[inside])
        for i, name in zip(inside.tolist(), ids, strict=True):
            if name not in state.removed:
                ring = tuple((float(x), float(y)) for x, y in found.nuclei.ring(i))
                drawn = Drawn(name, ring, "", "")
                kept[name] = _feature(drawn, "detection", _class_of(name, "", state))
    return list(kept.values())


def _class_of(name: str, drawn_as: str, state: ReviewState) -> dict[str, Any]:
    given = state.classes.get(name, drawn_as)
    return {**CLASSIFICATION, "name": given} if given else CLASSIFICATION


def _feature(drawn: Drawn, kind: str, classification: dict[str, Any]) -> dict[str, Any]:
    ring = [[round(x, 1), round(y, 1)] for x, y in drawn.ring]
    if ring[0] != ring[-1]:
        ring.append(ring[0])
    properties: dict[str, Any] = {"objectType": kind, "classification": classification}
    if drawn.by:
        properties["metadata"] = {"by": drawn.by, "at": drawn.at, "source": SOURCE}
    geometry = {"type": "Polygon", "coordinates": [ring]}
    return {"type": "Feature", "id": drawn.id, "geometry": geometry, "properties": properties}
