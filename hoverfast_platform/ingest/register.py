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
from hoverfast_platform.errors import HoverFastError, UnreadableSlideError
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
        n_unsettled: Files that changed while they were looked at, and settle again.
    """

    slide_keys: tuple[str, ...]
    failures: tuple[tuple[str, HoverFastError], ...]
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
            unsettled: list[tuple[str, str]] = []
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
            for path, new_signature in unsettled:
                files.settle_again(path, new_signature, now)
            yield RegisteredBatch(
                tuple(keys),
                tuple(
                    (item.file.path, item.verdict)
                    for item in judged
                    if isinstance(item.verdict, HoverFastError)
                ),
                len(unsettled),
            )


def _judge(mpp: MppRules, file: ReadyFile) -> Judged | tuple[str, str]:
    """The verdict on a file; or its path and new signature if it changed meanwhile."""
    verdict: SlideRecord | HoverFastError
    path = Path(file.path)
    override = file.mpp_override if file.mpp_override is not None else mpp.mpp(path)
    try:
        verdict = read_record(path, Scale(mpp_override=override))
    except HoverFastError as error:
        verdict = error
    except OSError as error:
        verdict = UnreadableSlideError(
            f"{file.path} cannot be read: {error.strerror}.", "Check the file's permissions."
        )
    try:
        now = signature(path)
    except OSError:
        now = "gone"
    return Judged(file, verdict) if now == file.signature else (file.path, now)


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
