"""The pages of the site: complete, linked, and made from the code."""

import re
from pathlib import Path

import pytest

from docs.links import broken_links
from docs.outside_pages import OUTSIDE, links_inside
from docs.reference_pages import SETTINGS, commands_page, settings_page, write_reference
from hoverfast_platform.cli.main import hoverfast
from hoverfast_platform.config import Settings
from tests.conftest import REPOSITORY

DOCS = REPOSITORY / "docs"


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    folder = tmp_path_factory.mktemp("generated")
    write_reference(folder)
    return folder


def test_every_command_is_in_the_reference():
    page = commands_page()

    for name in hoverfast.list_commands(None):
        assert f"### hoverfast {name}\n" in page
    assert "### hoverfast models\n" in page
    assert "#### hoverfast models promote\n" in page


def test_every_settings_file_is_in_the_reference_with_its_nested_groups():
    page = settings_page()

    for model, _ in SETTINGS:
        assert f"# {model.__name__}\n" in page
    assert "\n| `border_steepness` | `0.05` | &gt; 0, &lt; 1 | Fall of the HV maps" in page


def test_a_setting_without_a_text_is_refused(monkeypatch):
    class Mute(Settings):
        knob: int = 1

    monkeypatch.setattr("docs.reference_pages.SETTINGS", ((Mute, ""),))

    with pytest.raises(ValueError, match=r"Mute\.knob has no text"):
        settings_page()


def test_the_reference_covers_tables_addresses_and_errors(reference):
    catalogue = (reference / "catalogue.md").read_text(encoding="utf-8")
    assert "\n## segmentations\n" in catalogue
    assert "    slides ||--o{ segmentations : slide_id\n" in catalogue
    assert "`POST /api/slides/{key}/review`" in (reference / "viewer-rest.md").read_text()
    assert "(error-missing_mpp.md)" in (reference / "errors.md").read_text()
    assert "autofunction:: hoverfast_platform.segment_slide\n" in (
        reference / "python-api.md"
    ).read_text(encoding="utf-8")


def test_every_page_has_its_place_in_the_navigation(reference):
    named = set(re.findall(r"^([\w/-]+)$", (DOCS / "index.md").read_text(), re.M))
    pages = {
        path.relative_to(DOCS).with_suffix("").as_posix()
        for path in DOCS.rglob("*.md")
        if not {"generated", "_build"} & set(path.relative_to(DOCS).parts)
    } - {"index"}
    made = {f"generated/{path.stem}" for path in reference.glob("*.md")}

    assert pages - named == set()
    assert {name for name in made if not name.startswith("generated/error-")} <= named


def test_pages_outside_the_folder_are_there():
    for source in OUTSIDE:
        assert (REPOSITORY / source).is_file()


def test_a_link_to_an_outside_page_leads_to_its_copy():
    assert links_inside("[x](../deploy/README.md#upgrade)", "scaling") == (
        "[x](generated/deploy.md#upgrade)"
    )
    assert links_inside("[x](../../CONTRIBUTING.md)", "ways/pathologist") == (
        "[x](../generated/contributing.md)"
    )
    assert links_inside("[x](https://a.b/c.md)", "scaling") == "[x](https://a.b/c.md)"


def test_a_link_that_leads_nowhere_is_found(tmp_path: Path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.html").write_text(
        '<h1 id="top">A</h1><a href="sub/b.html#there">x</a><a href="#top">y</a>'
        '<a href="https://elsewhere/x">z</a>'
    )
    (tmp_path / "sub" / "b.html").write_text('<img src="no.png"><a href="../a.html#bottom">x</a>')

    assert broken_links(tmp_path) == [
        "a.html: sub/b.html#there",
        "sub/b.html: no.png",
        "sub/b.html: ../a.html#bottom",
    ]
