"""Which versions of its inputs something was made from, as Dagster notes it: tags of its event.

Dagster writes these tags itself for what a step returns, and reads them to tell what is stale. What
a step logs slide by slide has to carry them too. The names are what lies in Dagster's database;
``tests/dagster/test_data_versions.py`` compares ours with what the installed Dagster writes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import dagster as dg

DATA_VERSION = "dagster/data_version"
_CODE_VERSION = "dagster/code_version"
_IS_OURS = "dagster/data_version_is_user_provided"
_INPUT_VERSION = "dagster/input_data_version/{}"
_INPUT_EVENT = "dagster/input_event_pointer/{}"


def input_tags(versions: Mapping[str, str]) -> dict[str, str]:
    """Tags of the versions of inputs, by their assets' keys."""
    return {_INPUT_VERSION.format(key): version for key, version in versions.items()}


def provenance_tags(
    context: dg.AssetExecutionContext, key: str, data_version: str
) -> dict[str, str]:
    """Which versions of its inputs a slide's product was made from.

    Args:
        context: Context of the step.
        key: Partition of the slide.
        data_version: Version of the product.
    """
    spec = context.assets_def.get_asset_spec(context.asset_key)
    tags = {
        _CODE_VERSION: spec.code_version or context.run.run_id,
        DATA_VERSION: data_version,
        _IS_OURS: "true",
    }
    for dep in spec.deps:
        record = _latest_record(context, dep.asset_key, key)
        made = record.asset_materialization if record is not None else None
        version = (made.tags or {}).get(DATA_VERSION) if made is not None else None
        name = dep.asset_key.to_user_string()
        tags[_INPUT_VERSION.format(name)] = version or "INITIAL"
        tags[_INPUT_EVENT.format(name)] = str(record.storage_id) if record else "NULL"
    return tags


def _latest_record(
    context: dg.AssetExecutionContext, dep: dg.AssetKey, key: str
) -> dg.EventLogRecord | None:
    """The newest record of the slide, or of an input that all slides share, such as a model."""
    for partitions in ([key], None):
        records: Sequence[dg.EventLogRecord] = context.instance.fetch_materializations(
            dg.AssetRecordsFilter(asset_key=dep, asset_partitions=partitions), limit=1
        ).records
        for record in records:
            if record.partition_key in (None, key):
                return record
    return None
