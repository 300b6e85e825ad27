"""The web application, asked as a browser asks it, on a synthetic slide and result."""

import asyncio
import io
import json
import os

import httpx
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from hoverfast_platform.catalogue import Catalogue, FailureRecord, SlideRecord
from hoverfast_platform.cli import view
from hoverfast_platform.storage.nuclei_table import write_nuclei_table
from hoverfast_platform.storage.summary import SegmentationSummary
from hoverfast_platform.viewer.access import Access
from hoverfast_platform.viewer.app import viewer_app
from hoverfast_platform.viewer.library import open_library
from tests.builders import NAMESPACE, segmentation, squares, write_slide
from tests.unit.storage.test_vector_tiles import decode

WIDTH, HEIGHT = 1300, 700
HOSTILE = '<img src=x onerror="alert(1)">.tif'


def slide_pixels():
    rgb = np.full((HEIGHT, WIDTH, 3), 240, np.uint8)
    rgb[:, :600] = (180, 60, 140)
    return rgb


def summary(sha256, model="m"):
    return SegmentationSummary.model_validate(
        {
            "provenance": {
                "segmentation_id": f"seg-{model}-0123456789",
                "slide": {
                    "sha256": sha256,
                    "mpp_x": 0.25,
                    "mpp_y": 0.25,
                    "mpp_source": "file",
                    "frame": "full",
                    "origin_px": [0, 0],
                    "width_px": WIDTH,
                    "height_px": HEIGHT,
                },
                "mask": {"engine": "builtin", "sha256": "b" * 64},
                "model": {"name": model, "version": "1", "sha256": "c" * 64, "mpp": 0.25},
                "arithmetic": {
                    "device": "cpu",
                    "backend": "torch",
                    "precision": "fp32",
                    "maps": "",
                    "statistics": "",
                },
                "settings": {"tiling": {"tile_size_px": 1024}},
                "code_version": "0",
            },
            "n_nuclei": 6,
            "tissue_area_mm2": 0.01,
            "tissue_fraction": 0.5,
            "nuclei_per_mm2": 600.0,
            "n_tiles": 1,
            "seams": {"n_near_seams": 0, "n_duplicates": 0, "density_ratio": None},
            "finished_at": "2026-01-01T00:00:00+00:00",
        }
    )


def write_result(folder, stem, sha256, *, model="m", shift=0.0):
    folder.mkdir(parents=True, exist_ok=True)
    nuclei = squares(6, offset=shift)
    columns = list(nuclei.measurements)
    path = folder / f"{stem}.parquet"
    write_nuclei_table(path, [nuclei], columns, metadata={}, namespace=NAMESPACE)
    summary(sha256, model).write(folder / f"{stem}.summary.json")


class Browser:
    """Asks the application, with the token unless told otherwise."""

    def __init__(self, app, cookies):
        self._app, self._cookies = app, cookies

    def _ask(self, method, address, **more):
        async def ask():
            transport = httpx.ASGITransport(self._app)
            more.setdefault("cookies", self._cookies)
            async with httpx.AsyncClient(
                transport=transport, base_url="http://127.0.0.1:9", cookies=more.pop("cookies")
            ) as client:
                return await client.request(method, address, **more)

        return asyncio.run(ask())

    def get(self, address, **more):
        return self._ask("GET", address, **more)

    def post(self, address, value, *, headers=(("X-Hoverfast-Write", "1"),), **more):
        return self._ask("POST", address, json=value, headers=dict(headers), **more)


@pytest.fixture
def results(tmp_path):
    from hoverfast_platform.slide.digest import slide_digest

    slide = write_slide(tmp_path / "slides" / HOSTILE, slide_pixels())
    write_result(tmp_path / "results" / "a", slide.stem, slide_digest(slide))
    return tmp_path / "results"


def open_viewer(results, **rules):
    access = Access("secret", **{"may_write": True, **rules})
    folders = [results.parent / "slides"]
    app = viewer_app(
        lambda: open_library(results, slide_folders=folders), access, results / "corrections"
    )
    return Browser(app, {access.cookie: "secret"})


@pytest.fixture
def browser(results):
    return open_viewer(results)


def key_of(browser, i=0):
    return browser.get("/api/slides.json").json()["slides"][i]["key"]


