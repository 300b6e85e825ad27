"""Slides or annotated images to a training set, labelled by a teacher."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from hoverfast_platform.config import InstanceDecoding
from hoverfast_platform.errors import LabelError, SettingsError, StorageError, TrainingError
from hoverfast_platform.mask.imported import find_mask_file
from hoverfast_platform.model.card import LabelSource
from hoverfast_platform.progress import OnProgress, ignore_progress
from hoverfast_platform.slide.formats import SLIDE_SUFFIXES
from hoverfast_platform.storage.flat_images import IMAGE_SUFFIXES, read_instance_map
from hoverfast_platform.storage.foreign_table import read_table
from hoverfast_platform.teachers.annotations import AnnotationsTeacher, find_label_file
from hoverfast_platform.teachers.factory import make_teacher
from hoverfast_platform.teachers.labelling import Cohort, TrainingSet, label_cohort
from hoverfast_platform.teachers.sampling import Sampling, Source
from hoverfast_platform.teachers.teacher import Teacher


@dataclass(frozen=True, kw_only=True)
class LabellingRequest:
    """What a labelling is asked to do.

    Attributes:
        name: Name of the set: ``<name>_train.pytable`` and ``<name>_test.pytable``.
        sources: Slides and flat images; a folder stands for those in it.
        outdir: Gets the set.
        teacher: ``classical``, ``annotations`` (with ``labels``), ``hovernet:FILE``, or our own
            models joined by ``+``.
        sampling: How tiles are drawn and split.
        foreground_threshold: Lowest probability of a nuclear pixel, where our own models teach.
        labels: Folder of label images or GeoJSON, one per source, of the same name.
        licence: Licence of the labels or of HoVer-Net's weights; students inherit it.
        citation: What to cite for the labels.
        made_by: Who made the labels.
        mpp: Micrometres per pixel of files that do not state it; never replaces what they state.
        nucleus_um: Median diameter of nuclei, which brings images of unknown scale to it.
        manifest: Table with the columns ``stem`` and ``group``: which patient a source is of.
        binmask_dir: Folder or table of tissue masks of slides; None if tissue shall be detected.
        weight: How often training draws from the set.
        counterstain: Whether eosin is laid over images that show hematoxylin alone.
        device: Where the teacher runs.
    """

    name: str
    sources: tuple[Path, ...]
    outdir: Path
    teacher: str
    sampling: Sampling = Sampling()
    foreground_threshold: float = InstanceDecoding().foreground_threshold
    labels: Path | None = None
    licence: str = ""
    citation: str = ""
    made_by: str = "people"
    mpp: float | None = None
    nucleus_um: float | None = None
    manifest: Path | None = None
    binmask_dir: Path | None = None
    weight: float = 1.0
    counterstain: bool = False
    device: str = "auto"


def label(request: LabellingRequest, *, on_progress: OnProgress = ignore_progress) -> TrainingSet:
    """Make a training set; an interrupted labelling goes on where it stopped.

    Raises:
        SettingsError: If the request contradicts itself.
        HoverFastError: As :func:`~hoverfast_platform.teachers.labelling.label_cohort` does.
    """
    teacher = _teacher(request)
    sources = [_source(path, request) for path in _files(request.sources)]
    named: tuple[LabelSource, ...] = ()
    if request.labels is not None:
        named = (
            LabelSource(
                name=request.name,
                licence=request.licence or "unknown",
                citation=request.citation,
                n_images=len(sources),
            ),
        )
    return label_cohort(
        Cohort(
            request.name,
            _with_patients(sources, request.manifest, request.sampling),
            labels=named,
            counterstained=request.counterstain,
        ),
        teacher,
        request.sampling,
        request.outdir,
        on_progress=on_progress,
    )


def _teacher(request: LabellingRequest) -> Teacher:
    """The teacher that was asked for; raises SettingsError if annotations have no folder."""
    if request.teacher != "annotations":
        return make_teacher(
            request.teacher,
            device=request.device,
            licence=request.licence,
            decoding=InstanceDecoding(foreground_threshold=request.foreground_threshold),
        )
    if request.labels is None:
        raise SettingsError("The annotations teacher needs --labels, the folder of labels.")
    return AnnotationsTeacher(request.labels, made_by=request.made_by, licence=request.licence)


def _files(sources: tuple[Path, ...]) -> list[Path]:
    """All sources as files: a folder stands for the images and slides in it, in order of name.

    Raises:
        TrainingError: If a folder holds none.
    """
    files: list[Path] = []
    for source in sources:
        if not source.is_dir():
            files.append(source)
            continue
        inside = sorted(
            path
            for path in source.iterdir()
            if path.suffix.lower() in IMAGE_SUFFIXES | SLIDE_SUFFIXES
            and not path.name.startswith(".")
            and path.is_file()
        )
        if not inside:
            raise TrainingError(
                f"There is no image and no slide in {source}.",
                "Give the folder that holds them directly.",
            )
        files += inside
    return files


def _source(path: Path, request: LabellingRequest) -> Source:
    mpp = request.mpp
    if request.nucleus_um is not None:
        if request.labels is None:
            raise SettingsError("--nucleus-um needs --labels: the scale is measured on them.")
        mpp = mpp_by_nuclei(find_label_file(request.labels, path), request.nucleus_um)
    mask = find_mask_file(request.binmask_dir, path) if request.binmask_dir else None
    return Source(path, path.stem, mpp_if_unknown=mpp, mask_path=mask, weight=request.weight)


def mpp_by_nuclei(label_file: Path, nucleus_um: float) -> float:
    """Scale of an image from the size of its nuclei.

    Args:
        label_file: Its instance label image.
        nucleus_um: Median equivalent diameter that its nuclei are taken to have.

    Raises:
        LabelError: If it has no nuclei to measure.
    """
    areas = np.bincount(read_instance_map(label_file).ravel())[1:]
    areas = areas[areas > 0]
    if len(areas) == 0:
        raise LabelError(
            f"{label_file} has no nuclei to measure its scale by.", "Leave it out, or give --mpp."
        )
    return nucleus_um / float(np.median(np.sqrt(4 * areas / np.pi)))


def _with_patients(
    sources: list[Source], manifest: Path | None, sampling: Sampling
) -> list[Source]:
    """Sources with the patients of a manifest; those it leaves empty keep their name.

    Raises:
        SettingsError: If it names no patient for a source, and the split depends on it.
    """
    if manifest is None:
        return sources
    try:
        table = read_table(manifest, ("stem", "group"))
        groups = [table.value(source.path, "group") for source in sources]
    except StorageError as error:
        raise SettingsError(error.message, error.remedy) from error
    lonely = [
        source.path.name for source, group in zip(sources, groups, strict=True) if group is None
    ]
    is_split = sampling.validation_fraction > 0 or bool(sampling.validation_groups)
    if lonely and (is_split or len(lonely) == len(sources)):
        unused = table.unmatched([source.path for source in sources])
        raise SettingsError(
            f"{manifest} has no row for {len(lonely)} of {len(sources)} files: "
            f"{_first(lonely)}."
            + (f" Rows that name no file: {_first(unused)}." if unused else ""),
            "Without its patient a file could be on both sides of the split; complete the column "
            "stem, or set --validation-fraction 0.",
        )
    return [
        replace(source, group=group or source.group)
        for source, group in zip(sources, groups, strict=True)
    ]


def _first(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (" ..." if len(names) > 5 else "")
