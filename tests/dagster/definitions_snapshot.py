"""What the code location defines, as text: ``python -m tests.dagster.definitions_snapshot``.

Run so, it writes ``definitions.txt`` anew. A changed line there is a change that users of the UI
see, or one of what runs by itself.
"""

from pathlib import Path

import dagster as dg

from hoverfast_platform.assets.automation import Automation
from hoverfast_platform.assets.definitions import build_definitions

SNAPSHOT = Path(__file__).with_name("definitions.txt")


def text() -> str:
    """One block per asset, then jobs, schedules and sensors."""
    location = build_definitions(Path("/artefacts"), automation=Automation(is_on=True))
    repository = location.get_repository_def()
    lines = []
    for asset in sorted(location.resolve_all_asset_specs(), key=lambda spec: spec.key):
        lines += [asset.key.to_user_string(), *(f"    {line}" for line in _asset(asset))]
        checks = repository.asset_graph.get_check_keys_for_assets({asset.key})
        for key in sorted(checks):
            spec = repository.asset_graph.get_check_spec(key)
            lines.append(f"    check {spec.name}{', blocking' if spec.blocking else ''}")
    for job in sorted(job.name for job in repository.get_all_jobs() if job.name[0] != "_"):
        keys = repository.get_job(job).asset_layer.executable_asset_keys
        assets = ", ".join(sorted(key.to_user_string() for key in keys))
        lines.append(f"job {job}: {assets}")
    lines += [
        f"schedule {s.name}: {s.cron_schedule}, {s.default_status.value}"
        for s in repository.schedule_defs
    ]
    lines += [
        f"sensor {s.name}: every {s.minimum_interval_seconds} s, {s.default_status.value}"
        for s in sorted(repository.sensor_defs, key=lambda sensor: sensor.name)
    ]
    return "\n".join(lines) + "\n"


def _asset(spec: dg.AssetSpec) -> list[str]:
    condition, freshness = spec.automation_condition, spec.freshness_policy
    deps = (
        f"{dep.asset_key.to_user_string()}{' (only drawn)' if dep.partition_mapping else ''}"
        for dep in sorted(spec.deps, key=lambda dep: dep.asset_key)
    )
    told = {
        "deps": ", ".join(deps),
        "partitions": getattr(spec.partitions_def, "name", None),
        "group": spec.group_name,
        "kinds": ", ".join(sorted(spec.kinds)),
        "tags": ", ".join(f"{k}={v}" for k, v in spec.tags.items() if "kind" not in k),
        "owners": ", ".join(spec.owners),
        "runs by itself": condition.get_label() if condition else None,
        "fresh for": str(getattr(freshness, "fail_window", "")).split("(")[-1].rstrip(")"),
    }
    return [f"{name}: {value}" for name, value in told.items() if value]


if __name__ == "__main__":
    SNAPSHOT.write_text(text(), encoding="utf-8")
