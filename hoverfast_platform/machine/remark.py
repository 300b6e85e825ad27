"""What an examiner says about its subject."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

State: TypeAlias = Literal["ok", "note", "wrong"]
"""``note``: slower or less than could be; ``wrong``: something will fail."""


@dataclass(frozen=True)
class Remark:
    """A judgement about one subject.

    Attributes:
        state: ``ok``, ``note`` or ``wrong``.
        text: What was found.
        remedy: What to do; empty where all is well.
    """

    state: State
    text: str
    remedy: str = ""
