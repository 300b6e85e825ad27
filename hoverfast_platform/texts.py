"""Texts that leave the process: without passwords, and without characters that do something.

A file's name comes from somebody else. In a terminal its control characters move the cursor or
set the title, and bytes that are not UTF-8 cannot be written into a file or a database at all.
"""

from __future__ import annotations

import re

# Greedy: a password with an @ in it must not be shown from there on.
_CREDENTIALS = re.compile(r"(\b[A-Za-z][\w+.-]*://[^\s:/@]*:)\S*@")
# C0 but tab and newline, DEL, C1, bytes that are not UTF-8, and marks that turn the direction.
_DOING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")


def clean(text: str) -> str:
    r"""The text as it may be shown and kept anywhere.

    Args:
        text: With names of files, URLs, and what libraries said.

    Returns:
        Passwords in URLs are ``***``; characters that do something are written as ``\x1b``,
        and bytes that are not UTF-8 as ``\xff``.
    """
    return _DOING.sub(_written_out, _CREDENTIALS.sub(r"\1***@", text))


def _written_out(found: re.Match[str]) -> str:
    code = ord(found[0])
    if 0xDC80 <= code <= 0xDCFF:  # how Python carries a byte that is not UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
