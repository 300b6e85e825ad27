"""The tags we write are those that the installed Dagster writes; a new Dagster fails here."""

import dagster as dg
import pytest

from hoverfast_platform.assets.data_versions import DATA_VERSION, input_tags, provenance_tags

KEYS = ["s0", "s1"]
slides = dg.DynamicPartitionsDefinition(name="slides")


@dg.asset(partitions_def=slides, code_version="7")
def scan():
    return dg.MaterializeResult(data_version=dg.DataVersion("as scanned"))


@dg.asset
def model():
    return dg.MaterializeResult(data_version=dg.DataVersion("m1"))


@dg.asset
def never_made():
    raise AssertionError


@pytest.mark.parametrize("code_version", ["3", None])
def test_tags_are_those_of_dagster_itself(code_version):
    ours = {}

    @dg.asset(partitions_def=slides, deps=[scan, model, never_made], code_version=code_version)
    def nuclei(context: dg.AssetExecutionContext):
        ours.update(provenance_tags(context, context.partition_key, "found"))
        return dg.MaterializeResult(data_version=dg.DataVersion("found"))

    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("slides", KEYS)
        dg.materialize([model], instance=instance)
        for key in KEYS:
            dg.materialize([scan], partition_key=key, instance=instance)
        done = dg.materialize(
            [scan, model, never_made, nuclei],
            selection=[nuclei],
            partition_key="s1",
            instance=instance,
        )
    (event,) = done.asset_materializations_for_node("nuclei")

    theirs = {
        name: value for name, value in event.tags.items() if "version" in name or "pointer" in name
    }
    assert theirs[DATA_VERSION] == "found"
    # Of the partitions of an input Dagster notes one digest. Ours is the version of the one slide;
    # test_batch.py shows that Dagster finds it fresh, and stale once it changed.
    of_the_slide = next(iter(input_tags({"scan": ""})))
    assert ours.pop(of_the_slide) == "as scanned"
    assert len(theirs.pop(of_the_slide)) == 64
    assert ours == theirs
    assert input_tags({"model": "m1"}).items() <= theirs.items()
