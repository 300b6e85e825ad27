"""What the parts of one pipeline are called, so that several fit into one code location.

The first pipeline has plain names (`slide`, `nuclei`). A pipeline with a name puts it in front:
its assets are `liver/slide` and `liver/nuclei`, its partitions `liver_slides`, its resources
`liver_store`. Components of the same pipeline find each other by these names alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import dagster as dg

from hoverfast_platform.resources.artefact_folder import ArtefactFolder
from hoverfast_platform.resources.leased_device import LeasedDevice
from hoverfast_platform.resources.slide_folders import SlideFolders

_Resource = TypeVar("_Resource")


def drawn(key: dg.AssetKey) -> dg.AssetDep:
    """An edge to an asset of slides that is shown in the graph and makes nothing stale.

    A cohort uses some of the slides, and only its version says which: with an edge to all of them
    every new slide would make every cohort stale.
    """
    return dg.AssetDep(key, partition_mapping=dg.SpecificPartitionsPartitionMapping([]))


class HasResources(Protocol):
    """A context of an asset or of a sensor."""

    @property
    def resources(self) -> Any:
        """By key."""


@dataclass(frozen=True)
class Names:
    """Names of one pipeline; equal names are the same pipeline.

    Attributes:
        pipeline: Its name; empty for the first.
        cohort: Name of the one cohort that assets of learning are of; empty where the plans in
            the artefact folder are partitions.
    """

    pipeline: str = ""
    cohort: str = ""

    def key(self, asset: str) -> dg.AssetKey:
        """The key of an asset of slides."""
        return dg.AssetKey([part for part in (self.pipeline, asset) if part])

    def learning_key(self, asset: str) -> dg.AssetKey:
        """The key of an asset of learning."""
        return dg.AssetKey([part for part in (self.pipeline, self.cohort, asset) if part])

    def word(self, name: str) -> str:
        """The name of anything else: a resource, a sensor, a job, partitions, a group.

        >>> Names().word("slides"), Names("liver").word("slides")
        ('slides', 'liver_slides')
        """
        return f"{self.pipeline}_{name}" if self.pipeline else name

    def learning_word(self, name: str) -> str:
        """As `word`, for what is of a cohort."""
        return self.word(f"{self.cohort}_{name}" if self.cohort else name)

    def op(self, asset: str) -> str:
        """The name that an asset has in the configuration of a run."""
        return self.key(asset).to_python_identifier()

    @property
    def slides(self) -> dg.DynamicPartitionsDefinition:
        """One slide is one partition; its key is the catalogue's key of the slide."""
        return dg.DynamicPartitionsDefinition(name=self.word("slides"))

    @property
    def label_sets(self) -> dg.DynamicPartitionsDefinition:
        """One label set is one partition; its key is the name by which plans name it."""
        return dg.DynamicPartitionsDefinition(name=self.word("label_sets"))

    @property
    def cohorts(self) -> dg.DynamicPartitionsDefinition | dg.StaticPartitionsDefinition:
        """One cohort is one partition; its key is the name of its plan."""
        if self.cohort:
            return dg.StaticPartitionsDefinition([self.cohort])
        return dg.DynamicPartitionsDefinition(name=self.word("cohorts"))

    def tags(self, stage: str) -> dict[str, str]:
        """Tags of assets, by which the UI filters: the stage, and the pipeline where it has a name.

        >>> Names("liver").tags("intake")
        {'hoverfast/stage': 'intake', 'hoverfast/pipeline': 'liver'}
        """
        pipeline = {"hoverfast/pipeline": self.pipeline} if self.pipeline else {}
        return {"hoverfast/stage": stage} | pipeline

    def needs(self, *resources: str) -> set[str]:
        """Keys of resources, as `required_resource_keys` wants them."""
        return {self.word(resource) for resource in resources}

    def store(self, context: HasResources) -> ArtefactFolder:
        return self._resource(context, "store", ArtefactFolder)

    def compute(self, context: HasResources) -> LeasedDevice:
        return self._resource(context, "compute", LeasedDevice)

    def slide_folders(self, context: HasResources) -> SlideFolders:
        return self._resource(context, "slide_folders", SlideFolders)

    def _resource(self, context: HasResources, name: str, kind: type[_Resource]) -> _Resource:
        found = getattr(context.resources, self.word(name))
        assert isinstance(found, kind), f"the resource {self.word(name)} is a {type(found)}"
        return found
