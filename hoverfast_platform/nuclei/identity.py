"""Names for nuclei: the same nucleus of the same segmentation has the same id in every file."""

from __future__ import annotations

import uuid
from hashlib import sha1

import numpy as np

from hoverfast_platform.nuclei.nucleus import Nuclei


def nucleus_ids(nuclei: Nuclei, namespace: uuid.UUID) -> list[str]:
    """A UUID (version 5) per nucleus, of its polygon's rounded vertices.

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
