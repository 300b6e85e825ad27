"""Label images that code ids as colours: every nucleus has a colour of its own, on black."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from hoverfast_platform.errors import LabelError

_FEW_PX = 4


def ids_of_colours(path: Path, colours: npt.NDArray[np.uint8]) -> npt.NDArray[np.int32]:
    """Numbers for the colours; which number codes which id does not matter, only which are equal.

    Args:
        path: The file, for errors.
        colours: ``(H, W, 3)``.

    Raises:
        LabelError: If colours stand for classes (one colour on several nuclei), have soft edges as
            a picture of an overlay has, or if the ground is not black: all would lose or make up
            nuclei.
    """
    from skimage.measure import label  # not at the top: it takes 0.2 s, and few labels are colours

    weights = np.array([1, 1 << 8, 1 << 16], dtype=np.int32)
    coded: npt.NDArray[np.int32] = (colours.astype(np.int32) * weights).sum(axis=2, dtype=np.int32)
    ids, sizes = np.unique(coded[coded > 0], return_counts=True)
    pieces = label(coded, background=0, connectivity=2)  # type: ignore[no-untyped-call]
    n_pieces, n_few = int(pieces.max(initial=0)), int((sizes < _FEW_PX).sum())
    if (coded > 0).all() or sizes.max(initial=0) > coded.size / 2:
        raise LabelError(
            f"{path} is in colour, and what lies between its colours is not black.",
            "Where colours code ids, black is the background; export the label image itself.",
        )
    if n_pieces > 1.2 * len(ids) + 1 or n_few > 0.2 * len(ids):
        raise LabelError(
            f"{path} is in colour: {len(ids)} colours in {n_pieces} pieces, {n_few} of them on "
            f"fewer than {_FEW_PX} pixels. Where colours are ids, each has one piece.",
            "Colours of classes and overlays are not labels; export the label image itself.",
        )
    return coded
