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
    "cross-organ.int8.bin": "435d9838dd8889410e805c992f2771d87aa6059a51daff5b5260e9fea0a6f540",
    "cross-organ.int8.json": "7223e6a16752b71527fc2a7fcc9a7c20be0557b92d9942183db5131791caca2f",
    "cross-organ.int8.xml": "c5f2cf9a20f29ad26a2ac1c1c354bbfdb08c5270f091ea919e4d4c1ef6b31069",
    "cross-organ.safetensors": "3f0108921094096da3de31c7dfa8c1a4290a7be8becd128183e91aa2d2276bd3",
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
