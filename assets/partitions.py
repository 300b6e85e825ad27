"""One slide is one partition; its key is the catalogue's key of the slide."""

from collections.abc import Iterable

import dagster as dg

SLIDES = "slides"

slides = dg.DynamicPartitionsDefinition(name=SLIDES)

cohorts = dg.DynamicPartitionsDefinition(name="cohorts")
"""One cohort is one partition; its key is the name of its plan."""


def add_slides(instance: dg.DagsterInstance, keys: Iterable[str]) -> list[str]:
    """Make partitions of slides that are none yet; those made, in order."""
    new = missing_slides(instance, keys)
    if new:
        instance.add_dynamic_partitions(SLIDES, new)
    return new


def missing_slides(instance: dg.DagsterInstance, keys: Iterable[str]) -> list[str]:
    """Slides without a partition, each once, in order."""
    known = set(instance.get_dynamic_partitions(SLIDES))
    return [key for key in dict.fromkeys(keys) if key not in known]
