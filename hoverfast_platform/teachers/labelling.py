"""Teacher labels: a teacher run over a cohort, into a training set of two files.

Labels of finished tiles are kept beside the result until it is complete, so that a run that
died goes on from there; hours of a slow teacher are not lost.
"""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from hoverfast_platform.arrays import InstanceMap
from hoverfast_platform.config import Scale
from hoverfast_platform.errors import (
    MaskError,
    MissingMppError,
    TrainingError,
    UnreadableSlideError,
)
from hoverfast_platform.file_system_errors import file_system_failed
from hoverfast_platform.files import text_sha256, written_atomically
from hoverfast_platform.geometry import Box, ModelLattice
from hoverfast_platform.mask.builtin import find_tissue
from hoverfast_platform.mask.held_against_slide import load_mask_held
from hoverfast_platform.model.card import LabelSource
from hoverfast_platform.progress import OnProgress, Progress, ignore_progress
from hoverfast_platform.slide import SlideInfo, open_slide
from hoverfast_platform.slide.array_reader import ArrayReader
from hoverfast_platform.slide.digest import slide_digest
from hoverfast_platform.slide.reader import SlideReader
from hoverfast_platform.slide.resample import read_region_at
from hoverfast_platform.storage.flat_images import IMAGE_SUFFIXES, read_rgb
from hoverfast_platform.storage.patch_table import (
    LabelProvenance,
    Patch,
    PatchTable,
    split_into_pieces,
)
from hoverfast_platform.storage.patch_table_writer import PatchTableWriter
from hoverfast_platform.teachers.annotations import AnnotationsTeacher
from hoverfast_platform.teachers.counterstain import counterstain
from hoverfast_platform.teachers.plausibility import implausible_share
from hoverfast_platform.teachers.sampling import Sampling, Source, draw_tiles, validation_groups
from hoverfast_platform.teachers.teacher import Teacher, TileImage

_MAX_FLAT_PX = 16_000_000


@dataclass(frozen=True)
class TrainingSet:
    """The two files of a training set; without validation where none was asked for.

    Attributes:
        training: What a student learns from.
        validation: What it is judged by, of other patients.
        n_left_out: Tiles whose labels were not plausible; None for sets made earlier.
        notes: What of the files of labels was left out because it is not a nucleus.
    """

    training: PatchTable
    validation: PatchTable | None
    n_left_out: int | None = None
    notes: tuple[str, ...] = ()

    def held_out(self) -> PatchTable:
        """The validation side.

        Raises:
            TrainingError: If there is none.
        """
        if self.validation is None:
            raise TrainingError(
                f"{self.training.path.name} was made without a validation side.",
                "Set validation_fraction above 0, or name validation_groups.",
            )
        return self.validation


@dataclass(frozen=True)
class Cohort:
    """What is labelled.

    Attributes:
        name: Name of the training set's files.
        sources: Slides and flat images.
        version: Version of the cohort, for provenance.
        labels: Sets the labels come from, with licences, where they are somebody's.
        counterstained: Images show hematoxylin alone, and eosin is laid over them once they are
            labelled; the sampling's seed decides how.
    """

    name: str
    sources: Sequence[Source]
    version: str = ""
    labels: tuple[LabelSource, ...] = ()
    counterstained: bool = False


