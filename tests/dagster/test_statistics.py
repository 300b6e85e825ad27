"""The optional assets of statistics, on two small slides."""

import dataclasses

import dagster as dg
import pyarrow.parquet as pq
import pytest

from hoverfast_platform.assets.definitions import build_definitions
from hoverfast_platform.catalogue import CohortMemberRecord, CohortRecord
from tests.builders import SLIDE, segmentation
from tests.unit.cli.test_summarise import write_result


@pytest.fixture
def platform(tmp_path):
    """A root with the option switched on, and a way to materialize some assets."""
    root = tmp_path / "artefacts"
    root.mkdir()
    (root / "neighbours.json").write_text('{"radius_um": 30}')
    location = build_definitions(root)
    resources = dict(location.resources)
    with dg.DagsterInstance.ephemeral() as instance:

        def run(*assets, key=None):
            return dg.materialize(
                [location.get_assets_def(asset) for asset in assets],
                instance=instance,
                partition_key=key,
                resources=resources,
                raise_on_error=False,
            )

        yield root, resources["store"], instance, run


def segmented(store, name, n_nuclei):
    """Key of a slide with a made-up result, as `nuclei` leaves it."""
    digest = name.ljust(64, "0")
    record = dataclasses.replace(SLIDE, sha256=digest, name=name, path=f"/{name}.tiff")
    with store.open_catalogue() as catalogue:
        catalogue.results.record(segmentation(name, record))
        key = next(one.key for one in catalogue.slides.all() if one.sha256 == digest)
    folder = store.slide(key).nuclei_dir
    folder.parent.mkdir(exist_ok=True)
    write_result(folder, name, n_nuclei)
    return key


def test_slides_and_cohorts_are_told_side_by_side(platform):
    root, store, instance, run = platform
    keys = [segmented(store, "a", 12), segmented(store, "b", 7)]
    instance.add_dynamic_partitions("slides", keys)
    assert run("neighbourhood", key=keys[0]).success
    with store.open_catalogue() as catalogue:
        slides = {known.key: known for known in catalogue.slides.all()}
        for name, key in zip(("young", "old"), keys, strict=True):
            member = CohortMemberRecord(slides[key], "p")
            catalogue.cohorts.record(CohortRecord(name, 0, name, (member,), ()), {})

    lacking = statistics_of(run("slide_statistics"))
    assert run("neighbourhood", key=keys[1]).success
    metadata = statistics_of(run("slide_statistics"))

    assert list(lacking["left_out"].value) == [keys[1]]
    assert "left_out" not in metadata
    assert metadata["n_slides"].value == 2
    assert {row.data["cohort"] for row in metadata["cohorts"].records} == {"old", "young"}
    table = pq.read_table(root / "statistics" / "slides.parquet")
    assert sorted(table["slide"].to_pylist()) == sorted(keys)
    assert "local_density_per_mm2_p50" in table.column_names
    page = (root / "statistics" / "slides.html").read_text("utf-8")
    assert "Slide by slide: old" in page


def statistics_of(result):
    assert result.success
    (event,) = result.asset_materializations_for_node("slide_statistics")
    return event.metadata


def test_before_any_slide_is_segmented_the_remedy_is_said(platform):
    *_, run = platform

    failed = run("slide_statistics")

    assert not failed.success
    failure = failed.failure_data_for_node("slide_statistics").error
    assert "Materialize nuclei and neighbourhood first." in str(failure)


def test_the_assets_are_an_option(tmp_path):
    graph = build_definitions(tmp_path).resolve_asset_graph()
    keys = {key.to_user_string() for key in graph.get_all_asset_keys()}

    assert "nuclei" in keys
    assert "neighbourhood" not in keys
