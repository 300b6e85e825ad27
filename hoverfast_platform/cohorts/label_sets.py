"""Label sets: tiles whose nuclei people or other tools outlined, which cohorts can name.

A set is one or two files in ``label_sets`` of the artefact folder, as ``hoverfast teacher-labels``
writes them: ``NAME_train.pytable``, and ``NAME_test.pytable`` of other patients.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from hoverfast_platform.errors import LabelError
from hoverfast_platform.files import text_sha256
from hoverfast_platform.storage.patch_table import PatchTable

_TRAINING, _HELD_OUT = "_train.pytable", "_test.pytable"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class LabelSet:
    """A label set's files.

    Attributes:
        name: Its name, under which plans name it and Dagster shows it.
        training_path: What students learn from.
        held_out_path: What a student is judged on whose cohort has no slides.
    """

    name: str
    training_path: Path
    held_out_path: Path

    @property
    def files(self) -> tuple[Path, ...]:
        """Those of its files that are there."""
        return tuple(path for path in (self.training_path, self.held_out_path) if path.is_file())

    def training(self) -> PatchTable:
        """The side to learn from.

        Raises:
            StorageError: If the file is damaged.
            SettingsError: If it does not say its mpp, as those of the published trainer.
        """
        return PatchTable(self.training_path)

    def held_out(self) -> PatchTable:
        """The side to judge on.

        Raises:
            LabelError: If there is none.
            StorageError: If the file is damaged.
        """
        if not self.held_out_path.is_file():
            raise LabelError(
                f"The label set {self.name} has no validation side: {self.held_out_path}.",
                "A cohort without slides is judged on it. Make it by `hoverfast teacher-labels "
                "--validation-fraction 0.2`, or give the cohort slides.",
            )
        return PatchTable(self.held_out_path)

    def digest(self) -> str:
        """A digest of images and labels of both sides."""
        return text_sha256(" ".join(PatchTable(path).digest for path in self.files))


def find_label_sets(folder: Path) -> tuple[LabelSet, ...]:
    """All label sets of a folder, by name; files that are called otherwise are not looked at."""
    names = (path.name.removesuffix(_TRAINING) for path in folder.glob(f"*{_TRAINING}"))
    return tuple(label_set(folder, name) for name in sorted(names) if _NAME.fullmatch(name))


def label_set(folder: Path, name: str) -> LabelSet:
    """The label set of a name.

    Raises:
        LabelError: If there is none.
    """
    found = LabelSet(name, folder / f"{name}{_TRAINING}", folder / f"{name}{_HELD_OUT}")
    if not _NAME.fullmatch(name) or not found.training_path.is_file():
        raise LabelError(
            f"There is no label set {name!r}: {found.training_path} is not a file.",
            "`hoverfast teacher-labels NAME IMAGES -o <artefacts>/label_sets` makes it.",
        )
    return found
