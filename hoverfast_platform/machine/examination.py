"""Examine a machine: every subject a maintainer would ask about, judged, with a remedy.

Nothing is changed but for a small file that is written and removed in each folder asked about.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from hoverfast_platform.catalogue.database import CatalogueLocation
from hoverfast_platform.errors import HoverFastError
from hoverfast_platform.machine.folders import catalogue, kept_code, output_folder, scratch
from hoverfast_platform.machine.hardware import gpu, memory, processor
from hoverfast_platform.machine.parts import extras, models, packages, slides
from hoverfast_platform.machine.remark import Remark, State
from hoverfast_platform.texts import clean
from hoverfast_platform.version import RESULT_VERSION, __version__


@dataclass(frozen=True)
class Finding:
    """What was found about one subject.

    Attributes:
        subject: What was looked at.
        state: ``ok``; ``note``: slower or less than could be; ``wrong``: something will fail.
        text: What was found.
        remedy: What to do; empty where all is well.
    """

    subject: str
    state: State
    text: str
    remedy: str = ""


@dataclass(frozen=True)
class Examination:
    """All findings about a machine, in the order in which a person reads them."""

    findings: tuple[Finding, ...]

    @property
    def n_wrong(self) -> int:
        """How many subjects will make something fail."""
        return sum(found.state == "wrong" for found in self.findings)


def examine_machine(
    out_dir: Path = Path(), catalogue_at: CatalogueLocation | None = None
) -> Examination:
    """Look at programs, hardware, folders and the catalogue.

    Args:
        out_dir: Folder in which results are to lie; its disk is judged.
        catalogue_at: Catalogue to look at; None: the one of ``out_dir``, if there is one.
    """
    subjects: tuple[tuple[str, Callable[[], Remark]], ...] = (
        ("program", _program),
        ("packages", packages),
        ("extras", extras),
        ("models", models),
        ("processor", processor),
        ("memory", memory),
        ("GPU", gpu),
        ("slide formats", slides),
        ("compiled code", kept_code),
        ("scratch folder", scratch),
        ("output folder", lambda: output_folder(out_dir)),
        ("catalogue", lambda: catalogue(out_dir, catalogue_at)),
    )
    return Examination(tuple(_examined(subjects)))


def _examined(subjects: tuple[tuple[str, Callable[[], Remark]], ...]) -> Iterator[Finding]:
    for subject, look in subjects:
        try:
            remark = look()
        except HoverFastError as error:
            yield Finding(subject, "wrong", error.message, error.remedy)
        except Exception as error:  # a broken part is what is looked for
            text = clean(f"{type(error).__name__}: {error}")
            yield Finding(subject, "wrong", text, "Install the package again, with its versions.")
        else:
            yield Finding(subject, remark.state, remark.text, remark.remedy)


def _program() -> Remark:
    text = (
        f"hoverfast_platform {__version__}, results of form {RESULT_VERSION}, "
        f"Python {platform.python_version()} on {platform.platform()}"
    )
    if sys.platform != "linux":
        return Remark("note", text, "Only Linux is tried with every change.")
    return Remark("ok", text)
