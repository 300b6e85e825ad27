"""Every correction, made with mouse and keys in a real Chromium, and what is then in the file."""

import re

import pytest

from tests.browser.exhibit import (
    AXES,
    CENTRES,
    FAR,
    LEFT_OF_PAIR,
    LONE,
    LONG,
    PALE,
    RIGHT_OF_PAIR,
    TWIN,
)

expect = pytest.importorskip("playwright.sync_api", reason="pip install '.[e2e]'").expect
pytestmark = pytest.mark.browser


def ring_of(feature):
    return feature["geometry"]["coordinates"][0]


def centre_of(feature):
    xy = ring_of(feature)[:-1]
    return [sum(x for x, _ in xy) / len(xy), sum(y for _, y in xy) / len(xy)]


def near(feature, number, within=6):
    x, y = centre_of(feature)
    return abs(x - CENTRES[number][0]) < within and abs(y - CENTRES[number][1]) < within


def whole_slide(page):
    """Say that everything was looked at, so that the file holds every nucleus."""
    page.press("Region done")
    page.page.mouse.click(*page.at(20, 20))
    page.page.wait_for_timeout(400)
    page.page.mouse.click(*page.at(1180, 780))
    page.settle()
    page.page.wait_for_timeout(400)


def test_a_nucleus_is_rejected_and_stays_gone_after_a_reload(open_page):
    page = open_page(r=1.2)
    whole_slide(page)
    page.choose(LONE)
    page.key("x")
    assert len(page.detections()) == len(CENTRES) - 1
    assert not any(near(one, LONE) for one in page.detections())
    page.page.reload()
    page.settle()
    expect(page.page.locator("#review-counts")).to_contain_text("1 removed")
    page.choose(LONE)
    expect(page.page.locator("#nucleus")).to_contain_text("Click one")


def test_a_nucleus_is_found_right(open_page):
    page = open_page()
    page.choose(PALE)
    page.press("Right (a)")
    assert "1 found right" in page.counts
    assert page.page.locator("#review-counts").text_content().count("Ada") == 1


def test_an_outline_is_redrawn(open_page):
    page = open_page(r=1.2)
    whole_slide(page)
    page.choose(FAR)
    page.press("Redraw")
    x, y = CENTRES[FAR]
    page.draw((x - 30, y - 30), (x + 30, y - 30), (x + 30, y + 30), (x - 30, y + 30))
    page.page.wait_for_timeout(300)
    (new,) = [one for one in page.detections() if near(one, FAR)]
    xs = [x for x, _ in ring_of(new)]
    assert max(xs) - min(xs) == pytest.approx(60, abs=4)  # 40 before
    assert new["properties"]["metadata"]["by"] == "Ada"
    assert len(page.detections()) == len(CENTRES)


def test_a_missing_nucleus_is_added_and_can_be_chosen(open_page):
    page = open_page(r=1.2)
    whole_slide(page)
    page.key("d")
    page.draw((800, 500), (830, 500), (830, 525), (800, 525))
    page.page.wait_for_timeout(300)
    assert len(page.detections()) == len(CENTRES) + 1
    page.click(815, 512)
    page.key("x")
    assert len(page.detections()) == len(CENTRES)


def test_two_halves_become_one_nucleus(open_page):
    page = open_page(r=1.2)
    whole_slide(page)
    page.choose(LEFT_OF_PAIR, RIGHT_OF_PAIR)
    page.press("Merge")
    assert len(page.detections()) == len(CENTRES) - 1
    (one,) = [one for one in page.detections() if one["properties"].get("metadata")]
    xs = [x for x, _ in ring_of(one)]
    assert (min(xs), max(xs)) == pytest.approx((582, 654), abs=0.2)


def test_a_nucleus_is_cut_in_two(open_page):
    page = open_page(r=1.2)
    whole_slide(page)
    page.choose(LONG)
    page.press("Split")
    x, y = CENTRES[LONG]
    page.page.mouse.click(*page.at(x, y - 40))
    page.page.wait_for_timeout(350)
    page.page.mouse.dblclick(*page.at(x, y + 40))
    page.page.wait_for_timeout(500)
    halves = [one for one in page.detections() if one["properties"].get("metadata")]
    assert len(halves) == 2
    for half in halves:
        xs = [x for x, _ in ring_of(half)]
        assert max(xs) - min(xs) == pytest.approx(AXES[LONG][0], abs=2)


def test_a_line_that_does_not_cut_is_refused_in_words(open_page):
    page = open_page()
    page.choose(LONG)
    page.press("Split")
    x, y = CENTRES[LONG]
    page.page.mouse.click(*page.at(x, y))
    page.page.wait_for_timeout(350)
    page.page.mouse.dblclick(*page.at(x + 5, y + 5))
    expect(page.page.locator("#message")).to_contain_text("cross its outline twice")
    assert page.saved() == []


