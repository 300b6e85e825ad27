"""From a correction in the viewer to the next training set, without a browser."""

import json

import dagster as dg
import pytest

from hoverfast_platform.assets.corrections import corrections_made
from hoverfast_platform.assets.definitions import build_definitions
from hoverfast_platform.catalogue import Catalogue
from hoverfast_platform.cohorts.changes import look_at_cohorts
from hoverfast_platform.cohorts.cohort import LearningFolder
from hoverfast_platform.errors import TrainingError
from hoverfast_platform.review.state import Proposal
from hoverfast_platform.use_cases.learn import make_teacher_labels, resolve_cohort
from hoverfast_platform.viewer.library import open_library
from hoverfast_platform.viewer.showroom import Showroom
from tests.browser.exhibit import CENTRES, LONE, write_exhibition

PLAN = {
    "slides_like": "*.tiff",
    "labels": {"folder": "../corrections", "only_reviewed": True, "licence": "CC-BY-4.0"},
    "sampling": {"validation_fraction": 0, "tile_px": 400},
}
REGION = ((100.0, 100.0), (500.0, 100.0), (500.0, 500.0), (100.0, 500.0))


@pytest.fixture
def lab(tmp_path):
    """Artefacts with a slide, its result and a plan; ``(exhibition, folder, catalogue)``."""
    exhibition = write_exhibition(tmp_path)
    root = exhibition.results
    (root / "cohorts").mkdir()
    (root / "cohorts" / "site.json").write_text(json.dumps(PLAN))
    resources = build_definitions(root).resources
    resources["store"].register(exhibition.slide)
    with Catalogue.open(root / "catalogue.sqlite") as catalogue:
        yield exhibition, LearningFolder(root), catalogue


def review(exhibition, *proposals, by="Ada"):
    """What the page sends, through what answers it."""
    folders = [exhibition.slide.parent]
    room = Showroom(
        lambda: open_library(exhibition.results, slide_folders=folders),
        exhibition.results / "corrections",
    )
    first = next(e for e in room.library.exhibits if "first" in e.title)
    shown = room.show(first.key)
    for proposal in proposals:
        shown.review_log.add(proposal, by)
    shown.save_review()
    return shown


def test_a_rejected_nucleus_is_not_in_the_next_training_set(lab):
    exhibition, folder, catalogue = lab
    with pytest.raises(TrainingError, match="is empty"):
        resolve_cohort(folder, catalogue, "site")
    shown = review(exhibition, Proposal(kind="region", outlines=(REGION,)))
    before = resolve_cohort(folder, catalogue, "site")
    made = make_teacher_labels(folder, catalogue, before)
    assert (len(made.training), int(made.training.n_nuclei.sum())) == (1, 2)

    name, _ = shown.lookup.row(LONE)
    review(exhibition, Proposal(kind="reject", targets=(name,), rows=(LONE,), seen=1))
    (change,) = look_at_cohorts(folder, catalogue, {}, now_s=0.0, quiet_s=600.0).changes
    assert change.version == before.version + 1
    after = resolve_cohort(folder, catalogue, "site")
    made = make_teacher_labels(folder, catalogue, after)
    assert int(made.training.n_nuclei.sum()) == 1
    (patch,) = (made.training.read(i) for i in range(len(made.training)))
    assert patch.group == after.members[0].patient
    x, y = (CENTRES[LONE] - 100).astype(int)
    assert patch.instance_map[y, x] == 0
    assert tuple(patch.image[y, x]) == pytest.approx((110, 60, 140), abs=4)


def test_corrections_of_qupath_are_learned_from_too_and_told_apart(lab):
    exhibition, folder, catalogue = lab
    review(exhibition, Proposal(kind="region", outlines=(REGION,)))
    ours = next((exhibition.results / "corrections").glob("*.geojson"))
    exported = json.loads(ours.read_text())
    del exported["provenance"]
    (exhibition.results / "corrections" / "skin.geojson").write_text(json.dumps(exported))
    made = make_teacher_labels(folder, catalogue, resolve_cohort(folder, catalogue, "site"))
    assert len(made.training) == 2
    (manifest,) = folder.root.rglob("manifest.csv")
    sources = [line.split(",")[6] for line in manifest.read_text().splitlines()]
    assert sources[0] == "source"
    assert sorted(sources[1:]) == ["QuPath", "hoverfast viewer"]


def test_what_was_corrected_is_a_new_version_of_an_asset(lab):
    exhibition, folder, _ = lab
    store = build_definitions(folder.root).resources["store"]
    with dg.DagsterInstance.ephemeral() as instance:

        def look(cursor):
            return corrections_made(
                dg.build_sensor_context(instance=instance, cursor=cursor), store
            )

        assert isinstance(look(None), dg.SkipReason)
        review(exhibition, Proposal(kind="region", outlines=(REGION,)))
        found = look(None)
        (event,) = found.asset_events
        assert event.asset_key == dg.AssetKey("corrections")
        assert event.metadata["n_regions"].value == 1
        (row,) = (record.data for record in event.metadata["files"].records)
        assert (row["source"], row["reviewed_by"]) == ("hoverfast viewer", "Ada")
        assert isinstance(look(found.cursor), dg.SkipReason)
