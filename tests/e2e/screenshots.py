"""The UI in headless Chromium: what a page says, and a picture of it that is kept."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.running_platform import RunningPlatform

_PATIENCE_MS = 300_000
"""For a page that takes two seconds on an idle machine."""


class Browser:
    """One page of one platform; every visit leaves ``<name>.png`` in the folder."""

    def __init__(self, page, platform: RunningPlatform, folder: Path) -> None:
        self._page = page
        self._platform = platform
        self._folder = folder

    def visit(
        self, name: str, path: str, *, shows: tuple[str, ...], click: tuple[str, ...] = ()
    ) -> None:
        """Open a page, wait until it shows all these texts, and keep a picture.

        Args:
            name: Of the picture.
            path: Of the page, from the root.
            shows: Texts that must become visible.
            click: Buttons to click first, one after the other, such as one that opens a picture.
        """
        self._page.goto(f"{self._platform.url}{path}", timeout=_PATIENCE_MS)
        try:
            for text in click:
                # Pictures open by an <a> that leads nowhere; tabs are links, and of equal names.
                buttons = self._page.locator("button, a:not([href])", has_text=text)
                buttons.first.click(timeout=_PATIENCE_MS)
            for text in shows:
                self._page.get_by_text(text).first.wait_for(timeout=_PATIENCE_MS)
            self._page.wait_for_timeout(1500)  # animations
        finally:
            self._page.screenshot(path=self._folder / f"{name}.png")


@contextlib.contextmanager
def open_browser(platform: RunningPlatform, folder: Path) -> Iterator[Browser]:
    """Debian's Chromium, or the one that Playwright got for itself."""
    playwright = pytest.importorskip("playwright.sync_api", reason="pip install '.[e2e]'")
    folder.mkdir(parents=True, exist_ok=True)
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        page = browser.new_page(viewport={"width": 1500, "height": 1300})
        yield Browser(page, platform, folder)
        browser.close()
