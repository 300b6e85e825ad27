"""What an exporter is: the facts that the command, the documentation and the checks go by."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from hoverfast_platform.errors import SettingsError
from hoverfast_platform.geometry import Mpp
from hoverfast_platform.nuclei.nucleus import Nuclei

_BLOCK = 10_000


class Need(Enum):
    """Something that a form cannot be written without; the value is how it is named to people."""

    SCALE = "the scale"
    SLIDE_SIZE = "the size of the slide"
    PROVENANCE = "what the nuclei were made from"


@dataclass(frozen=True)
class NucleiSource:
    """Nuclei that are to be written, and what is known of their slide.

    Attributes:
        path: The file they were read from.
        n_nuclei: How many there are.
        columns: Names of their measurements.
        read: Reads them, block by block in their order, level-0 pixels; can be called again.
        provenance: What the file says of its making.
        namespace: Namespace of the nuclei's ids.
        mpp: Micrometres per level-0 pixel; None where nobody said.
        size_px: (width, height) of the slide's frame; None where nobody said.
        slide: The slide's file or folder, for forms that refer to it; None where it is not given.
    """

    path: Path
    n_nuclei: int
    columns: tuple[str, ...]
    read: Callable[[], Iterator[Nuclei]]
    provenance: Mapping[str, Any]
    namespace: uuid.UUID
    mpp: Mpp | None
    size_px: tuple[int, int] | None
    slide: Path | None = None

    def blocks(self, n_at_most: int = _BLOCK) -> Iterator[Nuclei]:
        """The nuclei in pieces, so that writers need little room."""
        for nuclei in self.read():
            if 0 < len(nuclei) <= n_at_most:
                yield nuclei
                continue
            for start in range(0, len(nuclei), n_at_most):
                yield nuclei.take(np.arange(start, min(start + n_at_most, len(nuclei))))

    @property
    def scale(self) -> Mpp:
        """Micrometres per level-0 pixel, for exporters that need :attr:`Need.SCALE`."""
        assert self.mpp is not None
        return self.mpp

    @property
    def frame_px(self) -> tuple[int, int]:
        """(width, height), for exporters that need :attr:`Need.SLIDE_SIZE`."""
        assert self.size_px is not None
        return self.size_px


@dataclass(frozen=True)
class Exporter:
    """One form in which nuclei can be written.

    Attributes:
        name: For ``--to``.
        extensions: Endings of its files; the first one is the usual one.
        what: One line for people: what it is.
        opens_in: Programs that read it.
        write: Writes a source to a path, with at most so many nuclei in a piece.
        needs: What the source must know.
        package: Python package that must be installed.
        extra: The extra of ours that brings it; empty if it is named like the package.
        renames_itself: Whether ``write`` takes care that nobody sees half a result (folders).
        streams: Whether it writes block by block, so that besides the nuclei themselves memory
            does not grow with their number.
    """

    name: str
    extensions: tuple[str, ...]
    what: str
    opens_in: str
    write: Callable[[NucleiSource, Path, int], None]
    needs: tuple[Need, ...] = ()
    package: str = ""
    extra: str = ""
    renames_itself: bool = False
    streams: bool = True

    @property
    def extra_name(self) -> str:
        """The extra of ours that brings the package."""
        return self.extra or self.package

    @property
    def needs_text(self) -> str:
        """What it needs, for people; empty if it needs nothing."""
        needs = [need.value for need in self.needs]
        return ", ".join([*needs, *([f"the extra {self.extra_name!r}"] if self.package else [])])

    def facts(self) -> dict[str, Any]:
        """What people and programs choose a form by: all but the function that writes it."""
        return {
            "name": self.name,
            "extensions": self.extensions,
            "what": self.what,
            "opens_in": self.opens_in,
            "needs": self.needs_text,
            "streams": self.streams,
        }

    def check(self, source: NucleiSource) -> None:
        """Pass if the source and this installation have all that is needed.

        Raises:
            SettingsError: Naming what is missing and how it is given.
        """
        if Need.SLIDE_SIZE in self.needs and source.size_px is None:
            raise SettingsError(
                f"{source.path.name} does not say how large its slide is, which {self.name} needs.",
                "Convert from the .parquet or the .json.gz of a slide's result.",
            )
        if Need.SCALE in self.needs and source.mpp is None:
            raise SettingsError(
                f"{source.path.name} does not say its micrometres per pixel, which "
                f"{self.name} needs.",
                "Give --mpp, or convert from the .parquet of a slide's result.",
            )
        if Need.PROVENANCE in self.needs and "segmentation_id" not in source.provenance:
            raise SettingsError(
                f"{source.path.name} does not say which model found its nuclei, which {self.name} "
                "has to name.",
                "Convert from the .parquet or the .json.gz of a slide's result.",
            )
        if self.package and find_spec(self.package) is None:
            raise SettingsError(
                f"The form {self.name} is written by the package {self.package}, which is not "
                "installed.",
                f"pip install 'hoverfast-platform[{self.extra_name}]'",
            )
