"""A platform whose sensors are ticked by hand, for tests; nothing is computed."""

import datetime

import dagster as dg
from dagster._core.events import DagsterEvent, DagsterEventType

from hoverfast_platform.assets.definitions import build_definitions
from hoverfast_platform.catalogue import SlideRecord
from tests.builders import segmentation


class Platform:
    """An instance whose sensors are ticked by hand."""

    def __init__(self, root, instance):
        self.instance = instance
        self.root = root
        self.reload()
        self.cursor = None

    def reload(self):
        """As the button of the UI does after a file of settings changed."""
        self.defs = build_definitions(self.root)
        self.store = self.defs.resources["store"]
        self.compute = self.defs.resources["compute"]

    def tick(self, sensor, **options):
        context = dg.build_sensor_context(instance=self.instance, cursor=self.cursor)
        result = sensor(context, self.store, **options)
        if isinstance(result, dg.SkipReason):
            return result.skip_message
        self.cursor = result.cursor
        for request in result.dynamic_partitions_requests or ():
            self.instance.add_dynamic_partitions(
                request.partitions_def_name, request.partition_keys
            )
        return result.run_requests or result.skip_reason.skip_message

    def report(self, asset, version, partition=None):
        """As if a run had made an asset."""
        self.instance.report_runless_asset_event(
            dg.AssetMaterialization(
                asset, partition=partition, tags={"dagster/data_version": version}
            )
        )

    def slide(self, name, *models, mpp=0.25):
        """A slide of the catalogue and of Dagster, segmented by these models."""
        record = SlideRecord(name.ljust(64, "0"), name, name, "v", 1, 1, mpp, mpp, "file")
        with self.store.open_catalogue() as catalogue:
            key = catalogue.slides.register(record)
            for model in models:
                catalogue.results.record(
                    segmentation(f"{name} {model}", record, made_from={"model": {"sha256": model}})
                )
        self.instance.add_dynamic_partitions("slides", [key])
        return key

    def run(self, tags, status=dg.DagsterRunStatus.STARTED, assets=None, *, has_started=True):
        """As if a run with these tags had come that far; its id."""
        run = dg.DagsterRun(
            job_name="any",
            tags=tags,
            status=status,
            asset_selection=frozenset(map(dg.AssetKey, assets)) if assets else None,
        )
        run_id = self.instance.add_run(run).run_id
        if has_started and status == dg.DagsterRunStatus.FAILURE:
            for kind in (DagsterEventType.RUN_START, DagsterEventType.RUN_FAILURE):
                event = DagsterEvent(kind.value, "any")
                self.instance.run_storage.handle_run_event(
                    run_id, event, datetime.datetime.now(datetime.UTC)
                )
        return run_id
