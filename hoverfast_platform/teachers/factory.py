"""The teacher of a name, as the command line and cohort plans give it."""

from __future__ import annotations

from pathlib import Path

from hoverfast_platform.config import Compute, InstanceDecoding
from hoverfast_platform.model.checkpoint import load_model
from hoverfast_platform.teachers.classical import ClassicalTeacher
from hoverfast_platform.teachers.hovernet.teacher import HoverNetTeacher
from hoverfast_platform.teachers.students import StudentsTeacher
from hoverfast_platform.teachers.teacher import Teacher

_HOVERNET = "hovernet:"


def make_teacher(
    name: str,
    *,
    device: str = "auto",
    licence: str = "",
    decoding: InstanceDecoding = InstanceDecoding(),
) -> Teacher:
    """A teacher that needs no labels.

    Args:
        name: ``classical``; ``hovernet:`` and the file of published weights; or our students,
            names or files joined by ``+``, seen from eight sides.
        device: Where it runs.
        licence: Of HoVer-Net's weights; students know theirs.
        decoding: How our students' maps become nuclei; HoVer-Net has its own way.

    Raises:
        CheckpointError: If a file is missing, damaged or of another kind.
    """
    if name == "classical":
        return ClassicalTeacher()
    if name.startswith(_HOVERNET):
        path = Path(name.removeprefix(_HOVERNET))
        return HoverNetTeacher(path, licence=licence, device=device)
    students = [load_model(one) for one in name.split("+")]
    return StudentsTeacher(students, Compute(device=device), decoding=decoding)
