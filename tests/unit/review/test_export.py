import json

import numpy as np
import pytest

from hoverfast_platform.errors import LabelError
from hoverfast_platform.review.export import write_review
from hoverfast_platform.review.log import ReviewLog
from hoverfast_platform.review.state import Proposal, add_up
from hoverfast_platform.slide.digest import slide_digest
from hoverfast_platform.storage.nuclei_lookup import NucleiLookup
from hoverfast_platform.storage.nuclei_table import write_nuclei_table
from hoverfast_platform.teachers.corrections import Review, import_review
from tests.builders import NAMESPACE, squares, write_slide

REGION = ((-5.0, -5.0), (55.0, -5.0), (55.0, 40.0), (-5.0, 40.0))
NEW = ((30.0, 20.0), (42.0, 20.0), (42.0, 30.0), (30.0, 30.0))


def reviewed(tmp_path):
    nuclei = squares(6)  # at x 0, 20, 40, 60, 80, 100
    table = tmp_path / "n.parquet"
    write_nuclei_table(table, [nuclei], list(nuclei.measurements), metadata={}, namespace=NAMESPACE)
    lookup = NucleiLookup(table, reach_px=30)
    log = ReviewLog(tmp_path / "s.edits.jsonl")
    log.add(Proposal(kind="region", outlines=(REGION,)), "Ada")
    log.add(Proposal(kind="reject", targets=tuple(lookup.ids(np.array([1]))), rows=(1,)), "Ada")
    log.add(Proposal(kind="add", outlines=(NEW,), class_name="plasma cell"), "Bo")
    log.add(Proposal(kind="wrong_tile", outlines=(((80, 0), (120, 0), (120, 20), (80, 20)),)), "Bo")
    return lookup, add_up(log.edits())


def test_the_file_holds_the_nuclei_of_the_regions_as_they_are_now(tmp_path):
    lookup, state = reviewed(tmp_path)
    n = write_review(
        tmp_path / "s.geojson", state, lookup, slide_sha256="a" * 64, segmentation_id="seg"
    )
    content = json.loads((tmp_path / "s.geojson").read_text())
    names = [f["properties"]["classification"]["name"] for f in content["features"]]
    assert n == 3
    assert sorted(names) == ["Nucleus", "Nucleus", "Reviewed", "Wrong tile*", "plasma cell"]
    assert content["provenance"]["source"] == "hoverfast viewer"
    assert content["provenance"]["reviewed_by"] == ["Ada", "Bo"]
    drawn = next(f for f in content["features"] if "metadata" in f["properties"])
    assert drawn["properties"]["metadata"]["by"] == "Ada"


def test_corrections_takes_the_file_and_counts_the_changes(tmp_path):
    lookup, state = reviewed(tmp_path)
    slide = write_slide(tmp_path / "s.tif", np.full((200, 300, 3), 230, np.uint8), mpp=0.25)
    write_review(tmp_path / "s.geojson", state, lookup, slide_sha256=slide_digest(slide))
    done = import_review(Review(slide, tmp_path / "s.geojson", reviewed_by="Ada"), tmp_path / "set")
    assert done.n_nuclei == 3
    assert len(done.stems) == 1


def test_corrections_of_another_slide_are_refused(tmp_path):
    lookup, state = reviewed(tmp_path)
    slide = write_slide(tmp_path / "s.tif", np.full((200, 300, 3), 230, np.uint8), mpp=0.25)
    write_review(tmp_path / "s.geojson", state, lookup, slide_sha256="b" * 64)
    with pytest.raises(LabelError, match="another slide"):
        import_review(Review(slide, tmp_path / "s.geojson"), tmp_path / "set")
