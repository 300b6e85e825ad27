"""Digests of the models that ship with the platform, so that a replaced file is noticed.

A graph and the card that vouches for it lie side by side, so whoever can replace one can replace
both; what is written here cannot be replaced with them. A new built-in model needs new lines:
``tests/unit/model/test_builtin_digests.py`` prints them.
"""

# ruff: noqa: E501 - a digest and a name on one line
from __future__ import annotations

from pathlib import Path

from hoverfast_platform.errors import CheckpointError
from hoverfast_platform.files import file_sha256

BUILTIN_DIR = Path(__file__).parent / "builtin"

BUILTIN_SHA256 = {
    "cross-organ-20x.int8.bin": "9f3c2119faf5de3fd0ebccd1cfbfb6119eddbe0f9aff82c567669406014d29dd",
    "cross-organ-20x.int8.json": "f90ca629ff5be05e3bcf6aad80038793d390f9543d3c6c95b49cf3e619ac7e4e",
    "cross-organ-20x.int8.xml": "f94aede32b7487790ea7340626c229d1d9abdbaaf4c770e38103151ef577b116",
    "cross-organ-20x.safetensors": "279e11f2213f958bc1a222bb919081373204c4ad88060abc05270f1da606fff5",
    "cross-organ-lean.int8.bin": "453555711f0581259c0e62ed82c3b29c1f116d235a854e0fe93f1a6f29b01ba7",
    "cross-organ-lean.int8.json": "133d15b45dee679e7e5102265e68b45e49af7cef657742db6103f4a186801306",
    "cross-organ-lean.int8.xml": "5d92b2c7834ab46329258d1bd6551f6d1ee781e70a311a647639c211d7243438",
    "cross-organ-lean.safetensors": "84f6970abc2f88fae4516e2840306fcbecae06646c4fe66cbc8c6f6ab9a69d50",
    "cross-organ.int8.bin": "aabf215ce09e8c86a97ccc9a0e296fd48aa9754e6acb573bc58d63f106fe7851",
    "cross-organ.int8.json": "d49860d8d45fdc8f51099f897554a9c4a99dd9b3f717c135ab22edc28512de4c",
    "cross-organ.int8.xml": "909a09cbb7d90fd98afd349cd61fa6969662fdeba6aae42b8bf40149f65a1e6d",
    "cross-organ.safetensors": "964d726e44d99258fc8d7d0edb3e2d24ce6514d77bf9117b7b4e28a0900f6486",
}
"""File name of weights, graphs and what vouches for a graph, to SHA-256 of its bytes, hex."""


def check_builtin(path: Path) -> None:
    """Make sure that a file of a built-in model is the one that was released; others may be any.

    Raises:
        CheckpointError: If it lies in the built-in folder and is another file.
    """
    if path.parent != BUILTIN_DIR:
        return
    if file_sha256(path) != BUILTIN_SHA256.get(path.name):
        raise CheckpointError(
            f"{path} is not the file that was released with this version.",
            "It was changed or damaged after installation; install the package again. Models of "
            "your own belong in a folder of their own.",
        )