def label_cohort(
    cohort: Cohort,
    teacher: Teacher,
    sampling: Sampling,
    out_dir: Path,
    *,
    on_progress: OnProgress = ignore_progress,
) -> TrainingSet:
    """Label random tiles of slides, or whole flat images, and write them as a training set.

    ``<name>_train.pytable`` and ``<name>_test.pytable`` appear in ``out_dir`` when both are
    complete; the second only if the sampling asks for validation. The same call after a kill
    goes on from the tiles that were labelled.

    Args:
        cohort: Slides and flat images, and the set's name.
        teacher: Labels the tiles.
        sampling: Which tiles, and how to split.
        out_dir: Folder of the set.
        on_progress: Told after every tile.

    Raises:
        TrainingError: If there are no sources, one side has no nuclei or no tile with plausible
            labels, a label is wrong, or counterstained images were to be validated on.
        MaskError: If a slide has no tissue to draw tiles from.
        StorageError: If the disk is full; labelled tiles are kept.
    """
    sources, name = cohort.sources, cohort.name
    if not sources:
        raise TrainingError("The cohort is empty.", "Add slides to it.")
    chosen = validation_groups([source.group for source in sources], sampling)
    if cohort.counterstained and chosen:
        raise TrainingError(
            "Counterstained images are to learn from only; judged by colours that were made up, a "
            "student's scores would mean nothing.",
            "Set validation_fraction to 0, and add the set to another: `hoverfast train --also`.",
        )
    description = teacher.describe()
    kept_dir = out_dir / f".{name}.labelled"
    provenance = LabelProvenance(
        teacher=description.name,
        teacher_digest=description.digest,
        labels=cohort.labels
        or (LabelSource(name=name, licence=description.licence, n_images=len(sources)),),
        teacher_models=description.model_digests,
        inherited=description.learned_from,
        cohort=f"{name} {cohort.version}".strip(),
        sampling={
            **{k: str(v) for k, v in sampling.model_dump().items()},
            "counterstained": str(cohort.counterstained),
        },
    )
    parts = ("train", "test") if chosen else ("train",)
    paths = {part: out_dir / f"{name}_{part}.pytable" for part in parts}
    drawn = [(source, *_draw(source, teacher.mpp, sampling)) for source in sources]
    n_total = sum(len(boxes) for _, _, boxes in drawn)
    n_done = n_left_out = 0
    with ExitStack() as stack:
        writers = {
            part: stack.enter_context(
                PatchTableWriter(
                    path, mpp=teacher.mpp, patch_px=sampling.tile_px, provenance=provenance
                )
            )
            for part, path in paths.items()
        }
        for source, digest, boxes in drawn:
            writer = writers["test" if source.group in chosen else "train"]
            for tile in _read_tiles(source, teacher.mpp, boxes):
                key = f"{description.model_dump_json()} {digest} {tile.x0_px} {tile.y0_px} "
                # People's labels go by the file's name, whatever is in it.
                key += f"{tile.rgb.shape} {tile.mpp!r} {source.path.name}"
                labels = _labelled_once(teacher, tile, kept_dir, key)
                if _is_kept(labels, tile.mpp, sampling):
                    if cohort.counterstained:
                        rng = np.random.default_rng(
                            [sampling.seed, int(digest, 16), tile.x0_px, tile.y0_px]
                        )
                        tile = replace(tile, rgb=counterstain(tile.rgb, labels, rng))
                    writer.append(_patch(source, tile, labels))
                else:
                    n_left_out += 1
                n_done += 1
                on_progress(Progress("labelling", n_done, n_total, "tiles"))
        for part, writer in writers.items():
            _refuse_no_nuclei(part, writer, description.name, n_left_out)
    shutil.rmtree(kept_dir, ignore_errors=True)
    return TrainingSet(
        PatchTable(paths["train"]),
        PatchTable(paths["test"]) if "test" in paths else None,
        n_left_out,
        teacher.notes() if isinstance(teacher, AnnotationsTeacher) else (),
    )


def _draw(source: Source, mpp: float, sampling: Sampling) -> tuple[str, tuple[Box, ...]]:
    """A source's digest and the tiles to label; a flat image is one tile."""
    digest = slide_digest(source.path)
    with _open(source) as reader:
        info = reader.info
        lattice = _lattice(reader, mpp)
        if _is_flat(info):
            return digest, (lattice.box,)
        mask = (
            load_mask_held(source.mask_path, reader, slide_sha256=digest)
            if source.mask_path is not None
            else find_tissue(reader)
        )
        boxes = draw_tiles(mask, lattice, sampling, digest)
    if not boxes:
        raise MaskError(
            f"{info.name}: no tile of {sampling.tile_px} px is tissue to "
            f"{sampling.min_tissue_fraction:.0%} (the slide has {mask.tissue_area_mm2:.2f} mm2).",
            "Lower min_tissue_fraction or tile_px, give a better mask, or leave the slide out.",
        )
    return digest, boxes


