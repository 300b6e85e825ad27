"""The page as people meet it: opened by the command, moved about, and where something is wrong."""

import json
import os
import re
import subprocess
import sys
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.browser.conftest import serving
from tests.browser.exhibit import BESIDE_FAR, CENTRES, FAR, LONE, PALE, write_exhibition
from tests.browser.viewer_page import ViewerPage

expect = pytest.importorskip("playwright.sync_api", reason="pip install '.[e2e]'").expect
pytestmark = pytest.mark.browser


def test_the_command_prints_an_address_that_opens_the_slide(chromium, exhibition):
    run = "from hoverfast_platform.cli.main import main; main()"
    options = ["--no-browser", "--slides", exhibition.slide.parent]
    server = subprocess.Popen(
        [sys.executable, "-c", run, "view", exhibition.results, *options],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"HOVERFAST_CATALOGUE": ""},
    )
    try:
        lines = iter(server.stdout.readline, "")
        address = next(line.strip() for line in lines if "token=" in line)
        page = chromium.new_context().new_page()
        page.goto(address)
        expect(page.get_by_role("button", name="skin.tiff")).to_be_visible()
        assert "token" not in page.url
        expect(page.locator("#review")).to_be_hidden(timeout=10_000)
        page.context.close()
    finally:
        server.terminate()
        assert server.wait(20) is not None
        server.stdout.close()


def test_a_link_leads_to_the_same_place_and_colours(open_page):
    page = open_page(x=900, y=300, r=0.5, column="area_um2")
    asked = parse_qs(urlsplit(page.page.url).query)
    assert (asked["x"], asked["y"], asked["column"]) == (["900"], ["300"], ["area_um2"])
    assert page.page.get_by_label("Colour by").input_value() == "area_um2"
    page.page.mouse.move(*page.at(900, 300))
    page.page.mouse.wheel(0, -300)
    expect(page.page).to_have_url(re.compile(r"&r=0\.[0-4]"), timeout=20_000)


def test_the_slides_name_leads_to_what_it_was_made_from(open_page):
    page = open_page()
    page.page.get_by_role("button", name="skin.tiff").click()
    expect(page.page.locator("#lineage")).to_contain_text("seg-cross-organ-0123456789")


def test_two_results_are_seen_as_their_difference(open_page):
    page = open_page()
    other = page.page.get_by_label("Compare with")
    other.select_option(index=1)
    page.settle()
    expect(page.page.locator("#layers")).to_contain_text("only in lean")
    before = page.page.screenshot()
    other.select_option(index=0)
    page.settle()
    assert before != page.page.screenshot()


def test_two_results_are_seen_side_by_side_at_the_same_place(open_page):
    page = open_page(against="", r=0.5, x=1000, y=600)
    page.page.get_by_label("Compare with").select_option(index=1)
    page.page.get_by_label("Side by side").check()
    page.settle()
    expect(page.page.locator("#map .whose")).to_contain_text("cross-organ")
    expect(page.page.locator("#beside .whose")).to_contain_text("lean")
    assert parse_qs(urlsplit(page.page.url).query)["beside"] == ["1"]

    right = page.page.locator("#beside")
    box = right.bounding_box()
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    x, y = CENTRES[BESIDE_FAR]
    page.page.mouse.click(middle[0] + (x - 1000) / 0.5, middle[1] + (y - 600) / 0.5)
    expect(page.page.locator("#nucleus")).to_contain_text("x 1,080, y 580")

    before = right.screenshot()
    page.key("+")
    page.page.wait_for_timeout(600)
    page.settle()
    assert right.screenshot() != before  # both go along
    page.page.get_by_label("Side by side").uncheck()
    page.settle()
    expect(right).to_be_hidden()
    expect(page.page.locator(".whose")).to_have_count(0)


def test_the_mask_says_what_was_left_out_and_why(open_page):
    page = open_page()
    page.page.get_by_label("Tissue mask, and what was left out").check()
    expect(page.page.locator(".legend")).to_contain_text("ink on tissue: 0.005 mm² left out")


