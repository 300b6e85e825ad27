"""Images with reference nuclei to measure against: a patch table, or a folder of pictures.

A folder holds ``image/`` and ``label/`` with the same file stems, and may hold
``manifest.csv`` with the columns ``stem``, ``group`` (patient) and ``mpp``. Everything that
can be wrong with it is found when it is opened, before any model runs.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from hoverfast_platform.arrays import InstanceMap, RgbImage
from hoverfast_platform.errors import LabelError, SettingsError, StorageError, UnreadableSlideError
from hoverfast_platform.files import Sha256, file_sha256, text_sha256
from hoverfast_platform.storage.flat_images import (
    IMAGE_SUFFIXES,
    LABEL_SUFFIXES,
    read_instance_map,
    read_rgb,
)
from hoverfast_platform.storage.foreign_table import read_table
from hoverfast_platform.storage.patch_table import PatchTable


@dataclass(frozen=True)
class LabelledItem:
    """What is known of a labelled image before its pixels are read.

    Attributes:
        name: Unique within its set.
        source: Slide or image it was taken from.
        group: Its patient where known; else the source.
        mpp: Micrometres per pixel.
    """

    name: str
    source: str
    group: str
    mpp: float


@dataclass(frozen=True)
class LabelledImage:
    """An image and its reference nuclei, both ``(H, W)`` at ``item.mpp``."""

    item: LabelledItem
    image: RgbImage
    instance_map: InstanceMap


@dataclass(frozen=True)
class LabelledSet:
    """Labelled images, read one at a time.

    Attributes:
        name: Name of the set, for people.
        digest: SHA-256 over images, labels, groups and mpp, hex: sets with equal digests are equal.
        labels_by: What made the labels: a teacher, people.
        provenance: What else the set says of its labels, as plain data.
        items: The images, each without its pixels.
    """

    name: str
    digest: str
    labels_by: str
    provenance: dict[str, Any]
    items: tuple[LabelledItem, ...]
    _read: Callable[[int], tuple[RgbImage, InstanceMap]]

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[LabelledImage]:
        return (self.read(i) for i in range(len(self)))

    def in_memory(self) -> LabelledSet:
        """The same set with all of its pixels, which can be handed to another process."""
        pixels = [self._read(i) for i in range(len(self))]
        return replace(self, _read=pixels.__getitem__)

    def read(self, i: int) -> LabelledImage:
        """Image ``i`` with its labels."""
        return LabelledImage(self.items[i], *self._read(i))


def open_labelled_set(
    path: Path, *, mpp: float | None = None, groups: Sequence[str] = ()
) -> LabelledSet:
    """Open a patch table or a folder, check it, and choose groups of it.

    Args:
        path: File of a patch table, or folder with ``image/`` and ``label/``.
        mpp: Micrometres per pixel of images that do not say; needed for most folders.
        groups: Groups to keep; all of them if empty.

    Raises:
        LabelError: If there are no images, an image or label has no partner, sizes differ,
            a label is unreadable, or there is not one nucleus.
        SettingsError: If the mpp is missing or contradicts the file, or a group does not exist.
        StorageError: If a patch table is damaged.
    """
    if not path.exists():
        raise LabelError(f"{path} does not exist.", "Give a patch table or a folder.")
    if mpp is not None and not 0 < mpp < 50:
        raise SettingsError(f"mpp must be between 0 and 50 micrometres per pixel, got {mpp}.")
    return _open_folder(path, mpp, groups) if path.is_dir() else _open_table(path, mpp, groups)


def _open_table(path: Path, mpp: float | None, groups: Sequence[str]) -> LabelledSet:
    table = PatchTable(path, mpp=mpp)
    if mpp is not None and table.mpp != mpp:
        raise SettingsError(
            f"{path} says {table.mpp} um/px, but {mpp} was given.", "Leave --mpp out."
        )
    chosen = _choose(path, table.groups, groups)
    if table.n_nuclei[chosen].sum() == 0:
        raise _no_nuclei(path)
    origins = table.origins_px
    items = tuple(
        LabelledItem(
            name=f"{table.sources[i]} x{origins[i, 0]} y{origins[i, 1]}",
            source=table.sources[i],
            group=table.groups[i],
            mpp=table.mpp,
        )
        for i in chosen
    )

    def read(i: int) -> tuple[RgbImage, InstanceMap]:
        patch = table.read(chosen[i])
        return patch.image, patch.instance_map

    digest = table.digest
    if len(chosen) < len(table):
        digest = text_sha256(json.dumps([table.digest, chosen]))
    provenance = table.provenance.model_dump(mode="json")
    return LabelledSet(path.stem, digest, table.provenance.teacher, provenance, items, read)


def _open_folder(path: Path, mpp: float | None, groups: Sequence[str]) -> LabelledSet:
    pairs = _pairs(path)
    manifest = _read_manifest(
        path / "manifest.csv", {stem: image for stem, (image, _) in pairs.items()}
    )
    all_groups = [manifest.get(stem, {}).get("group", "") or stem for stem in pairs]
    chosen = _choose(path, all_groups, groups)
    stems = [list(pairs)[i] for i in chosen]
    items = []
    digest = Sha256()
    n_nuclear_px = 0
    for stem, i in zip(stems, chosen, strict=True):
        image_path, label_path = pairs[stem]
        item_mpp = mpp or _manifest_mpp(path, stem, manifest)
        item = LabelledItem(name=stem, source=stem, group=all_groups[i], mpp=item_mpp)
        label = read_instance_map(label_path)
        _check_size(image_path, label_path, label)
        n_nuclear_px += int(np.count_nonzero(label))
        digest.add(json.dumps([stem, item.group, item.mpp, label.shape]))
        digest.add(bytes.fromhex(file_sha256(image_path)))
        digest.add(np.ascontiguousarray(label).tobytes())
        items.append(item)
    if n_nuclear_px == 0:
        raise _no_nuclei(path)

    def read(i: int) -> tuple[RgbImage, InstanceMap]:
        image_path, label_path = pairs[stems[i]]
        return read_rgb(image_path), read_instance_map(label_path)

    licences = sorted({row["licence"] for row in manifest.values() if row.get("licence")})
    return LabelledSet(
        name=path.resolve().name,
        digest=digest.hex(),
        labels_by="annotations",
        provenance={"folder": path.name, "licences": licences},
        items=tuple(items),
        _read=read,
    )


def _pairs(path: Path) -> dict[str, tuple[Path, Path]]:
    """Image and label of each stem, in order of stems."""
    images = _by_stem(path / "image", IMAGE_SUFFIXES)
    labels = _by_stem(path / "label", LABEL_SUFFIXES)
    if not images and not labels:
        raise LabelError(
            f"{path} has no labelled images.",
            "Expected image/<stem>.png and label/<stem>.png (also TIFF, JPEG; labels also NPY).",
        )
    lonely = sorted(images.keys() ^ labels.keys())
    if lonely:
        raise LabelError(
            f"{len(lonely)} of {len(images.keys() | labels.keys())} images in {path} lack a "
            f"partner: {', '.join(lonely[:5])}{' ...' if len(lonely) > 5 else ''}.",
            "Each file in image/ needs one of the same stem in label/, and the other way round.",
        )
    return {stem: (images[stem], labels[stem]) for stem in sorted(images)}


def _by_stem(folder: Path, suffixes: frozenset[str]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    if folder.is_dir():
        for file in sorted(folder.iterdir()):
            if file.suffix.lower() in suffixes and not file.name.startswith("."):
                if file.stem in found:
                    raise LabelError(
                        f"{found[file.stem]} and {file} have the same stem.", "Keep one of them."
                    )
                found[file.stem] = file
    return found


def _read_manifest(path: Path, images: Mapping[str, Path]) -> dict[str, Mapping[str, str]]:
    """Rows of the manifest by stem of the image; empty without a manifest.

    Raises:
        LabelError: If it cannot be read, or names patients and lacks an image, which would count as
            a patient of its own.
    """
    if not path.is_file():
        return {}
    try:
        table = read_table(path, ("stem",))
        for image in images.values():
            for column in {"group", "mpp"} & set(table.columns):
                table.value(image, column)
    except StorageError as error:
        raise LabelError(error.message, error.remedy) from error
    numbers = {stem: table.numbers_of(image) for stem, image in images.items()}
    lonely = [stem for stem, found in numbers.items() if not found]
    if lonely and "group" in table.columns:
        raise LabelError(
            f"{path} has no row for {len(lonely)} of {len(images)} images: "
            f"{', '.join(lonely[:5])}{' ...' if len(lonely) > 5 else ''}.",
            "Its column stem names an image's file, with or without suffix.",
        )
    return {stem: table.rows[found[0]] for stem, found in numbers.items() if found}


def _manifest_mpp(path: Path, stem: str, manifest: Mapping[str, Mapping[str, str]]) -> float:
    text = manifest.get(stem, {}).get("mpp") or ""
    try:
        mpp = float(text)
    except ValueError:
        mpp = 0.0
    if not 0 < mpp < 50:
        raise SettingsError(
            f"The micrometres per pixel of {stem} in {path} are not known"
            + (f" (manifest.csv says {text!r})." if text else "."),
            "Give --mpp (0.25 at 40x), or a column mpp in manifest.csv; it is never guessed.",
        )
    return mpp


def _check_size(image_path: Path, label_path: Path, label: InstanceMap) -> None:
    try:
        with Image.open(image_path) as image:
            width, height = image.size
    except (UnidentifiedImageError, OSError) as error:
        raise UnreadableSlideError(
            f"{image_path} is not a readable image: {error}.", "Expected PNG, JPEG or TIFF."
        ) from error
    if label.shape != (height, width):
        raise LabelError(
            f"{image_path} is {width}x{height} px, its label {label_path.name} "
            f"{label.shape[1]}x{label.shape[0]}.",
            "The label belongs to another image or another magnification.",
        )


def _choose(path: Path, all_groups: Sequence[str], wanted: Sequence[str]) -> list[int]:
    unknown = sorted(set(wanted) - set(all_groups))
    if unknown:
        known = sorted(set(all_groups))
        raise SettingsError(
            f"{path} has no group {', '.join(unknown)}.",
            f"Its groups: {', '.join(known[:20])}{' ...' if len(known) > 20 else ''}.",
        )
    return [i for i, group in enumerate(all_groups) if not wanted or group in wanted]


def _no_nuclei(path: Path) -> LabelError:
    return LabelError(
        f"The labels of {path} hold not one nucleus, so nothing can be measured against them.",
        "The label images are perhaps empty exports, or of the wrong layer.",
    )
