"""Files that have settled become slides of the catalogue, or go into quarantine with a reason."""

from __future__ import annotations

import datetime
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from hoverfast_platform.catalogue.records import SlideRecord, slide_record
from hoverfast_platform.catalogue.watched_files import Judged, ReadyFile, WatchedFiles
from hoverfast_platform.config import Scale
from hoverfast_platform.errors import (
    HoverFastError,
    ShareUnavailableError,
    UnreadableSlideError,
)
from hoverfast_platform.file_system_errors import file_system_failed
from hoverfast_platform.geometry import Box
from hoverfast_platform.ingest.mpp_rules import MppRules
from hoverfast_platform.ingest.units import signature
from hoverfast_platform.slide import SlideReader, open_slide
from hoverfast_platform.slide.completeness import check_complete
from hoverfast_platform.slide.digest import slide_digest

_N_THREADS = 4
"""Threads that open and hash files: both wait for disks and networks, without Python's lock."""

_PROBE_PX = 16


@dataclass(frozen=True)
class RegisteredBatch:
    """What became of some files.

    Attributes:
        slide_keys: Keys of the slides they hold, known ones included.
        failures: Path and error of those that went into quarantine.
        away: Path and error of those that a share did not give; they settle and are judged again.
        n_unsettled: Files that changed while they were looked at, and settle again.
    """

    slide_keys: tuple[str, ...]
    failures: tuple[tuple[str, HoverFastError], ...]
    away: tuple[tuple[str, ShareUnavailableError], ...]
    n_unsettled: int


def register_ready(
    files: WatchedFiles,
    *,
    mpp: MppRules = MppRules(),
    batch_size: int = 200,
    batch_s: float = 20.0,
) -> Iterator[RegisteredBatch]:
    """Judge every file that is ready, a batch at a time; what is yielded is recorded.

    A killed run loses the batch it was in, and the next one does it again.

    Args:
        files: The list of watched files.
        mpp: The scale of files by where they lie; what a person gave for one file goes first.
        batch_size: Most files in a batch.
        batch_s: A batch ends after this long, so that large slides show up one by one.
    """
    with ThreadPoolExecutor(_N_THREADS, thread_name_prefix="register") as threads:
        while ready := files.ready(batch_size):
            started = time.monotonic()
            judged: list[Judged] = []
            unsettled: list[_Unsettled] = []
            for i in range(0, len(ready), _N_THREADS):
                for outcome in threads.map(partial(_judge, mpp), ready[i : i + _N_THREADS]):
                    if isinstance(outcome, Judged):
                        judged.append(outcome)
                    else:
                        unsettled.append(outcome)
                if time.monotonic() - started > batch_s:
                    break
            now = datetime.datetime.now(datetime.UTC)
            keys = files.record(judged, now)
            for file in unsettled:
                files.settle_again(file.path, file.signature, now)
            yield RegisteredBatch(
                tuple(keys),
                tuple(
                    (item.file.path, item.verdict)
                    for item in judged
                    if isinstance(item.verdict, HoverFastError)
                ),
                tuple((file.path, file.away) for file in unsettled if file.away is not None),
                sum(file.away is None for file in unsettled),
            )


@dataclass(frozen=True)
class _Unsettled:
    """A file that cannot be judged yet: it changed, or its share does not answer."""

    path: str
    signature: str
    away: ShareUnavailableError | None = None


def _judge(mpp: MppRules, file: ReadyFile) -> Judged | _Unsettled:
    """The verdict on a file, unless it changed meanwhile or its share failed.

    Some libraries do not say why they could not read, so a file that is found unreadable is read
    once more: a share fails for a moment, damage stays.
    """
    path = Path(file.path)
    override = file.mpp_override if file.mpp_override is not None else mpp.mpp(path)
    verdict = _verdict(path, Scale(mpp_override=override))
    if isinstance(verdict, UnreadableSlideError):
        verdict = _verdict(path, Scale(mpp_override=override))
    if isinstance(verdict, ShareUnavailableError):
        return _Unsettled(file.path, file.signature, verdict)
    try:
        now = signature(path)
    except OSError as error:
        failed = file_system_failed(error)
        if isinstance(failed, ShareUnavailableError):
            return _Unsettled(file.path, file.signature, failed)
        now = "gone"
    return Judged(file, verdict) if now == file.signature else _Unsettled(file.path, now)


def _verdict(path: Path, scale: Scale) -> SlideRecord | HoverFastError:
    try:
        return read_record(path, scale)
    except (HoverFastError, OSError) as error:
        if (failed := file_system_failed(error)) is not None:
            return failed
        if isinstance(error, HoverFastError):
            return error
        return UnreadableSlideError(
            f"{path} cannot be read: {error.strerror}.", "Check the file's permissions."
        )


def read_record(path: Path, scale: Scale) -> SlideRecord:
    """Open a slide, read some of its pixels, and read every byte for its digest.

    Raises:
        SlideError: If it is incomplete, damaged, or has no mpp.
    """
    check_complete(path)
    with open_slide(path, scale) as reader:
        _probe(reader)
        return slide_record(path, reader.info, slide_digest(path))


def _probe(reader: SlideReader) -> None:
    """Read some pixels: there are files that open although none of their pixels can be read."""
    level = len(reader.info.level_downsamples) - 1
    downsample_x, downsample_y = reader.info.level_downsamples[level]
    x, y = reader.info.width / downsample_x / 2, reader.info.height / downsample_y / 2
    reader.read_level(level, Box.of(x=int(x), y=int(y), width=_PROBE_PX, height=_PROBE_PX))
