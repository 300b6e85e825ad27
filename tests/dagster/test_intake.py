"""The sensor and the asset that take slides in, told tick by tick."""

import os
import time

import dagster as dg
import pytest

from hoverfast_platform.assets.definitions import build_definitions
from hoverfast_platform.assets.partitions import range_tags
from hoverfast_platform.assets.sensors import lost_runs, new_slides, returned_slides
from hoverfast_platform.assets.slide_inventory import INVENTORY_VERSION, NO_QUARANTINE
from hoverfast_platform.resources.heartbeat import Heartbeat, silent_runs
from hoverfast_platform.synthetic import write_synthetic_slide
from tests.dagster.parts import slide, slide_inventory, tissue_mask


class Platform:
    """An instance whose sensor is ticked, and whose requests are carried out, by hand."""

    def __init__(self, folder, instance):
        self.folder = folder / "slides"
        self.folder.mkdir()
        self.instance = instance
        self.defs = build_definitions(folder / "artefacts", slide_folders=[self.folder], settle_s=0)
        self.store = self.defs.resources["store"]

    def tick(self):
        result = new_slides(
            dg.build_sensor_context(instance=self.instance),
            self.store,
            self.defs.resources["slide_folders"],
        )
        for request in result.dynamic_partitions_requests:
            self.instance.add_dynamic_partitions(
                request.partitions_def_name, request.partition_keys
            )
        return result

    def materialize(self, config=None):
        return dg.materialize(
            [slide_inventory],
            instance=self.instance,
            resources=self.defs.resources,
            run_config={"ops": {"slide_inventory": {"config": config or {}}}},
        )

    def keys(self):
        return self.instance.get_dynamic_partitions("slides")

    def add(self, name, seed=0):
        path = self.folder / name
        write_synthetic_slide(path, width_px=144, height_px=128, seed=seed)
        return path


@pytest.fixture
def platform(tmp_path):
    with dg.DagsterInstance.ephemeral() as instance:
        yield Platform(tmp_path, instance)


def test_a_name_that_is_not_text_stops_no_other_file_and_is_shown(platform):
    platform.add("![p](x).tiff")
    (platform.folder / "good.tiff").write_bytes((next(platform.folder.iterdir())).read_bytes())
    (platform.folder / os.fsdecode(b"bad\xff\x1b[2J.tiff")).write_bytes(b"II*\0")

    for _ in range(2):
        platform.tick()
    result = platform.materialize()

    assert len(platform.keys()) == 1  # both good files hold the same slide
    (event,) = result.asset_materializations_for_node("slide_inventory")
    (check,) = result.get_asset_check_evaluations()
    assert not check.passed
    assert "1 not looked at" in check.description
    problems = event.metadata["problems"].value
    assert r"bad\\xff\\x1b\[2J\.tiff has a name" in problems
    assert platform.tick().skip_reason.skip_message.endswith("2 registered")


def test_missing_duplicate_and_replaced_files_are_listed_with_what_to_do(platform):
    for seed, name in enumerate(("gone.tiff", "once.tiff", "other.tiff")):
        platform.add(name, seed)
    (platform.folder / "again.tiff").write_bytes((platform.folder / "once.tiff").read_bytes())
    for _ in range(2):
        platform.tick()
    platform.materialize()
    (platform.folder / "gone.tiff").unlink()
    platform.add("other.tiff", 7)
    for _ in range(3):
        platform.tick()

    result = platform.materialize()

    (event,) = result.asset_materializations_for_node("slide_inventory")
    rows = [record.data for record in event.metadata["remarks"].records]
    assert [(row["what"], row["file"]) for row in rows] == [
        ("missing", "gone.tiff"),
        ("duplicate", "again.tiff"),
        ("duplicate", "once.tiff"),
        ("replaced", "other.tiff"),
    ]
    assert rows[3]["slide"].startswith("other-")
    assert all(row["what_to_do"] for row in rows)
    assert event.metadata["missing_files"].value == 1
    # A list that changed makes no slide stale.
    assert event.tags["dagster/data_version"] == INVENTORY_VERSION


def test_new_file_is_waited_for_registered_and_left_alone(platform):
    assert "no slides" in platform.tick().skip_reason.skip_message
    platform.add("a.tiff")
    assert platform.tick().run_requests == []
    (request,) = platform.tick().run_requests
    assert request.run_config["ops"]["slide_inventory"]["config"] == {"retry_quarantined": False}

    result = platform.materialize()

    assert platform.keys()[0].startswith("a-")
    (event,) = result.asset_materializations_for_node("slide_inventory")
    assert event.metadata["new_slides"].value == 1
    again = platform.tick()
    assert again.run_requests == []
    assert again.skip_reason.skip_message == "1 registered"


def test_no_second_intake_is_requested_while_one_is_under_way(platform):
    platform.add("a.tiff")
    platform.tick()
    (request,) = platform.tick().run_requests
    platform.instance.create_run_for_job(
        dg.Definitions.merge(platform.defs).resolve_implicit_global_asset_job_def(),
        tags=request.tags,
        status=dg.DagsterRunStatus.STARTED,
    )

    assert platform.tick().run_requests == []


def test_slide_registered_by_a_run_that_was_killed_gets_its_partition(platform):
    platform.add("a.tiff")
    platform.tick()
    platform.tick()
    platform.materialize()
    (key,) = platform.keys()
    platform.instance.delete_dynamic_partition("slides", key)  # as if killed before adding it

    platform.tick()

    assert platform.keys() == [key]


