"""Where everything lies: the artefact folder, its settings, its catalogue, and each slide in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import dagster as dg
from pydantic import Field, PrivateAttr

from hoverfast_platform.catalogue import Catalogue, KnownSlide
from hoverfast_platform.catalogue.database import CATALOGUE_NAME
from hoverfast_platform.cohorts.cohort import LearningFolder
from hoverfast_platform.cohorts.plan import CohortPlan
from hoverfast_platform.config import Scale, Staining
from hoverfast_platform.errors import CatalogueError, SettingsError
from hoverfast_platform.ingest.scope_rules import ScopeRules
from hoverfast_platform.ingest.stain_rules import StainRules
from hoverfast_platform.resources.heartbeat import Heartbeat
from hoverfast_platform.resources.kept_connections import KeptConnections
from hoverfast_platform.storage.shared_artefacts import SharedArtefacts


class ArtefactFolder(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The artefact folder and the catalogue in it."""

    root: str
    """Folder for masks, results and the catalogue; made if need be."""
    shared: str = ""
    """Where finished artefacts are published to and fetched from, `s3://bucket/folder` or another
    URL of fsspec: then each machine has a root of its own. Empty: nothing is copied."""
    catalogue: str = ""
    """SQLite file or PostgreSQL URL; empty: `catalogue.sqlite` in the root. A URL with a password
    comes from the environment (`dg.EnvVar`): the UI shows what is written here."""

    pseudonyms: bool = False
    """Name result files `slide-<digest>`, not after the slide's file."""

    viewer_url: str = ""
    """Address under which browsers reach the viewer; empty: there is none."""

    staining: dict[str, Any] = Field(default_factory=dict)
    """What slides are stained with: fields of `StainRules`; empty: all are H&E."""

    scopes: dict[str, Any] = Field(default_factory=dict)
    """Whose models slides are segmented with: fields of `ScopeRules`; empty: the default's."""

    _run_id: str = PrivateAttr(default="")
    _heartbeat: Heartbeat | None = PrivateAttr(default=None)
    _catalogue: Catalogue | None = PrivateAttr(default=None)
    _connections: KeptConnections | None = PrivateAttr(default=None)
    _artefacts: SharedArtefacts | None = PrivateAttr(default=None)

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Every run that touches the store shows that it is alive, and keeps its connections."""
        if context.run is not None:
            self._run_id = context.run.run_id
            self._heartbeat = Heartbeat(self.root, context.run.run_id)
            if context.instance is not None:
                self._connections = KeptConnections(context.instance)

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:
        """The run ends."""
        if self._connections is not None:
            self._connections.close()
            self._connections = None
        if self._catalogue is not None:
            self._catalogue.close()
            self._catalogue = None
        if self._heartbeat is not None:
            self._heartbeat.stop()
            self._heartbeat = None

    def register(self, slide: Path) -> str:
        """Add a slide that lies anywhere to the catalogue; returns its partition key.

        Raises:
            SlideError: If it cannot be read or has no mpp.
        """
        from hoverfast_platform.ingest.register import read_record

        record = read_record(slide, Scale())
        with self.open_catalogue() as catalogue:
            return catalogue.slides.register(record)

    def open_catalogue(self) -> AbstractContextManager[Catalogue]:
        """The catalogue; use as a context manager.

        A run opens it once: connecting to a server takes longer than what is asked of it, and a
        slide asks some ten times.
        """
        location = self.catalogue or Path(self.root) / CATALOGUE_NAME
        if self.shared:
            _refuse_own_file(location, Path(self.root))
        if self._heartbeat is None:
            return Catalogue.open(location, run_id=self._run_id)
        if self._catalogue is None:
            self._catalogue = Catalogue.open(location, run_id=self._run_id)
        return nullcontext(self._catalogue)

    def stain_rules(self) -> StainRules:
        """What slides are stained with; the component has found the rules right."""
        return StainRules.model_validate(self.staining)

    def scope_rules(self) -> ScopeRules:
        """Whose models slides are segmented with; the component has found the rules right."""
        return ScopeRules.model_validate(self.scopes)

    def scope_of(self) -> Callable[[KnownSlide], str]:
        """The scope of a slide, by rules that are read once."""
        scopes, stains = self.scope_rules(), self.stain_rules()

        def scope(slide: KnownSlide) -> str:
            path = Path(slide.path)
            return scopes.scope(path, stains.staining(path).stain)

        return scope

    def learning(self, plans: Mapping[str, CohortPlan] | None = None) -> LearningFolder:
        """Plans of cohorts, their labels, students and measurements.

        Args:
            plans: Those of components; None: the plans are files.
        """
        if self.shared and self._artefacts is None:  # one connection for all that a run asks
            self._artefacts = SharedArtefacts.at(Path(self.root), self.shared)
        return LearningFolder(Path(self.root), plans, self._artefacts)

    def publish(self, path: Path) -> dict[str, str]:
        """Publish what a step made, where there is a shared store; what the UI shows of it.

        Raises:
            StorageError: If a file is missing or changed meanwhile, or the store does not answer.
        """
        self.learning().publish(path)
        if not self.shared:
            return {}
        return {"published": f"{path.relative_to(self.root).as_posix()} in {self.shared}"}

    def slide(self, key: str) -> SlideView:
        """What the folder and the catalogue hold of the slide with this partition key."""
        return SlideView(self, key)


@dataclass(frozen=True)
class SlideView:
    """One slide as the artefact folder and its catalogue have it; each answer is asked for anew.

    Attributes:
        store: The folder that it is a view of.
        key: Partition key of the slide.
    """

    store: ArtefactFolder
    key: str

    @property
    def mask_path(self) -> Path:
        """Where its tissue mask lies, or will; what another machine made is brought here first.

        Raises:
            SettingsError: If the key would lead into another folder.
            StorageError: If what the shared store has is damaged, or the store does not answer.
        """
        return self.store.learning().mask(self.key)

    @property
    def nuclei_dir(self) -> Path:
        """Folder of its nuclei, brought here as the mask is: table, QuPath file, summary.

        Raises:
            SettingsError: If the key would lead into another folder.
            StorageError: If what the shared store has is damaged, or the store does not answer.
        """
        return self.store.learning().nuclei(self.key)

    def viewer_link(self, **shown: str) -> str | None:
        """Address of the slide in the viewer; None where there is no viewer.

        Args:
            shown: What is switched on there, such as ``mask="1"``.
        """
        if not self.store.viewer_url:
            return None
        asked = urlencode({"slide": self.key, **shown})
        return f"{self.store.viewer_url.rstrip('/')}/?{asked}"

    def path(self) -> Path:
        """A file that holds the slide now.

        Raises:
            CatalogueError: If there is none, or its content changed.
        """
        with self.store.open_catalogue() as catalogue:
            return catalogue.slides.path(self.key)

    def content(self) -> str:
        """Digest of what the slide's file holds now; every byte is read unless known.

        Raises:
            UnreadableSlideError: If it is not the content that was registered.
        """
        from hoverfast_platform.ingest.verify import verified_content

        with self.store.open_catalogue() as catalogue:
            return verified_content(catalogue, self.key)

    def scale(self) -> Scale:
        """With the mpp that a person gave for this slide, if any."""
        with self.store.open_catalogue() as catalogue:
            return Scale(mpp_override=catalogue.slides.mpp_override(self.key))

    def mpp(self) -> float:
        """Micrometres per level-0 pixel, as registered."""
        with self.store.open_catalogue() as catalogue:
            return catalogue.slides.mpp(self.key)

    def staining(self) -> Staining:
        """What it is stained with, by the rules of the pipeline; else H&E."""
        return self.store.stain_rules().staining(self.path())

    def scope(self) -> str:
        """Whose promoted model it is segmented with, by the rules of the pipeline."""
        return self.store.scope_rules().scope(self.path(), self.staining().stain)

    def record_failure(self, error: Exception, run_id: str, step: str) -> None:
        """Record why a step failed; an error not raised on purpose is a defect."""
        from hoverfast_platform.use_cases.record import failure_record

        with self.store.open_catalogue() as catalogue:
            try:
                path = catalogue.slides.path(self.key)
            except CatalogueError:  # the very reason it failed: there is no file of it any more
                path = catalogue.slides.last_path(self.key)
            catalogue.results.record_failure(
                failure_record(path, error, run_id, slide_key=self.key, step=step)
            )


def _refuse_own_file(location: str | Path, root: Path) -> None:
    """Raise SettingsError for a catalogue that other machines could not see."""
    if "://" not in str(location) and Path(location).absolute().is_relative_to(root.absolute()):
        raise SettingsError(
            f"Machines that share a store need one catalogue, and {location} is a file of this "
            "machine alone.",
            "Set the catalogue to a PostgreSQL URL (HOVERFAST_CATALOGUE).",
        )
