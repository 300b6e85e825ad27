"""Pictures of README and the documentation: there, small, shown, and made by one command."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

from docs.pictures import DOCS, IMAGES, MAX_BYTES, PICTURES, main

PAGES = [DOCS.parent / "README.md", *DOCS.glob("*.md"), *DOCS.glob("ways/*.md")]
SHOWN = {
    (page.parent / address).resolve()
    for page in PAGES
    for address in re.findall(r"!\[[^\]]+\]\(([^)]+)\)", page.read_text(encoding="utf-8"))
}
BY_HAND = {"viewer-difference.jpg", "model-failures.jpg"}
"""The first needs the results of two models, the second a labelled set; ``docs/viewer.md`` and
``docs/models.md`` say how to get there."""


@pytest.mark.parametrize("path", sorted(SHOWN), ids=lambda path: path.name)
def test_a_picture_is_there_opens_and_is_small(path):
    with Image.open(path) as picture:
        picture.verify()

    assert path.stat().st_size <= MAX_BYTES


def test_every_picture_is_shown_and_made_by_the_command():
    kept = {path.resolve() for path in IMAGES.iterdir()}
    told = " ".join(one.__doc__ for one in PICTURES.values())
    made = {IMAGES.resolve() / name for name in re.findall(r"``([\w-]+\.(?:jpg|png))``", told)}

    assert kept == SHOWN
    assert kept - made == {IMAGES.resolve() / name for name in BY_HAND}
    assert made <= kept


def test_a_picture_that_there_is_not_is_refused_before_anything_runs(tmp_path):
    done = CliRunner().invoke(main, ["portrait", "--folder", str(tmp_path / "kept")])

    assert done.exit_code == 2
    assert "'result', 'qupath'" in done.output
    assert not Path(tmp_path / "kept").exists()
