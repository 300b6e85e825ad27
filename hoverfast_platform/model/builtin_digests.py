"""Digests of the models that ship with the platform, so that a replaced file is noticed.

A graph and the card that vouches for it lie side by side, so whoever can replace one can replace
both; what is written here cannot be replaced with them. A new built-in model needs new lines:
``tests/unit/model/test_builtin_digests.py`` prints them.
"""

from __future__ import annotations

from pathlib import Path

from hoverfast_platform.errors import CheckpointError
from hoverfast_platform.files import file_sha256

BUILTIN_DIR = Path(__file__).parent / "builtin"

BUILTIN_SHA256 = {
    "cross-organ.int8.bin": "1f1e926e75382643bae7fefa428d56c095a42df9e03dc821f8f7e3c0e5e319ce",
    "cross-organ.int8.json": "e27647861ab7e37cebca50970ecc28109fdc609dd5a0aeb596dfee3875d2a94c",
    "cross-organ.int8.xml": "1eec69e82dac176e83166f183365ecd3ebdd5ad09b96b243c656ba8548984342",
    "cross-organ.safetensors": "d28f8479b862fc57a4143042e8a0250d7718d1492c187aad81cff3a085e67c67",
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
