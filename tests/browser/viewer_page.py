"""The viewer as a person uses it: places are level-0 pixels of the slide, not of the screen."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

from tests.browser.exhibit import CENTRES, Exhibition


class ViewerPage:
    """One page of a viewer.

    Attributes:
        page: Playwright's.
        defects: What the page's console and scripts complained of, but refused edits.
    """

    def __init__(self, page, exhibition: Exhibition) -> None:
        self.page = page
        self._exhibition = exhibition
        self.defects: list[str] = []
        page.on("pageerror", lambda error: self.defects.append(str(error)))
        page.on("console", self._note)

    def _note(self, message) -> None:
        is_refusal = "409" in message.text
        if message.type == "error" and not is_refusal:
            self.defects.append(message.text)

    def enter(self, address: str, author: str, **asked: object) -> None:
        """Open the page with the token, as the named person, at a place."""
        self.page.add_init_script(f"localStorage.setItem('hoverfast-author', {json.dumps(author)})")
        self.page.goto(f"{address}&{urlencode({'x': 600, 'y': 400, 'r': 1, **asked})}")
        self.settle()

    def go(self, **asked: object) -> None:
        """Open a place by its link and wait until everything is drawn."""
        root = self.page.url.split("?")[0]
        self.page.goto(f"{root}?{urlencode(asked)}")
        self.settle()

    def settle(self) -> None:
        """Wait until nothing is asked for and what came is drawn."""
        self.page.wait_for_load_state("networkidle")
        self.page.wait_for_timeout(150)

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Where a place of the slide is on the screen."""
        asked = parse_qs(urlsplit(self.page.url).query)
        centre_x, centre_y, resolution = (float(asked[name][0]) for name in ("x", "y", "r"))
        box = self.page.locator("#map").bounding_box()
        return (
            box["x"] + box["width"] / 2 + (x - centre_x) / resolution,
            box["y"] + box["height"] / 2 + (y - centre_y) / resolution,
        )

    def click(self, x: float, y: float, *, more: bool = False) -> None:
        """Click a place; the page waits a quarter of a second for a second click."""
        if more:
            self.page.keyboard.down("Shift")
        self.page.mouse.click(*self.at(x, y))
        if more:
            self.page.keyboard.up("Shift")
        self.page.wait_for_timeout(400)
        self.settle()

    def choose(self, *numbers: int) -> None:
        """Click nuclei by their number in the exhibition; several are chosen together."""
        for i, number in enumerate(numbers):
            self.click(*CENTRES[number], more=i > 0)

    def draw(self, *places: tuple[float, float]) -> None:
        """Draw with the button held down, and back to the first place."""
        mouse = self.page.mouse
        mouse.move(*self.at(*places[0]))
        mouse.down()
        for place in [*places[1:], places[0]]:
            mouse.move(*self.at(*place), steps=4)
        mouse.up()
        self.settle()

    def press(self, button: str) -> None:
        self.page.get_by_role("button", name=button, exact=True).click()
        self.settle()

    def key(self, key: str) -> None:
        self.page.keyboard.press(key)
        self.settle()

    @property
    def counts(self) -> str:
        """What was corrected so far, as the page has it."""
        return self.page.locator("#review-counts").text_content()

    def saved(self) -> list[dict]:
        """Features of the file of corrections; none where there is no file."""
        found = list((self._exhibition.results / "corrections").glob("*.geojson"))
        return [f for path in found for f in json.loads(path.read_text())["features"]]

    def detections(self) -> list[dict]:
        return [f for f in self.saved() if f["properties"]["objectType"] == "detection"]

    def picture(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=path)
