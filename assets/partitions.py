"""Partitions of slides: which are missing, and which may share a run."""

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet

import dagster as dg

from hoverfast_platform.assets.names import Names


def add_slides(instance: dg.DagsterInstance, names: Names, keys: Iterable[str]) -> list[str]:
    """Make partitions of slides that have none yet, and return those made, in order."""
    new = missing_slides(instance, names, keys)
    if new:
        instance.add_dynamic_partitions(names.word("slides"), new)
    return new


def missing_slides(instance: dg.DagsterInstance, names: Names, keys: Iterable[str]) -> list[str]:
    """Slides without a partition, each once, in order."""
    known = set(instance.get_dynamic_partitions(names.word("slides")))
    return [key for key in dict.fromkeys(keys) if key not in known]


def first_block(keys: Sequence[str], wanted: AbstractSet[str], n_max: int) -> list[str]:
    """The first neighbours that are all wanted: only those can share a run.

    >>> first_block(["a", "b", "c", "d", "e"], {"b", "c", "e"}, 8)
    ['b', 'c']
    """
    block: list[str] = []
    for key in keys:
        if key in wanted:
            block.append(key)
        elif block:
            break
        if len(block) == n_max:
            break
    return block


def range_tags(block: Sequence[str]) -> dict[str, str]:
    """Tags of one run of neighbouring slides."""
    return {
        "dagster/asset_partition_range_start": block[0],
        "dagster/asset_partition_range_end": block[-1],
    }
