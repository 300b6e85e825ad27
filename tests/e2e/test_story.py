"""A day of the platform, with the real webserver, daemon and a browser, nobody clicking.

The tests are chapters: each goes on from where the one before left the platform. All is small:
crops of a real slide, two steps of training.
"""

import json
import os
import shutil
from pathlib import Path

import pytest

from hoverfast_platform.catalogue import Catalogue
from tests.e2e.arriving_slides import write_crop
from tests.e2e.questions import events, partitions, runs, stale_because_of, switch_on
from tests.e2e.running_platform import RunningPlatform
from tests.e2e.screenshots import open_browser

pytestmark = pytest.mark.e2e

PATIENCE_S = float(os.environ.get("E2E_PATIENCE_S", "1500"))
"""For what takes three minutes on two idle cores."""

PLAN = {
    "slides_like": "*_skin.tiff",
    "patient_pattern": "^(p[0-9])_",
    "teacher": "classical",
    "sampling": {"tiles_per_slide": 1, "tile_px": 256, "validation_fraction": 0.5},
    # A learning rate of next to nothing: the student is as good as its parent.
    "training": {"n_steps": 2, "batch_size": 1, "crop_px": 64, "n_loaders": 0,
                 "learning_rate": 1e-9, "warmup_steps": 0, "ema_decay": 0.0},
    "gate": {"min_dice": 0, "min_aji": 0, "min_pq": 0, "min_f1": 0,
             "min_images": 1, "min_nuclei": 1, "tolerance": 0.1},
}  # fmt: skip


@pytest.fixture(scope="module")
def crops(shared_data, tmp_path_factory):
    """Three small slides of real tissue."""
    folder = tmp_path_factory.mktemp("crops")
    source = shared_data / "slides" / "CMU-1-Small-Region.svs"
    return [write_crop(source, i, folder / f"p{i}_skin.tiff", side_px=192) for i in range(3)]


@pytest.fixture(scope="module")
def platform(tmp_path_factory):
    made = RunningPlatform(
        tmp_path_factory.mktemp("platform"),
        HOVERFAST_SETTLE_S="2",
        HOVERFAST_COHORT_QUIET_S="10",
        HOVERFAST_LOST_AFTER_S="20",
    )
    with made.running():
        yield made


@pytest.fixture(scope="module")
def pictures(request, tmp_path_factory):
    """Folder of the screenshots, in which they stay."""
    given = request.config.getoption("--screenshots")
    return Path(given) if given else tmp_path_factory.mktemp("screenshots")


def write_plan(platform, **changes):
    folder = platform.artefacts / "cohorts"
    folder.mkdir(exist_ok=True)
    part = folder / "skin.part"
    part.write_text(json.dumps(PLAN | changes))
    part.replace(folder / "skin.json")


def quarantine(platform):
    """Kind and remedy of every file in quarantine, by name; None before the first look."""
    inventory = events(platform, "slide_inventory")
    if not inventory:
        return None
    rows = [
        json.loads(row) for row in inventory[0].metadata.get("quarantine", {}).get("records", [])
    ]
    return {row["file"]: row for row in rows}


def n_made(platform, asset):
    """How often each partition was materialized."""
    found = events(platform, asset)
    keys = [event.partition for event in found]
    return {key: keys.count(key) for key in keys}


def model_in_use(platform):
    return events(platform, "segmentation_model")[0].metadata["sha256"]


def promoted(platform):
    with Catalogue.open(platform.artefacts / "catalogue.sqlite") as catalogue:
        return catalogue.models.promoted().sha256


def wait_for_evaluation(platform, number):
    platform.wait_for(
        lambda: len(events(platform, "model_evaluation")) == number,
        f"student {number}",
        within_s=PATIENCE_S,
    )


def wait_for_promotions(platform):
    """Whoever passed the gate is promoted once an automation has looked, half a minute later."""
    gates = [event.metadata["gate"] for event in events(platform, "model_evaluation")]
    n_passed = sum(not gate.startswith("stays a candidate: ") for gate in gates)
    platform.wait_for(
        lambda: len(events(platform, "promoted_model")) == n_passed,
        f"{n_passed} promotions",
        within_s=300,
    )