def test_the_list_names_slides_as_they_are_called(browser):
    (entry,) = browser.get("/api/slides.json").json()["slides"]
    assert entry["name"] == HOSTILE
    assert entry["has_slide"]
    assert entry["n_nuclei"] == 6


def test_a_slide_that_failed_says_so_at_its_place_in_the_list(tmp_path):
    slide = write_slide(tmp_path / "slides" / "a.tiff", slide_pixels())
    with Catalogue.open(tmp_path / "results" / "catalogue.sqlite") as catalogue:
        record = SlideRecord("ab" * 32, slide.name, str(slide), "v", 9, 9, 0.25, 0.25, "file")
        key = catalogue.slides.register(record)
        catalogue.results.record_failure(
            FailureRecord(str(slide), "slide", "It broke.", "Mend it.", "r", key, step="nuclei")
        )
    browser = open_viewer(tmp_path / "results")

    (entry,) = browser.get("/api/slides.json").json()["slides"]

    assert entry["failures"] == ["nuclei: It broke. Mend it."]


def test_image_tiles_are_the_slides_own_pixels(browser):
    key = key_of(browser)
    tile = browser.get(f"/api/slides/{key}/image/0/1/0.jpg")
    pixels = np.asarray(Image.open(io.BytesIO(tile.content)))
    assert pixels.shape == (512, 512, 3)
    assert np.abs(pixels[100, 40].astype(int) - (180, 60, 140)).max() < 12  # level-0 x 552
    assert np.abs(pixels[100, 200].astype(int) - 240).max() < 12  # x 712
    below = browser.get(f"/api/slides/{key}/image/0/0/1.jpg").content
    assert np.asarray(Image.open(io.BytesIO(below)))[300, 5].min() > 250  # below the slide: white


def test_zoomed_out_tiles_of_a_slide_without_pyramid_hold_all_of_it(browser):
    key = key_of(browser)
    zooms = browser.get(f"/api/slides/{key}.json").json()["n_zooms"]
    assert zooms == 3
    tile = browser.get(f"/api/slides/{key}/image/{zooms - 1}/0/0.jpg")
    pixels = np.asarray(Image.open(io.BytesIO(tile.content))).astype(int)
    assert np.abs(pixels[80, 140] - (180, 60, 140)).max() < 12  # x 560
    assert np.abs(pixels[80, 165] - 240).max() < 12  # x 660


@pytest.mark.parametrize("place", ["9/0/0", "0/7/0", "0/0/-1"])
def test_a_tile_that_does_not_exist_is_not_found(browser, place):
    assert browser.get(f"/api/slides/{key_of(browser)}/image/{place}.jpg").status_code == 404


def test_outlines_lie_where_the_table_has_them(browser):
    key = key_of(browser)
    tile = browser.get(f"/api/slides/{key}/nuclei/0/0/0.mvt?column=area_um2&low=0&high=13")
    found = decode(tile.content)
    assert [row for row, _, _ in found] == list(range(6))
    assert {value for _, value, _ in found} == {33}  # the middle of 64 shades
    x, y = np.array(found[3][2]).T
    assert (x.min(), x.max(), y.max()) == (60 * 8, 70.5 * 8, 80)
    assert browser.get(f"/api/slides/{key}/nuclei/5/0/0.mvt").status_code == 404
    assert (
        browser.get(f"/api/slides/{key}/nuclei/0/0/0.mvt?column=x&low=0&high=1").status_code == 400
    )


def test_two_results_are_compared_nucleus_by_nucleus(results):
    sha256 = json.loads(next(results.rglob("*.summary.json")).read_text())["provenance"]
    write_result(results / "b", "other", sha256["slide"]["sha256"], model="n", shift=20.0)
    browser = open_viewer(results)
    entries = browser.get("/api/slides.json").json()["slides"]
    first, second = (entry["key"] for entry in sorted(entries, key=lambda e: e["title"]))
    assert browser.get(f"/api/slides/{first}.json").json()["others"][0]["key"] == second
    tile = browser.get(f"/api/slides/{first}/nuclei/0/0/0.mvt?against={second}")
    assert [value for _, value, _ in decode(tile.content)] == [2, 1, 1, 1, 1, 1]


