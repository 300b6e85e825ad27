"""What a run of many slides records: each slide alone, with the tags that make it turn stale."""

import dagster as dg
import pytest
from dagster._core.definitions.data_version import CachingStaleStatusResolver
from dagster._core.loader import LoadingContextForTest

from hoverfast_platform.assets.batch import N_ATTEMPTS, SlideProduct, process_slides
from hoverfast_platform.assets.names import Names
from hoverfast_platform.assets.segmentation_model import models_version, used_version
from hoverfast_platform.catalogue import Catalogue, SlideRecord
from hoverfast_platform.errors import ComputeError, MissingMppError
from hoverfast_platform.resources.artefact_folder import ArtefactFolder

KEYS = ["s0-aaaaaaaaaa", "s1-bbbbbbbbbb", "s2-cccccccccc"]
S0, S1, S2 = KEYS


class Slides:
    """Content per slide key; what it fails with, and how often it was tried."""

    def __init__(self):
        self.content = {key: f"{key} as scanned" for key in KEYS}
        self.failure = {}
        self.n_tried = dict.fromkeys(KEYS, 0)
        self.model_of = {}
        self.severity = dg.AssetCheckSeverity.WARN

    def make(self, key):
        """Two slides pass the check, the second does not."""
        self.n_tried[key] += 1
        errors = self.failure.get(key, [])
        if errors:
            raise errors.pop(0)
        return SlideProduct(
            {"length": len(self.content[key])},
            self.content[key],
            None,
            (dg.AssetCheckResult(passed=key != S1, check_name="is_plain", severity=self.severity),),
        )


@pytest.fixture
def platform(tmp_path):
    made = Slides()
    store = ArtefactFolder(root=str(tmp_path))
    with Catalogue.open(tmp_path / "catalogue.sqlite") as catalogue:
        for key in KEYS:
            name, digest = key.split("-")
            record = SlideRecord(digest, name, f"/{name}", "v", 1, 1, 0.25, 0.25, "file")
            assert catalogue.slides.register(record) == key
    per_slide = {
        "partitions_def": Names().slides,
        "output_required": False,
        "backfill_policy": dg.BackfillPolicy.multi_run(8),
        "code_version": "1",
    }

    @dg.asset
    def model():
        return dg.MaterializeResult(data_version=dg.DataVersion("m1"))

    @dg.asset(
        check_specs=[
            dg.AssetCheckSpec(
                "is_plain", asset="scan", partitions_def=Names().slides, blocking=True
            )
        ],
        **per_slide,
    )
    def scan(context: dg.AssetExecutionContext, store: ArtefactFolder):
        yield from process_slides(context, store, made.make, pause_s=0)

    @dg.asset(deps=[scan, model], **per_slide)
    def product(context: dg.AssetExecutionContext, store: ArtefactFolder):
        def make(key):
            used = {"model": made.model_of[key]} if key in made.model_of else {}
            return SlideProduct({}, "of " + made.content[key], made=None, input_versions=used)

        yield from process_slides(context, store, make)

    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("slides", KEYS)
        yield made, [model, scan, product], instance, store


def run(platform, name, keys=KEYS):
    _, assets, instance, store = platform
    return dg.materialize(
        assets,
        selection=[name],
        instance=instance,
        resources={"store": store},
        raise_on_error=False,
        tags={
            "dagster/asset_partition_range_start": keys[0],
            "dagster/asset_partition_range_end": keys[-1],
        },
    )


def staleness(platform):
    _, assets, instance, store = platform
    defs = dg.Definitions(assets=assets, resources={"store": store})
    resolver = CachingStaleStatusResolver(
        instance=instance,
        asset_graph=defs.resolve_asset_graph(),
        loading_context=LoadingContextForTest(instance),
    )
    return {key: resolver.get_status(dg.AssetKey("product"), key).value for key in KEYS}


def test_products_of_a_batch_turn_stale_with_their_input_alone(platform):
    made, assets, instance, _ = platform
    dg.materialize([assets[0]], instance=instance)
    assert run(platform, "scan").success
    assert run(platform, "product").success
    assert set(staleness(platform).values()) == {"FRESH"}

    run(platform, "scan")  # again, nothing changed
    assert set(staleness(platform).values()) == {"FRESH"}

    made.content[S1] = "scanned again"
    run(platform, "scan")
    assert staleness(platform) == {S0: "FRESH", S1: "STALE", S2: "FRESH"}


