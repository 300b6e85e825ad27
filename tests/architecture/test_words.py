"""Sentences of the code that people read: docstrings, texts of settings, help and errors."""

import ast
import re

import pytest

from tests.conftest import REPOSITORY

FILES = sorted(
    path
    for package in ("hoverfast_platform", "assets", "resources")
    for path in (REPOSITORY / package).rglob("*.py")
)

NO_SUBJECT = re.compile(r"Of\b")
IS_NO_NOUN = re.compile(
    r"(?<!there )\b(is|are) no (?!longer\b|more\b|less\b|larger\b|smaller\b|worse\b|lower\b)\w+",
    re.IGNORECASE,
)


def texts(source):
    """Docstrings, texts below fields, help and errors: every string, an f-string as a whole."""
    parts = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.JoinedStr):
            parts.update(map(id, node.values))
            yield (
                node.lineno,
                "".join(
                    part.value if isinstance(part, ast.Constant) else "{}" for part in node.values
                ),
            )
        elif (
            isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in parts
        ):
            yield node.lineno, " ".join(node.value.split())


def faults(source):
    for line, text in texts(source):
        if NO_SUBJECT.match(text):
            yield f"{line}: {text[:60]!r} names no subject: begin with what the text is about"
        if found := IS_NO_NOUN.search(text):
            yield f"{line}: {found[0]!r}: write 'is not a'"


def test_sentences_name_their_subject_and_say_is_not_a():
    found = [
        f"{path.relative_to(REPOSITORY)}:{fault}"
        for path in FILES
        for fault in faults(path.read_text(encoding="utf-8"))
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "source",
    [
        'def side():\n    """Of the slide."""',
        'weight: float = 1.0\n"""Of the error."""',
        'option(help="Of area 1x.")',
        'error(f"{path} is no slide.")',
        '"""These\n    are no slides."""',
    ],
)
def test_unclear_sentences_are_found(source):
    assert len(list(faults(source))) == 1


@pytest.mark.parametrize(
    "sentence",
    ["There is no slide.", "It is no longer there.", "Often it is so.", "It is no more than 3."],
)
def test_clear_sentences_are_left_alone(sentence):
    assert not list(faults(repr(sentence)))