def _open(source: Source) -> SlideReader:
    """A slide, or a flat image; the file's own mpp wins over the one it was given."""
    given = source.mpp_if_unknown
    if source.path.suffix.lower() in IMAGE_SUFFIXES:
        try:
            return open_slide(source.path)
        except (UnreadableSlideError, MissingMppError) as error:
            if given is None:
                raise MissingMppError(
                    f"{source.path.name} does not say its micrometres per pixel.",
                    "Give --mpp: 40x is about 0.25.",
                ) from error
            return ArrayReader(read_rgb(source.path), mpp=given, name=source.path.name)
    try:
        return open_slide(source.path)
    except MissingMppError:
        return open_slide(source.path, Scale(mpp_override=given))


def _is_flat(info: SlideInfo) -> bool:
    """Whether it is labelled whole: an image, or a small TIFF without levels that has a scale."""
    is_small = info.width * info.height <= _MAX_FLAT_PX
    return info.vendor == "array" or (
        info.vendor.startswith("tiff") and len(info.level_sizes) == 1 and is_small
    )


def _lattice(reader: SlideReader, mpp: float) -> ModelLattice:
    info = reader.info
    return ModelLattice.of(width=info.width, height=info.height, slide_mpp=info.mpp, model_mpp=mpp)


def _read_tiles(source: Source, mpp: float, boxes: Sequence[Box]) -> Iterator[TileImage]:
    with _open(source) as reader:
        lattice = _lattice(reader, mpp)
        for box in boxes:
            yield TileImage(
                rgb=read_region_at(reader, lattice, box),
                mpp=mpp,
                path=source.path,
                x0_px=box.x0,
                y0_px=box.y0,
                scale_x=lattice.scale_x,
                scale_y=lattice.scale_y,
                source_size=(reader.info.width, reader.info.height),
            )


def _labelled_once(teacher: Teacher, tile: TileImage, kept_dir: Path, key: str) -> InstanceMap:
    """The teacher's labels, from disk where an earlier run got that far."""
    path = kept_dir / f"{text_sha256(key)}.npz"
    if path.exists():
        try:
            with np.load(path, allow_pickle=False) as kept:
                labels: InstanceMap = kept["instance_map"]
                return labels
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            if (named := file_system_failed(error)) is not None:
                raise named from error
            path.unlink(missing_ok=True)  # damaged: the teacher does it again
    labels = teacher.label(tile)
    with written_atomically(path) as part, part.open("wb") as file:
        np.savez_compressed(file, instance_map=labels)
    return labels


def _patch(source: Source, tile: TileImage, labels: InstanceMap) -> Patch:
    return Patch(
        image=tile.rgb,
        instance_map=labels,
        source=source.path.name,
        group=source.group,
        x0_px=tile.x0_px,
        y0_px=tile.y0_px,
        weight=source.weight,
    )


def _is_kept(labels: InstanceMap, mpp: float, sampling: Sampling) -> bool:
    limit = sampling.max_implausible_share
    return limit == 1.0 or implausible_share(split_into_pieces(labels), mpp) <= limit


def _refuse_no_nuclei(part: str, writer: PatchTableWriter, teacher: str, n_left_out: int) -> None:
    if writer.n_patches == 0 and n_left_out:
        raise TrainingError(
            f"No tile is left for {writer.path.name}: the labels of {n_left_out} are not plausible "
            f"as nuclei ({teacher}).",
            "Raise max_implausible_share, give the slides' true mpp, or take a better teacher.",
        )
    if writer.n_nuclei == 0:
        raise TrainingError(
            f"The teacher ({teacher}) found no nucleus in the {writer.n_patches} patches of "
            f"{writer.path.name}.",
            "Look at the slides and their mpp: at a wrong scale a teacher sees nothing.",
        )
