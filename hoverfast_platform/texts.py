"""Texts that leave the process: without passwords, and without characters that do something.

A file's name comes from somebody else. In a terminal its control characters move the cursor or
set the title, and bytes that are not UTF-8 cannot be written into a file or a database at all.
Markdown makes a picture of another server of it, a spreadsheet a formula. One function for each
place where it can do harm: :func:`clean` for terminals, logs, databases and errors,
:func:`one_line` for a name within a line, :func:`markdown` for Dagster's pages, :func:`cell` for
tables. Pages of our own escape by themselves (``reports.page``, the viewer).
"""

from __future__ import annotations

import re

# Greedy: a password with an @ in it must not be shown from there on.
_CREDENTIALS = re.compile(r"(\b[A-Za-z][\w+.-]*://[^\s:/@]*:)\S*@")
_PASSWORD = re.compile(r"(\b(?:ssl)?password\s*=\s*)('[^']*'|[^\s&'\"]+)", re.IGNORECASE)
# C0 but tab and newline, DEL, C1, bytes that are not UTF-8, and marks that turn the direction.
_DOING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")

_MARKED = re.compile(r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~]")  # all that may be escaped
_FORMULA = re.compile(r"'?[=+\-@]")


def clean(text: str) -> str:
    r"""The text as it may be shown and kept anywhere.

    Args:
        text: With names of files, URLs, and what libraries said.

    Returns:
        Passwords in URLs and after ``password=`` are ``***``; characters that do something are
        written as ``\x1b``, and bytes that are not UTF-8 as ``\xff``.
    """
    masked = _PASSWORD.sub(r"\1***", _CREDENTIALS.sub(r"\1***@", text))
    return _DOING.sub(_written_out, masked)


def one_line(text: str) -> str:
    """A name as it may be shown within a line: clean, and its line breaks written out."""
    return clean(text).replace("\n", "\\n").replace("\t", "\\t")


def markdown(text: str) -> str:
    """A text that Markdown shows as it is, in a line or in a cell of a table."""
    return _MARKED.sub(r"\\\g<0>", one_line(text))


def cell(text: str) -> str:
    """A text that no spreadsheet computes; :func:`text_of_cell` takes it back."""
    shown = one_line(text)
    return f"'{shown}" if _FORMULA.match(shown) and not _is_number(shown) else shown


def text_of_cell(shown: str) -> str:
    """What was given to :func:`cell`, but for what it wrote out."""
    return shown[1:] if shown[:1] == "'" and _FORMULA.match(shown[1:]) else shown


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _written_out(found: re.Match[str]) -> str:
    code = ord(found[0])
    if 0xDC80 <= code <= 0xDCFF:  # how Python carries a byte that is not UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
