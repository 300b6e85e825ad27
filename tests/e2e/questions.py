"""What the tests ask a running platform through GraphQL, as values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.e2e.running_platform import RunningPlatform

_EVENTS = """
query($key: [String!]!) {
  assetOrError(assetKey: {path: $key}) {
    ... on Asset {
      assetMaterializations(limit: 200) {
        partition
        runId
        metadataEntries {
          label
          ... on IntMetadataEntry { intValue }
          ... on FloatMetadataEntry { floatValue }
          ... on TextMetadataEntry { text }
          ... on PathMetadataEntry { path }
          ... on MarkdownMetadataEntry { mdStr }
          ... on TableMetadataEntry { table { records } }
        }
      }
    }
  }
}"""

_PARTITIONS = """
query($key: [String!]!) {
  assetNodeOrError(assetKey: {path: $key}) {
    ... on AssetNode {
      assetPartitionStatuses {
        ... on DefaultPartitionStatuses { materializedPartitions failedPartitions }
      }
    }
  }
}"""

_STALE = """
query($key: [String!]!, $partition: String!) {
  assetNodeOrError(assetKey: {path: $key}) {
    ... on AssetNode {
      staleStatus(partition: $partition)
      staleCauses(partition: $partition) { key { path } reason }
    }
  }
}"""

_RUNS = """
{ runsOrError(limit: 500) { ... on Runs { results {
  runId status tags { key value } assetSelection { path }
} } } }"""


_START_SENSOR = """
mutation($sensor: String!) {
  startSensor(sensorSelector: {
    repositoryLocationName: "hoverfast", repositoryName: "__repository__", sensorName: $sensor
  }) { __typename }
}"""


@dataclass(frozen=True)
class Event:
    """A materialization: what it was of, by which run, with which metadata."""

    partition: str | None
    run_id: str
    metadata: dict[str, Any]


@dataclass(frozen=True)
class Run:
    """A run of the instance."""

    run_id: str
    status: str
    tags: dict[str, str]
    assets: frozenset[str]


def events(platform: RunningPlatform, asset: str) -> list[Event]:
    """All materializations of an asset, newest first."""
    found = platform.ask(_EVENTS, key=[asset])["assetOrError"]
    return [
        Event(
            event["partition"],
            event["runId"],
            {entry["label"]: _value(entry) for entry in event["metadataEntries"]},
        )
        for event in found.get("assetMaterializations", [])
    ]


def partitions(platform: RunningPlatform, asset: str) -> tuple[set[str], set[str]]:
    """Those that are materialized, and those that failed."""
    statuses = _node(platform.ask(_PARTITIONS, key=[asset]))["assetPartitionStatuses"]
    return set(statuses["materializedPartitions"]), set(statuses["failedPartitions"])


def stale_because_of(platform: RunningPlatform, asset: str, partition: str) -> set[str]:
    """Inputs whose change made a partition stale; empty while it is fresh."""
    node = _node(platform.ask(_STALE, key=[asset], partition=partition))
    if node["staleStatus"] == "FRESH":
        return set()
    return {"/".join(cause["key"]["path"]) for cause in node["staleCauses"]}


def _node(answer: dict[str, Any]) -> dict[str, Any]:
    """The asset in an answer; the webserver knows none while the code server is starting."""
    node: dict[str, Any] = answer["assetNodeOrError"]
    if not node:
        raise ConnectionError("the code location is not served at the moment")
    return node


def runs(platform: RunningPlatform) -> list[Run]:
    """All runs, newest first."""
    return [
        Run(
            run["runId"],
            run["status"],
            {tag["key"]: tag["value"] for tag in run["tags"]},
            frozenset("/".join(key["path"]) for key in run["assetSelection"] or ()),
        )
        for run in platform.ask(_RUNS)["runsOrError"]["results"]
    ]


def switch_on(platform: RunningPlatform, sensor: str) -> None:
    """What the switch in the UI does."""
    answer = platform.ask(_START_SENSOR, sensor=sensor)["startSensor"]
    assert answer["__typename"] == "Sensor", answer


def _value(entry: dict[str, Any]) -> Any:
    values = [value for name, value in entry.items() if name != "label"]
    return values[0] if values else None
