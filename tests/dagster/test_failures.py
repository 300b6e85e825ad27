"""A step of learning that fails: tried again only where that may help."""

import dagster as dg
import pytest

from hoverfast_platform.assets.failures import failures_by_kind
from hoverfast_platform.assets.names import Names
from hoverfast_platform.errors import ComputeError, TrainingError
from hoverfast_platform.resources.artefact_folder import ArtefactFolder


@pytest.mark.parametrize(
    ("errors", "n_tried", "succeeds"),
    [
        ([ComputeError("out of memory")] * 2, 3, True),
        ([ComputeError("out of memory")] * 9, 3, False),
        ([TrainingError("no nuclei", "Label some.")], 1, False),
    ],
)
def test_what_may_pass_is_tried_again_and_the_rest_is_explained(
    errors, n_tried, succeeds, tmp_path
):
    left, tried = list(errors), []
    store = ArtefactFolder(root=str(tmp_path))

    @dg.asset(partitions_def=Names().cohorts)
    def step(context: dg.AssetExecutionContext):
        with failures_by_kind(context, store, pause_s=0):
            tried.append(1)
            if left:
                raise left.pop(0)

    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("cohorts", ["skin"])
        result = dg.materialize(
            [step], partition_key="skin", instance=instance, raise_on_error=False
        )

        shown = instance.fetch_observations(dg.AssetKey("step"), limit=9).records

    assert (len(tried), result.success) == (n_tried, succeeds)
    with store.open_catalogue() as catalogue:
        recorded = catalogue.results.failures()
    told = [(f.cohort, f.step, f.path, f.run_id) for f in recorded]
    plan = str(tmp_path / "cohorts" / "skin.json")
    assert told == ([] if succeeds else [("skin", "step", plan, result.run_id)])
    assert [record.partition_key for record in shown] == ([] if succeeds else ["skin"])
    if n_tried == 1:
        on_its_page = shown[0].asset_observation.metadata
        assert {name: entry.value for name, entry in on_its_page.items()} == {
            "why_it_failed": "no nuclei",
            "what_to_do": "Label some.",
            "kind": "training",
        }
        failure = result.failure_data_for_node("step").user_failure_data
        assert failure.description == "no nuclei"
        assert failure.metadata["remedy"].value == "Label some."
        assert failure.metadata["kind"].value == "training"