def test_the_list_tells_what_the_check_of_the_mask_found(open_page, exhibition):
    rules = {"mask": {"max_lost_fraction": 0.01}, "density": {"severity": "off"}}
    (exhibition.results / "checks.json").write_text(json.dumps(rules))
    page = open_page()
    page.press("Slides")
    expect(page.page.locator("#list")).to_contain_text("Check of mask: ")
    expect(page.page.locator("#list")).to_contain_text("most of it to pen (9%)")
    expect(page.page.locator("#list")).not_to_contain_text("Check of density")


def test_tile_borders_come_with_the_seam_audit(open_page):
    page = open_page()
    page.page.get_by_label("Borders of tiles").check()
    expect(page.page.locator("#layers")).to_contain_text("At the borders: 1 nuclei, 0 found twice")


def test_a_slide_whose_name_is_a_program_runs_nothing(chromium, tmp_path):
    hostile = '<img src=x onerror="window.pwned=1">.tiff'
    exhibition = write_exhibition(tmp_path, name=hostile)
    with serving(exhibition) as address:
        context = chromium.new_context()
        page = ViewerPage(context.new_page(), exhibition)
        page.enter(address, "Ada")
        page.press("Slides")
        expect(page.page.locator("#list")).to_contain_text(hostile)
        assert page.page.title().startswith(hostile)
        assert page.page.evaluate("window.pwned") is None
        assert page.defects == []
        context.close()


def test_without_the_slides_file_its_nuclei_are_shown_and_the_remedy_is_said(chromium, exhibition):
    exhibition.slide.unlink()
    with serving(exhibition) as address:
        context = chromium.new_context()
        page = ViewerPage(context.new_page(), exhibition)
        page.enter(address, "Ada")
        expect(page.page.locator("#message")).to_contain_text("Start the viewer with --slides")
        page.choose(PALE)
        expect(page.page.locator("#nucleus")).to_contain_text("Area")
        context.close()


def test_nuclei_that_are_not_those_published_are_told(chromium, exhibition):
    table = next((exhibition.results / "first").glob("*.parquet"))
    table.write_bytes((exhibition.results / "second" / table.name).read_bytes())
    with serving(exhibition) as address:
        context = chromium.new_context()
        page = ViewerPage(context.new_page(), exhibition)
        page.enter(address, "Ada")
        expect(page.page.locator("#message")).to_contain_text("changed since")
        context.close()


def test_a_torn_summary_is_told_in_the_list_and_the_other_result_is_opened(chromium, exhibition):
    summary = next((exhibition.results / "first").glob("*.summary.json"))
    summary.write_bytes(summary.read_bytes()[:-40])
    with serving(exhibition) as address:
        context = chromium.new_context()
        page = ViewerPage(context.new_page(), exhibition)
        page.enter(address, "Ada")
        expect(page.page.locator("#figures")).to_contain_text("lean")
        page.press("Slides")
        expect(page.page.locator("#list .bad").first).to_contain_text("It is torn")
        assert page.defects == []
        context.close()


def test_a_viewer_that_only_shows_offers_no_corrections(chromium, exhibition):
    with serving(exhibition, may_write=False) as address:
        context = chromium.new_context()
        page = ViewerPage(context.new_page(), exhibition)
        page.enter(address, "Ada")
        page.choose(LONE)
        expect(page.page.locator("#nucleus")).to_contain_text("Area")
        expect(page.page.get_by_role("button", name=re.compile("Wrong"))).to_have_count(0)
        context.close()


def test_no_request_leaves_the_machine(open_page):
    page = open_page(x=int(CENTRES[FAR][0]), y=int(CENTRES[FAR][1]))
    asked = []
    page.page.on("request", lambda request: asked.append(request.url))
    page.page.reload()
    page.settle()
    assert asked
    assert all(urlsplit(url).hostname == "127.0.0.1" for url in asked if url.startswith("http"))