def test_a_blocking_check_of_severity_error_fails_its_slide_and_keeps_the_product(platform):
    made, _, instance, _ = platform
    made.severity = dg.AssetCheckSeverity.ERROR

    result = run(platform, "scan")

    failure = result.failure_data_for_node("scan").user_failure_data
    assert failure.metadata["failed_slides"].value == {S1: "the check is_plain failed"}
    assert instance.get_materialized_partitions(dg.AssetKey("scan")) == set(KEYS)


@pytest.mark.parametrize("keys", [KEYS, [S1]])
def test_what_was_really_used_of_an_input_is_recorded(platform, keys):
    """A slide made with another model than the one in use is not fresh, alone or in a batch."""
    made, assets, instance, _ = platform
    dg.materialize([assets[0]], instance=instance)
    run(platform, "scan")
    run(platform, "product")
    made.model_of = {S1: "m0"}

    if len(keys) > 1:
        run(platform, "product", keys)
    else:
        _, assets, instance, store = platform
        dg.materialize(
            assets,
            selection=["product"],
            partition_key=S1,
            instance=instance,
            resources={"store": store},
        )

    assert staleness(platform) == {S0: "FRESH", S1: "STALE", S2: "FRESH"}
    made.model_of = {S1: "m1"}
    run(platform, "product", keys)
    assert set(staleness(platform).values()) == {"FRESH"}


def test_a_slide_of_its_scopes_model_has_the_version_of_all_models_in_use():
    in_use = {"default": "d", "breast": "b"}

    assert used_version("d", "default", {"default": "d"}) == "d"
    assert used_version("b", "breast", in_use) == models_version(in_use)
    assert used_version("d", "default", in_use) == models_version(in_use)
    assert used_version("d", "breast", in_use) == "d"  # made with another scope's
    assert used_version("x", "default", in_use) == "x"  # made with a model given by hand


def test_each_slide_of_a_batch_has_its_own_verdict(platform):
    _, _, instance, _ = platform

    run(platform, "scan")

    check = dg.AssetCheckKey(dg.AssetKey("scan"), "is_plain")
    history = instance.event_log_storage.get_asset_check_execution_history(check, limit=9)
    assert {record.partition: record.status.value for record in history} == {
        S0: "SUCCEEDED",
        S1: "FAILED",
        S2: "SUCCEEDED",
    }


def test_failure_that_may_pass_is_tried_again_for_that_slide_alone(platform):
    made, _, instance, _ = platform
    made.failure = {S1: [ComputeError("out of memory")] * (N_ATTEMPTS - 1)}

    assert run(platform, "scan").success

    assert made.n_tried == {S0: 1, S1: N_ATTEMPTS, S2: 1}
    assert instance.get_materialized_partitions(dg.AssetKey("scan")) == set(KEYS)


@pytest.mark.parametrize(
    ("error", "n_tried", "kind"),
    [
        (MissingMppError("no mpp", "give it"), 1, "missing_mpp"),
        (ComputeError("out of memory"), N_ATTEMPTS, "compute"),
        (ZeroDivisionError("a defect"), 1, "defect"),
    ],
)
def test_bad_slide_fails_alone_and_is_explained(platform, error, n_tried, kind):
    made, _, instance, store = platform
    made.failure = {S1: [error] * N_ATTEMPTS}

    result = run(platform, "scan")

    assert not result.success
    assert instance.get_materialized_partitions(dg.AssetKey("scan")) == {S0, S2}
    failure = result.failure_data_for_node("scan").user_failure_data
    assert list(failure.metadata["failed_slides"].value) == [S1]
    assert made.n_tried[S1] == n_tried
    with store.open_catalogue() as catalogue:
        (recorded,) = catalogue.results.failures()
    assert (recorded.kind, recorded.path) == (kind, "/s1")
    assert (recorded.slide_key, recorded.step) == (S1, "scan")
    (shown,) = instance.fetch_observations(dg.AssetKey("scan"), limit=9).records
    assert shown.partition_key == S1
    told = {name: entry.value for name, entry in shown.asset_observation.metadata.items()}
    remedy = {"what_to_do": recorded.remedy} if recorded.remedy else {}
    assert told == {"why_it_failed": recorded.message, "kind": kind} | remedy
