"""What an object store says of an artefact: its manifest, and which artefacts there can be."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import Field, field_validator

from hoverfast_platform.config import FileRecord, Settings
from hoverfast_platform.errors import StorageError
from hoverfast_platform.files import one_name, reporting_content

MADE_BY_STEPS: Mapping[str, int] = {
    **{"masks": 2, "nuclei": 2, "teacher_labels": 3, "students": 2},
    **{"evaluations": 2, "models": 2, "statistics": 1},
}
"""What steps make, by its first folder, with the number of names that tell one from another."""

MADE_BY_PEOPLE: Mapping[str, int] = {"cohorts": 2, "corrections": 2, "label_sets": 2}
"""What people write. It is never overwritten where it was changed since it came."""

MANIFESTS, PARTS, MANIFEST_ENDING = "artefacts", "parts", ".json"
"""Folders of the store, and how manifests end."""


class SharedFile(Settings):
    """A file of an artefact."""

    name: str
    """Where it lies in the working folder."""
    n_bytes: int = Field(ge=0)
    """Its size."""
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    """Its digest, which names its part in the store."""

    @property
    def part(self) -> str:
        """Name of the object with its bytes."""
        return f"{PARTS}/{self.sha256[:2]}/{self.sha256}"


class Manifest(FileRecord):
    """An artefact as the store has it."""

    name: str
    """What it is called: `masks/<slide>.png`, `nuclei/<slide>` and the like."""
    files: tuple[SharedFile, ...] = Field(min_length=1)
    """Its files."""
    published_at: str
    """When it was published, UTC."""
    machine: str
    """Name of the machine that published it."""

    @field_validator("files")
    @classmethod
    def _lie_in_the_folder(cls, files: tuple[SharedFile, ...]) -> tuple[SharedFile, ...]:
        for file in files:
            for part in file.name.split("/"):
                if one_name(part).startswith("."):
                    raise ValueError(f"{file.name} would be a hidden file")
        return files

    @property
    def n_bytes(self) -> int:
        """Bytes of all its files."""
        return sum(file.n_bytes for file in self.files)


def read_manifest(url: str, name: str, content: bytes) -> Manifest:
    """The manifest of an artefact.

    Args:
        url: The store, for messages.
        name: Name of the artefact.
        content: Bytes of the object.

    Raises:
        StorageError: If these are not a manifest of this program, or one of another artefact.
    """
    what = f"the manifest of an artefact in {url}"
    remedy = f"`hoverfast artefacts remove {name}`, or remove the object; then make it again."
    with reporting_content(Path(manifest_object(name)), what, remedy, StorageError):
        manifest = Manifest.model_validate_json(content)
        for file in manifest.files:
            if file.name != name and not file.name.startswith(f"{name}/"):
                raise ValueError(f"{file.name} does not belong to {name}")
        return manifest


def manifest_object(name: str) -> str:
    """Name of the object that holds the manifest of an artefact.

    Raises:
        SettingsError: If the artefact's name leads elsewhere.
    """
    for part in name.split("/"):
        one_name(part)
    return f"{MANIFESTS}/{name}{MANIFEST_ENDING}"