def test_a_class_is_given_and_its_colour_explained(open_page):
    page = open_page(r=1.2)
    whole_slide(page)
    page.choose(TWIN)
    page.page.get_by_label("Class", exact=True).fill("lymphocyte <b>")
    page.press("Set class")
    (given,) = [one for one in page.detections() if near(one, TWIN)]
    assert given["properties"]["classification"]["name"] == "lymphocyte <b>"
    page.page.get_by_label("Colour by").select_option(label="class that a person gave")
    expect(page.page.locator("#layers")).to_contain_text("lymphocyte <b>")


def test_a_region_that_is_wrong_teaches_nothing(open_page):
    page = open_page()
    page.press("Region wrong")
    page.page.mouse.click(*page.at(500, 300))
    page.page.wait_for_timeout(400)
    page.page.mouse.click(*page.at(700, 500))
    page.settle()
    page.page.wait_for_timeout(300)
    (region,) = page.saved()
    assert region["properties"]["classification"]["name"] == "Wrong tile*"
    assert ring_of(region)[0] != ring_of(region)[2]


def test_a_slip_of_the_hand_draws_nothing(open_page):
    page = open_page()
    page.key("d")
    page.draw((500, 300), (510, 300), (510, 300.6))
    expect(page.page.locator("#message")).to_contain_text("too small")
    assert page.saved() == []


def test_the_last_edit_is_taken_back_and_then_the_one_before(open_page):
    page = open_page(r=1.2)
    whole_slide(page)
    for number in (LONE, PALE):
        page.choose(number)
        page.key("x")
    assert len(page.detections()) == len(CENTRES) - 2
    page.key("u")
    assert any(near(one, PALE) for one in page.detections())
    page.key("u")
    assert len(page.detections()) == len(CENTRES)
    page.choose(LONE)
    expect(page.page.locator("#nucleus")).to_contain_text("Area")


def test_nobody_corrects_without_a_name(open_page):
    page = open_page(author="")
    page.choose(LONE)
    page.key("x")
    expect(page.page.locator("#message")).to_contain_text("Enter your name first")
    assert page.page.evaluate("document.activeElement.name") == "author"
    page.page.keyboard.type("Grace")
    page.press("Wrong (x)")
    assert "Grace" in page.counts


def test_what_is_typed_survives_what_another_person_does(open_page):
    ada, bo = open_page("Ada"), open_page("Bo")
    field = bo.page.get_by_label("Class", exact=True)
    field.fill("half a wo")
    ada.choose(LONE)
    ada.key("x")
    expect(bo.page.locator("#review-counts")).to_contain_text("Last by Ada", timeout=8000)
    assert field.input_value() == "half a wo"


def test_the_second_of_two_editors_is_told_and_sees_what_the_first_did(open_page):
    ada, bo = open_page("Ada"), open_page("Bo")
    is_asking = re.compile(r"/review(\.json)?$")
    bo.page.route(
        is_asking,
        lambda route: route.abort() if route.request.method == "GET" else route.continue_(),
    )
    bo.choose(LONE)
    ada.choose(LONE)
    ada.key("x")
    bo.page.get_by_label("Class", exact=True).fill("tumour")
    bo.press("Set class")
    expect(bo.page.locator("#message")).to_contain_text("Ada changed this nucleus")
    bo.page.unroute(is_asking)
    bo.defects.clear()  # the requests that were withheld
    expect(bo.page.locator("#review-counts")).to_contain_text("1 removed", timeout=8000)


def test_the_queue_is_gone_through_and_what_is_judged_is_ticked(open_page):
    page = open_page()
    page.key("n")
    first = page.page.locator("ol.queue .on")
    expect(first).to_have_count(1)
    page.key("r")
    expect(page.page.locator("ol.queue button").first).to_contain_text("✓")
    expect(page.page.locator("ol.queue .on")).not_to_contain_text("✓")
    assert [f["properties"]["classification"]["name"] for f in page.saved()][:1] == ["Reviewed"]
    page.key("w")
    assert "1 regions done, 1 regions wrong" in page.counts


def test_a_day_without_a_mouse(open_page):
    page = open_page(x=int(CENTRES[LONE][0]) + 8, y=int(CENTRES[LONE][1]), r=0.5)
    page.page.locator("#frame").focus()
    page.key("Enter")
    expect(page.page.locator("#nucleus")).to_contain_text("Area")
    page.key("x")
    assert "1 removed" in page.counts
    before = page.page.url
    page.key("ArrowRight")
    page.page.wait_for_timeout(500)
    page.key("+")
    page.page.wait_for_timeout(500)
    assert page.page.url != before
    page.page.get_by_role("button", name="Slides").focus()
    page.key("Enter")
    expect(page.page.get_by_label("Search by name")).to_be_focused()
    page.key("Tab")
    page.key("Enter")
    page.settle()
    assert "slide=" in page.page.url
