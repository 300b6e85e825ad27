"""Names for nuclei: the same nucleus of the same segmentation has the same id in every file."""

from __future__ import annotations

import uuid
from hashlib import sha1

import numpy as np
import numpy.typing as npt

from hoverfast_platform.nuclei.nucleus import Nuclei


def nucleus_ids(nuclei: Nuclei, namespace: uuid.UUID) -> list[str]:
    """A UUID (version 5) per nucleus, made from its polygon's rounded vertices.

    Args:
        nuclei: Those to name.
        namespace: The segmentation's; two segmentations that find the same polygon give it
            two ids.
    """
    rounded = np.round(nuclei.vertices_xy * 10**nuclei.decimals).astype("<i4")
    ring_bytes = memoryview(rounded.tobytes())
    n_bytes = rounded.itemsize * 2
    starts = (nuclei.ring_starts * n_bytes).tolist()
    ids = []
    for i in range(len(nuclei)):
        digest = bytearray(
            sha1(
                namespace.bytes + ring_bytes[starts[i] : starts[i + 1]], usedforsecurity=False
            ).digest()[:16]
        )
        digest[6] = digest[6] & 0x0F | 0x50
        digest[8] = digest[8] & 0x3F | 0x80
        h = digest.hex()
        ids.append(f"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}")
    return ids


def id_texts(ids: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """UUIDs as they are written, ``(N, 36)`` ASCII, from their bytes, ``(N, 16)``."""
    texts = np.empty((len(ids), 36), np.uint8)
    texts[:, _DASHES] = ord("-")
    texts[:, _DIGITS] = _HEXADECIMAL[np.stack([ids >> 4, ids & 15], axis=2).reshape(-1, 32)]
    return texts


_HEXADECIMAL = np.frombuffer(b"0123456789abcdef", np.uint8)
_DASHES = [8, 13, 18, 23]
_DIGITS = [i for i in range(36) if i not in _DASHES]
