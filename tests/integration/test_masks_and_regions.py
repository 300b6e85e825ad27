"""What masks and regions let through, and what is counted in them, on the drawn slide."""

import json
from dataclasses import replace

import numpy as np
import pytest
import shapely
from PIL import Image

from hoverfast_platform import segment_slide
from hoverfast_platform.config import (
    Appearance,
    Scale,
    SegmentationSettings,
)
from hoverfast_platform.errors import (
    MaskError,
)
from hoverfast_platform.inference.engine import SegmentationEngine
from hoverfast_platform.mask.builtin import find_tissue
from hoverfast_platform.mask.mask_file import mask_record, read_mask, write_mask
from hoverfast_platform.mask.tissue_mask import TissueMask
from hoverfast_platform.slide import open_slide
from hoverfast_platform.storage.nuclei_table import read_nuclei_table
from hoverfast_platform.use_cases.summarise import results_in, summarise
from tests.builders import write_tissue_slide
from tests.integration.drawn_slide import settings_of


def test_mask_is_honoured_nucleus_by_nucleus(slide, engine, tmp_path):
    """Nuclei of the tile whose centroid the mask leaves out are dropped, all others stay.

    To the last bit where slides are seen as they are; what a model adapts to lies in the mask.
    """
    as_scanned = {"appearance": Appearance(), "statistics_share": 0.0}
    card = engine.model.card.model_copy(update=as_scanned)
    engine = SegmentationEngine(replace(engine.model, card=card), engine.predictor, n_workers=1)
    everywhere = segment_slide(slide, out_dir=tmp_path / "all", engine=engine)
    pixels = np.zeros((70, 90), np.bool_)
    pixels[:, :37] = True  # to x = 370 of 900, in the middle of a tile
    Image.fromarray(pixels).save(tmp_path / "mask.png")
    masked = segment_slide(
        slide, out_dir=tmp_path / "half", engine=engine, mask=tmp_path / "mask.png"
    )

    centroids = read_nuclei_table(everywhere.table_path).centroid_xy
    kept = read_nuclei_table(masked.table_path).centroid_xy
    expected = centroids[centroids[:, 0] < 370]
    assert 0 < len(expected) < len(centroids)
    assert np.array_equal(np.sort(kept, axis=0), np.sort(expected, axis=0))
    assert masked.summary.provenance.mask.engine == "import"
    engine.close()


def test_nuclei_in_regions_are_those_of_the_whole_slide_and_are_counted_later_without_it(
    slide, engine, tmp_path, result
):
    """Restricting the work changes no nucleus, and a table of regions needs no slide."""
    ring = [[150, 80], [620, 120], [560, 520], [200, 430], [150, 80]]
    hole = [[300, 200], [400, 200], [400, 300], [300, 300], [300, 200]]
    regions = tmp_path / "drawn.geojson"
    geometry = {"type": "Polygon", "coordinates": [ring, hole]}
    regions.write_text(json.dumps({"type": "Feature", "geometry": geometry, "properties": {}}))
    polygon = shapely.Polygon(ring, [hole])

    part = segment_slide(
        slide, out_dir=tmp_path, engine=engine, settings=settings_of(), regions=regions
    )

    everywhere = read_nuclei_table(result.table_path)
    inside = everywhere.take(shapely.intersects_xy(polygon, everywhere.centroid_xy))
    found = read_nuclei_table(part.table_path)
    order = [np.lexsort(one.centroid_xy.T) for one in (inside, found)]
    assert 0 < len(found) < len(everywhere)
    for name, column in inside.measurements.items():
        assert np.array_equal(column[order[0]], found.measurements[name][order[1]]), name
    assert part.summary.provenance.segmentation_id != result.summary.provenance.segmentation_id
    assert part.summary.tissue_area_mm2 == pytest.approx(polygon.area * 0.25**2 * 1e-6, rel=0.01)
    for one in (part, result):
        (outcome,) = summarise([one.table_path], regions=regions)
        assert outcome.error is None
        (row,) = outcome.product.figures.rows
        assert row.n_nuclei == len(found)
        assert row.tissue_area_mm2 == pytest.approx(part.summary.tissue_area_mm2)
        assert row.nuclei_per_mm2 == pytest.approx(part.summary.nuclei_per_mm2)
    (whole,) = summarise([part.table_path])
    assert whole.product.figures.rows[0].nuclei_per_mm2 == pytest.approx(
        part.summary.nuclei_per_mm2
    )


def test_a_result_whose_mask_was_replaced_is_not_summarised(result, tmp_path):
    folder = result.table_path.parent
    for path in folder.glob("drawn.*"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    mask = read_mask(tmp_path / "drawn.mask.png")
    smaller = replace(mask, is_tissue=np.zeros_like(mask.is_tissue))
    write_mask(tmp_path / "drawn.mask.png", smaller, mask_record(smaller, "", ""))

    (outcome,) = summarise(results_in([tmp_path]))

    assert "is not the mask" in outcome.failure_text
    (tmp_path / "drawn.mask.png").unlink()
    (outcome,) = summarise(results_in([tmp_path]))
    row = outcome.product.figures.rows[0]
    assert (row.n_nuclei, row.nuclei_per_mm2) == (result.summary.n_nuclei, None)


def test_mask_made_for_other_content_is_refused(slide, engine, tmp_path):
    with open_slide(slide) as reader:
        mask = find_tissue(reader)
    write_mask(tmp_path / "mask.png", mask, mask_record(mask, "other", "ab" * 32))

    with pytest.raises(MaskError, match="other content"):
        segment_slide(slide, out_dir=tmp_path / "out", engine=engine, mask=tmp_path / "mask.png")


def test_a_mask_given_in_python_is_held_against_the_slide(engine, tmp_path):
    path = write_tissue_slide(tmp_path / "x.tiff")
    with open_slide(path) as reader:
        found = find_tissue(reader)
        inverted = TissueMask.of_slide(reader.info, ~found.is_tissue, "import", provenance={})

    settings = SegmentationSettings(scale=Scale(max_upsampling=5))
    with pytest.raises(MaskError, match="The tissue mask looks inverted"):
        segment_slide(
            path, out_dir=tmp_path / "out", engine=engine, mask=inverted, settings=settings
        )