def test_bad_files_are_listed_with_a_remedy_and_a_scale_can_be_given(platform):
    import numpy as np
    import tifffile

    tifffile.imwrite(
        platform.folder / "b.tiff",
        np.zeros((64, 72, 3), np.uint8),
        photometric="rgb",
        tile=(32, 32),
    )
    (platform.folder / "c.svs").write_bytes(b"no slide")
    platform.tick()
    platform.tick()

    result = platform.materialize()

    (event,) = result.asset_materializations_for_node("slide_inventory")
    rows = [record.data for record in event.metadata["quarantine"].records]
    assert [row["kind"] for row in rows] == ["missing_mpp", "unreadable_slide"]
    assert "mpp: {b.tiff: 0.25}" in rows[0]["what_to_do"]
    (check,) = result.get_asset_check_evaluations()
    assert (check.check_name, check.passed) == (NO_QUARANTINE, False)

    platform.materialize({"mpp": {"b.tiff": 0.5}})

    (key,) = platform.keys()
    assert platform.store.slide(key).scale().mpp_override == 0.5


def test_a_rule_gives_the_scale_of_a_folder_and_a_person_that_of_a_file(platform):
    rules = platform.folder.parent / "artefacts" / "mpp.json"
    rules.parent.mkdir(exist_ok=True)
    rules.write_text('{"rules": [{"files": "*/scanner/*", "mpp": 0.5}]}')
    (platform.folder / "scanner").mkdir()
    for i, name in enumerate(("scanner/a.tiff", "scanner/b.tiff", "c.tiff")):
        platform.add(name, i)
    platform.defs = build_definitions(rules.parent, slide_folders=[platform.folder], settle_s=0)
    for _ in range(2):
        platform.tick()

    platform.materialize({"mpp": {"b.tiff": 0.23}})

    keys = platform.keys()
    scales = {key[0]: platform.store.slide(key).scale().mpp_override for key in keys}
    assert scales == {"a": 0.5, "b": 0.23, "c": None}


def test_slides_whose_share_was_away_go_on_once_it_is_back(platform):
    for i in range(2):
        platform.add(f"{i}.tiff", seed=i)
    platform.tick()
    platform.tick()
    platform.materialize()
    keys = platform.keys()

    def back(cursor=None):
        context = dg.build_sensor_context(instance=platform.instance, cursor=cursor)
        return returned_slides(context, platform.store)

    def describe(asset=slide):
        return dg.materialize(
            [asset],
            instance=platform.instance,
            resources=platform.defs.resources,
            tags=range_tags(keys),
            raise_on_error=False,
        )

    assert describe().success
    away = platform.folder.rename(platform.folder.parent / "away")
    assert not describe(tissue_mask).success
    with platform.store.open_catalogue() as catalogue:
        assert {failure.kind for failure in catalogue.results.failures()} == {"absent_slide"}
    assert "not back" in back().skip_message

    away.rename(platform.folder)

    asked = back()
    (request,) = asked.run_requests
    assert request.asset_selection == [tissue_mask.key]  # the first that they lack
    assert range_tags(keys).items() <= request.tags.items()
    assert "not back" in back(asked.cursor).skip_message  # once per failure
    assert describe(tissue_mask).success

    # A mask that is there, and was to be made again while the share was away, is asked for too.
    away = platform.folder.rename(platform.folder.parent / "away")
    assert not describe(tissue_mask).success
    away.rename(platform.folder)
    (request,) = back(asked.cursor).run_requests
    assert request.asset_selection == [tissue_mask.key]


@pytest.mark.parametrize("has_beaten", [True, False])
def test_run_without_a_sign_of_life_is_given_up(platform, has_beaten):
    defs = dg.Definitions.merge(platform.defs)
    run = platform.instance.create_run_for_job(
        defs.resolve_implicit_global_asset_job_def(), status=dg.DagsterRunStatus.STARTED
    )
    context = dg.build_sensor_context(instance=platform.instance)
    if has_beaten:
        beat = Heartbeat(platform.store.root, run.run_id)
        beat._stop.set()  # the process is killed
        beat._thread.join()
        silent_since = time.time() - 300
        os.utime(beat._path, (silent_since, silent_since))

    assert "all alive" in lost_runs(context, platform.store, lost_after_s=60).skip_message
    assert run.run_id in lost_runs(context, platform.store, lost_after_s=0).skip_message
    assert platform.instance.get_run_by_id(run.run_id).status is dg.DagsterRunStatus.FAILURE


def test_run_is_alive_as_long_as_its_heart_beats(tmp_path):
    long_ago = {"r": time.time() - 1000}
    assert list(silent_runs(str(tmp_path), long_ago, lost_after_s=120)) == ["r"]
    beat = Heartbeat(str(tmp_path), "r", every_s=0.01)
    os.utime(beat._path, (0, 0))
    for _ in range(500):
        if beat._path.stat().st_mtime > 0:
            break
        time.sleep(0.01)
    assert silent_runs(str(tmp_path), long_ago, lost_after_s=120) == {}
    beat.stop()
    # Between its last step and its end a run is not lost.
    assert silent_runs(str(tmp_path), long_ago, lost_after_s=120) == {}


def test_files_of_runs_that_ended_are_removed(tmp_path):
    Heartbeat(str(tmp_path), "r").stop()
    assert silent_runs(str(tmp_path), {}, lost_after_s=120) == {}
    assert len(list((tmp_path / "heartbeats").iterdir())) == 1

    silent_runs(str(tmp_path), {}, lost_after_s=-1)

    assert not list((tmp_path / "heartbeats").iterdir())