def test_the_density_is_drawn_where_the_nuclei_are(browser):
    tile = browser.get(f"/api/slides/{key_of(browser)}/density/1/0/0.png")
    alpha = np.asarray(Image.open(io.BytesIO(tile.content)))[..., 3]
    side = alpha.shape[0]
    assert alpha[2, round(side * 60 / 1024)] > 100
    assert alpha[side // 2, side // 2] == 0


def test_a_clicked_nucleus_tells_its_measurements(browser):
    found = browser.get(f"/api/slides/{key_of(browser)}/nucleus/2.json").json()
    assert found["centroid"] == [45.25, 5.0]
    values = {m["column"]: m["value"] for m in found["measurements"]}
    assert values == {"area_um2": 6.5, "perimeter_um": 10.0, "confidence": None}


def test_the_graph_says_what_the_result_was_made_from(browser, results):
    address = f"/api/slides/{key_of(browser)}/lineage.svg"

    alone = browser.get(address)
    record = SlideRecord("d" * 64, "skin & bone.svs", "/s.svs", "v", 1, 1, 0.25, 0.25, "file")
    with Catalogue.open(results / "catalogue.sqlite") as catalogue:
        catalogue.slides.register(record)
        catalogue.results.record(segmentation("seg-m-0123456789", record))
    with_catalogue = open_viewer(results).get(address)

    assert alone.headers["content-type"] == "image/svg+xml"
    assert "<style" not in alone.text  # the page's policy would refuse it
    assert ">tissue mask</text>" in alone.text
    assert ">segmentation seg-m-0123</text>" in alone.text
    assert "skin &amp; bone.svs" in with_catalogue.text
    assert "current" in with_catalogue.text


def test_nothing_is_shown_without_the_token(browser):
    for address in ("/", "/api/slides.json", "/static/x.js"):
        assert browser.get(address, cookies={}).status_code == 401
    assert browser.get("/?token=wrong", cookies={}).status_code == 401


def test_the_token_is_exchanged_for_a_cookie_and_leaves_the_address(browser):
    answer = browser.get("/?token=secret&slide=k", cookies={})
    assert answer.status_code == 303
    assert answer.headers["location"] == "./?slide=k"
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie


def test_every_answer_keeps_the_page_to_itself(browser):
    for address in ("/api/slides.json", "/api/slides/none", "/nowhere"):
        headers = browser.get(address).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"


def test_without_the_servers_packages_the_command_names_the_remedy(tmp_path, monkeypatch):
    monkeypatch.setattr(view, "_NEEDED", ("starlette", "surely_not_installed"))

    done = CliRunner().invoke(view.command, [str(tmp_path)])

    assert "surely_not_installed" in str(done.exception)
    assert "hoverfast-platform[viewer]" in str(done.exception)


def test_a_foreign_name_for_this_machine_reads_nothing(browser):
    answer = browser._ask("GET", "/api/slides.json", headers={"Host": "evil.example:9"})
    assert answer.status_code == 421


@pytest.mark.parametrize(
    "key", ["..%2F..%2Fetc%2Fpasswd", "%2Fetc%2Fpasswd", "....//....//etc/passwd", "a%00b"]
)
def test_no_address_leads_to_another_file(browser, key):
    assert browser.get(f"/api/slides/{key}/image/0/0/0.jpg").status_code == 404
    assert browser.get(f"/static/{key}").status_code == 404


REGION = [[-5, -5], [60, -5], [60, 40], [-5, 40]]


def edit(browser, key, value, **more):
    return browser.post(f"/api/slides/{key}/review", {"by": "Ada", "seen": 0, **value}, **more)


def test_a_correction_is_saved_at_once_in_the_format_of_corrections(browser, results):
    key = key_of(browser)
    name = browser.get(f"/api/slides/{key}/nucleus/1.json").json()["id"]
    assert edit(browser, key, {"kind": "region", "outlines": [REGION]}).status_code == 200
    done = edit(browser, key, {"kind": "reject", "targets": [name], "rows": [1], "seen": 1})
    assert done.json()["removed_rows"] == [1]
    (saved,) = (results / "corrections").glob("*.geojson")
    features = json.loads(saved.read_text())["features"]
    assert [f["properties"]["objectType"] for f in features] == ["annotation"] + ["detection"] * 2
    assert name not in {f["id"] for f in features}
    assert browser.get(f"/api/slides/{key}/review.json").json()["last"] == 2


def test_the_second_of_two_editors_is_told_and_nothing_is_lost(browser):
    key = key_of(browser)
    name = browser.get(f"/api/slides/{key}/nucleus/1.json").json()["id"]
    target = {"targets": [name], "rows": [1]}
    assert edit(browser, key, {"kind": "reject", **target}).status_code == 200
    refused = edit(browser, key, {"kind": "accept", "by": "Bo", **target})
    assert refused.status_code == 409
    assert "Ada changed this nucleus" in refused.json()["error"]


def test_a_number_that_is_another_nucleus_is_refused(browser):
    key = key_of(browser)
    name = browser.get(f"/api/slides/{key}/nucleus/1.json").json()["id"]
    for row in (2, 600):
        answer = edit(browser, key, {"kind": "reject", "targets": [name], "rows": [row]})
        assert answer.status_code == 400


def test_writing_needs_permission_the_token_and_a_page_of_ours(results):
    value = {"kind": "region", "outlines": [REGION]}
    shows_only = open_viewer(results, may_write=False)
    assert edit(shows_only, key_of(shows_only), value).status_code == 403
    readable = open_viewer(results, anyone_may_read=True)
    key = key_of(readable)
    assert readable.get("/api/slides.json", cookies={}).status_code == 200
    assert edit(readable, key, value, cookies={}).status_code == 403
    assert edit(readable, key, value, headers=()).status_code == 403
    assert not (results / "corrections").exists()


@pytest.mark.parametrize("body", [[], {"kind": "explode"}, {"kind": "add", "outlines": [[[0, 0]]]}])
def test_nonsense_is_refused(browser, body):
    answer = browser.post(f"/api/slides/{key_of(browser)}/review", body)
    assert answer.status_code == 400
    assert "not an edit" in answer.json()["error"]


def test_a_slide_that_went_away_leaves_its_nuclei_to_be_seen(results):
    (results.parent / "slides" / HOSTILE).unlink()
    browser = open_viewer(results)
    key = key_of(browser)
    shown = browser.get(f"/api/slides/{key}.json").json()
    assert "Start the viewer with --slides" in shown["problem"]
    assert browser.get(f"/api/slides/{key}/nuclei/0/0/0.mvt").status_code == 200
    assert browser.get(f"/api/slides/{key}/image/0/0/0.jpg").status_code == 424


def test_another_slide_of_the_same_name_is_not_taken_for_it(results):
    write_slide(results.parent / "slides" / HOSTILE, slide_pixels() // 2)
    (exhibit,) = open_library(results, slide_folders=[results.parent / "slides"]).exhibits
    assert exhibit.slide_path is None


def test_a_result_made_anew_is_shown_without_a_restart(results, monkeypatch):
    monkeypatch.setattr("hoverfast_platform.viewer.showroom._RELOAD_S", -1.0)
    browser = open_viewer(results)
    key = key_of(browser)
    assert browser.get(f"/api/slides/{key}.json").json()["result"]["id"].startswith("seg-m-")
    (path,) = results.rglob("*.summary.json")
    sha256 = json.loads(path.read_text())["provenance"]["slide"]["sha256"]
    write_result(path.parent, path.name.removesuffix(".summary.json"), sha256, model="new")
    os.utime(path, ns=(1, 1))
    assert browser.get(f"/api/slides/{key}.json").json()["result"]["id"].startswith("seg-new-")


def test_a_slide_alone_can_be_looked_at(results):
    slide = results.parent / "slides" / HOSTILE
    app = viewer_app(lambda: open_library(slide), Access("s"), results)
    browser = Browser(app, {Access("s").cookie: "s"})
    key = key_of(browser)
    assert browser.get(f"/api/slides/{key}.json").json()["result"] is None
    assert browser.get(f"/api/slides/{key}/thumbnail.jpg").status_code == 200
    assert "Segment it first" in browser.get(f"/api/slides/{key}/nuclei/0/0/0.mvt").json()["error"]


def test_colours_go_from_low_to_high_and_missing_values_have_their_own():
    from hoverfast_platform.viewer.colours import N_SHADES, shade_index, shades

    values = np.array([np.nan, -9, 0.0, 0.5, 1, 9])
    assert shade_index(values, 0, 1).tolist() == [0, 1, 1, 33, 64, 64]
    assert shades().shape == (N_SHADES, 3)
