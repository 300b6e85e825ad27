"""An exported region, as a file server has it."""

import dataclasses
import json

import pytest

from hoverfast_platform.catalogue import FailureRecord
from hoverfast_platform.errors import SettingsError
from hoverfast_platform.storage.nuclei_lookup import Place
from hoverfast_platform.viewer import export
from hoverfast_platform.viewer.access import Access
from hoverfast_platform.viewer.app import viewer_app
from hoverfast_platform.viewer.library import open_library
from hoverfast_platform.viewer.showroom import Showroom
from tests.browser.exhibit import FAR, LONE, write_exhibition


@pytest.fixture
def exported(tmp_path, monkeypatch):
    """``write(folder, region)`` with a page that needs no building."""
    page = tmp_path / "page"
    page.mkdir()
    (page / "index.html").write_text("<p>the page</p>")
    monkeypatch.setattr(export, "STATIC", page)
    monkeypatch.setattr(export, "check_built", lambda: None)
    exhibition = write_exhibition(tmp_path)

    def load():
        folders = [exhibition.slide.parent]
        found = open_library(exhibition.results / "first", slide_folders=folders)
        (one,) = found.exhibits
        failure = FailureRecord("/secret/skin.tiff", "k", "Lost /secret.", "", "", slide_key="s")
        shown = dataclasses.replace(one, slide_key="s")
        return dataclasses.replace(found, exhibits=(shown,), failures=(failure,))

    access, room = Access("secret"), Showroom(load, tmp_path / "corrections")
    app = viewer_app(load, access, tmp_path / "corrections")
    (one,) = load().exhibits

    def write(folder, region):
        cookie = access.cookie, access.token
        export.export_region(app, cookie, room.show(one.key), region, folder)
        return folder / "api" / "slides" / one.key

    return write


def test_the_files_are_the_region_and_what_the_page_asks_of_it(exported, tmp_path):
    place = exported(tmp_path / "out", Place(0, 0, 500, 500))
    assert (tmp_path / "out" / "index.html").read_text() == "<p>the page</p>"
    (listed,) = json.loads((place.parent.parent / "slides.json").read_text())["slides"]
    assert listed["name"] == "skin.tiff"
    described = json.loads(place.with_name(f"{place.name}.json").read_text())
    assert not described["may_write"]
    assert (place / "image/0/0/0.jpg").read_bytes()[:2] == b"\xff\xd8"
    assert not (place / "image/0/1/1.jpg").exists()  # outside the region
    assert (place / "image/1/0/0.jpg").exists()
    assert (place / "nuclei/0/0/0.mvt").stat().st_size > 100
    assert json.loads((place / f"nucleus/{LONE}.json").read_text())["centroid"] == [200.0, 200.0]
    assert not (place / f"nucleus/{FAR}.json").exists()


def test_what_failed_before_and_where_files_lie_stays_at_home(exported, tmp_path):
    place = exported(tmp_path / "out", Place(0, 0, 300, 300))

    answers = [place.with_name(f"{place.name}.json"), place.parent.parent / "slides.json"]
    assert not [path for path in answers if "secret" in path.read_text()]


def test_what_lies_in_a_folder_already_is_not_overwritten(exported, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("x")
    with pytest.raises(SettingsError, match="not empty"):
        exported(tmp_path / "out", None)


def test_a_region_of_too_many_nuclei_is_refused_before_anything_is_written(
    exported, tmp_path, monkeypatch
):
    monkeypatch.setattr(export, "MAX_NUCLEI", 1)
    with pytest.raises(SettingsError, match="at most 1"):
        exported(tmp_path / "out", None)
    assert not (tmp_path / "out").exists()
