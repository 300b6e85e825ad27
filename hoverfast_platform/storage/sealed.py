"""JSON texts that carry their own digest, so that a torn or edited one is told from a whole one.

Not a signature: whoever can write the file can write its digest, too.
"""

from __future__ import annotations

import re

from hoverfast_platform.errors import StorageError
from hoverfast_platform.files import text_sha256

_SEAL = re.compile(r',\n  "sha256_of_the_rest": "([0-9a-f]{64})"\n\}\n\Z')


def sealed(text: str) -> str:
    """A JSON object, indented by two, with the digest of the rest as its last member."""
    body = text.removesuffix("\n}")
    return f'{body},\n  "sha256_of_the_rest": "{text_sha256(text)}"\n}}\n'


def unsealed(text: str) -> str:
    """What was given to :func:`sealed`.

    Raises:
        StorageError: If anything was changed or is missing.
    """
    seal = _SEAL.search(text)
    if seal is None:
        raise StorageError(
            "it does not end with the digest of its text.",
            "It is torn, edited, or of an earlier version; run again to make it anew.",
        )
    body = text[: seal.start()] + "\n}"
    if text_sha256(body) != seal[1]:
        raise StorageError("it was edited or damaged.", "Run again to make it anew.")
    return body