def is_idle(platform):
    return not [run for run in runs(platform) if run.status in ("QUEUED", "STARTING", "STARTED")]


def test_1_dropped_slides_become_nuclei(platform, crops, shared_data):
    slides = shared_data / "slides"
    for path in crops[:2]:
        shutil.copyfile(path, platform.slides / path.name)
    half = crops[2].read_bytes()
    (platform.slides / crops[2].name).write_bytes(half[: len(half) // 2])
    for name in ("histolab_broken.svs", "TCGA-CR-7395-01A-01-TS1.svs"):
        shutil.copyfile(slides / name, platform.slides / name)

    platform.wait_for(
        lambda: len(partitions(platform, "nuclei")[0]) == 2, "nuclei", within_s=PATIENCE_S
    )

    made = {event.partition.partition("-")[0]: event for event in events(platform, "nuclei")}
    assert set(made) == {"p0_skin", "p1_skin"}
    for event in made.values():
        assert event.metadata["n_nuclei"] > 0
        assert event.metadata["seconds_per_mm2"] > 0
        assert "data:image/webp" in event.metadata["overlay"]
    # Both slides shared one run, and so one loaded model.
    assert len({event.run_id for event in made.values()}) == 1


def test_2_bad_files_are_explained(platform):
    bad = quarantine(platform)
    assert {name: row["kind"] for name, row in bad.items()} == {
        "histolab_broken.svs": "unreadable_slide",
        "TCGA-CR-7395-01A-01-TS1.svs": "missing_mpp",
        "p2_skin.tiff": "incomplete_slide",
    }
    assert "mpp: {TCGA-CR-7395-01A-01-TS1.svs" in bad["TCGA-CR-7395-01A-01-TS1.svs"]["what_to_do"]
    assert "taken up by itself" in bad["p2_skin.tiff"]["what_to_do"]


def test_3_cohort_is_learned_from_and_older_nuclei_turn_stale(platform):
    before = model_in_use(platform)
    keys = partitions(platform, "nuclei")[0]
    assert [stale_because_of(platform, "nuclei", key) for key in keys] == [set(), set()]

    write_plan(platform)
    platform.wait_for(
        lambda: events(platform, "promoted_model"), "promoted model", within_s=PATIENCE_S
    )

    platform.wait_for(lambda: model_in_use(platform) != before, "new model in use", within_s=300)
    for key in keys:
        assert stale_because_of(platform, "nuclei", key) == {"segmentation_model"}
    assert n_made(platform, "nuclei") == dict.fromkeys(keys, 1)  # stale, and left alone


def test_4_killed_in_the_middle_nothing_is_lost_or_done_twice(platform, crops):
    shutil.copyfile(crops[2], platform.slides / crops[2].name)  # the copy is finished

    def new_slide_is_in_work():
        return [
            run
            for run in runs(platform)
            if run.status == "STARTED" and run.tags.get("dagster/partition", "").startswith("p2_")
        ]

    (killed,) = platform.wait_for(new_slide_is_in_work, "run of p2", within_s=PATIENCE_S)
    assert platform.kill_all_but_webserver() > 2  # with the run
    platform.start_again()
    platform.wait_for(
        lambda: len(partitions(platform, "nuclei")[0]) == 3, "nuclei of p2", within_s=PATIENCE_S
    )
    platform.wait_for(
        lambda: len(events(platform, "model_evaluation")) == 2,
        "second student",
        within_s=PATIENCE_S,
    )
    platform.wait_for(lambda: is_idle(platform), "rest", within_s=PATIENCE_S)

    assert {run.run_id: run.status for run in runs(platform)}[killed.run_id] == "FAILURE"
    for asset in ("slide", "tissue_mask", "nuclei"):
        counts = n_made(platform, asset)
        assert len(counts) == 3
        assert set(counts.values()) == {1}, (asset, counts)
    # Its slide joined the cohort: learned from again, once.
    versions = [event.metadata["version"] for event in events(platform, "cohort")]
    assert versions == [2, 1]
    assert n_made(platform, "student_model") == {"skin": 2}
    assert set(quarantine(platform)) == {"histolab_broken.svs", "TCGA-CR-7395-01A-01-TS1.svs"}


def test_5_worse_student_is_not_promoted_and_says_why(platform):
    wait_for_promotions(platform)  # of the student of the story so far
    before, n_promoted = promoted(platform), len(events(platform, "promoted_model"))
    # The sensor looks every half minute.
    platform.wait_for(lambda: model_in_use(platform) == before, "model in use", within_s=300)

    write_plan(platform, parent="")  # from random weights, in two steps
    wait_for_evaluation(platform, 3)
    platform.wait_for(lambda: is_idle(platform), "rest", within_s=PATIENCE_S)

    newest = events(platform, "model_evaluation")[0]
    assert newest.metadata["gate"].startswith("stays a candidate: ")
    assert "is worse than the promoted model's" in newest.metadata["gate"]
    assert len(events(platform, "promoted_model")) == n_promoted
    assert model_in_use(platform) == promoted(platform) == before
    with Catalogue.open(platform.artefacts / "catalogue.sqlite") as catalogue:
        stages = {model.name: model.stage for model in catalogue.models.standings()}
    assert stages["skin-v3"] == "candidate"
    assert "promoted" in stages.values()


def test_6_older_nuclei_are_made_again_once_that_is_switched_on(platform):
    keys = partitions(platform, "nuclei")[0]
    old = {key for key in keys if stale_because_of(platform, "nuclei", key)}
    assert len(old) >= 2
    n_events = len(events(platform, "nuclei"))

    switch_on(platform, "resegment_slides")
    platform.wait_for(
        lambda: not any(stale_because_of(platform, "nuclei", key) for key in keys),
        "fresh nuclei",
        within_s=PATIENCE_S,
    )

    assert n_made(platform, "nuclei") == {key: 2 if key in old else 1 for key in keys}
    newest = events(platform, "nuclei")[:-n_events]
    assert len({event.run_id for event in newest}) == 1  # neighbours share a run
    in_use = events(platform, "segmentation_model")[0].metadata["model"]
    assert {event.metadata["model"] for event in newest} == {in_use}


def test_7_all_of_it_is_seen_in_the_browser(platform, pictures):
    key = sorted(partitions(platform, "nuclei")[0])[0]
    nuclei = f"/assets/nuclei?view=partitions&partition={key}"
    run_id = events(platform, "nuclei")[-1].run_id
    with open_browser(platform, pictures) as browser:
        browser.visit("lineage", "/asset-groups", shows=("slides", "segmentation", "learning"))
        browser.visit(
            "quarantine",
            "/assets/slide_inventory",
            shows=("Every slide file in the watched folders", "TCGA-CR-7395-01A-01-TS1.svs"),
        )
        browser.visit("nuclei", nuclei, shows=("n_nuclei", "lineage", "tissue mask"))
        browser.visit("overlay", nuclei, click=("[Show Markdown]",), shows=("overlay",))
        browser.visit(
            "over-time",
            "/assets/nuclei",
            click=("Plots",),
            shows=("nuclei_per_mm2", "seconds_per_mm2"),
        )
        browser.visit(
            "dice-over-time",
            "/assets/model_evaluation",
            click=("Plots", "Events"),
            shows=("dice", "aji"),
        )
        browser.visit(
            "checks",
            "/assets/nuclei?view=checks",
            shows=("looks_like_its_cohort", "opens_in_qupath"),
        )
        browser.visit(
            "evaluation",
            "/assets/model_evaluation?view=partitions&partition=skin",
            shows=("stays a candidate", "dice"),
        )
        browser.visit(
            "model", "/assets/segmentation_model", shows=("slides_of_other_models", "promoted:")
        )
        browser.visit("automation", "/automation", shows=("cohort_changes", "new_slides"))
        browser.visit("run", f"/runs/{run_id}", shows=("tiles",))
        browser.visit("runs", "/runs", shows=("Success",))
