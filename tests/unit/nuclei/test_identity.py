import uuid

import numpy as np

from hoverfast_platform.nuclei.identity import nucleus_ids
from hoverfast_platform.nuclei.nucleus import Nuclei


def triangles(n):
    corners = np.array([[0, 0], [4.5, 0], [4, 4], [0, 0]])
    return Nuclei(
        centroid_xy=np.zeros((n, 2)),
        vertices_xy=np.concatenate([corners + i for i in range(n)]),
        ring_starts=4 * np.arange(n + 1, dtype=np.int64),
        tile_index=np.zeros(n, np.int32),
        decimals=1,
    )


def test_ids_are_valid_unique_and_stay_with_their_nucleus():
    nuclei, namespace = triangles(50), uuid.UUID(int=7)

    ids = nucleus_ids(nuclei, namespace)

    assert len(set(ids)) == 50
    assert {uuid.UUID(text).version for text in ids} == {5}
    assert nucleus_ids(nuclei.take(np.array([9, 3])), namespace) == [ids[9], ids[3]]
    assert not set(ids) & set(nucleus_ids(nuclei, uuid.UUID(int=8)))
