"""A slide to try things on: real tissue where there is internet, else a synthetic one."""

from __future__ import annotations

import hashlib
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

from hoverfast_platform.files import file_sha256, written_atomically
from hoverfast_platform.synthetic import write_synthetic_slide

NAME = "CMU-1-Small-Region.svs"
URL = f"https://openslide.cs.cmu.edu/download/openslide-testdata/Aperio/{NAME}"
"""Given to everybody by the OpenSlide project (CC0): 2 MB, 1.1 mm2 at 20x."""
SHA256 = "ed92d5a9f2e86df67640d6f92ce3e231419ce127131697fbbce42ad5e002c8a7"
_N_BYTES = 1_938_955
_TIMEOUT_S = 20.0


@dataclass(frozen=True)
class SampleSlide:
    """A slide to try things on.

    Attributes:
        path: Where it lies.
        text: What it is, for people; where it is synthetic, why.
    """

    path: Path
    text: str


def sample_slide(folder: Path) -> SampleSlide:
    """A slide in a folder: the one that is there, the freely given one, or a synthetic one.

    A file that is not the one expected is never kept.

    Args:
        folder: Made if need be.

    Raises:
        StorageError: If the folder cannot be written.
    """
    real, synthetic = folder / NAME, folder / "synthetic.tiff"
    if real.is_file() and file_sha256(real) == SHA256:
        return SampleSlide(real, f"{NAME}, freely given by OpenSlide (CC0)")
    why = _fetch(real)
    if not why:
        return SampleSlide(real, f"{NAME}, freely given by OpenSlide (CC0)")
    if not synthetic.is_file():
        write_synthetic_slide(synthetic, width_px=3000, height_px=2400)
    return SampleSlide(synthetic, f"a synthetic slide, no tissue: {NAME} {why}")


def _fetch(path: Path) -> str:
    """Fetch the real slide; why not, or nothing."""
    try:
        # The scheme is ours and fixed, and what comes is compared with its digest.
        with urllib.request.urlopen(URL, timeout=_TIMEOUT_S) as answer:
            content = answer.read(_N_BYTES + 1)
    except (OSError, HTTPException) as error:
        return f"cannot be fetched here ({error})"
    if hashlib.sha256(content).hexdigest() != SHA256:
        return f"came with another content than expected ({len(content):,} bytes)"
    with written_atomically(path) as part:
        part.write_bytes(content)
    return ""
