"""The UI in headless Chromium: what a page says, and a picture of it that is kept."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.running_platform import RunningPlatform


class Browser:
    """One page of one platform; every visit leaves ``<name>.png`` in the folder."""

    def __init__(self, page, platform: RunningPlatform, folder: Path) -> None:
        self._page = page
        self._platform = platform
        self._folder = folder

    def visit(self, name: str, path: str, *, shows: tuple[str, ...], click: str = "") -> None:
        """Open a page, wait until it shows all these texts, and keep a picture.

        Args:
            name: Of the picture.
            path: Of the page, from the root.
            shows: Texts that must become visible.
            click: Text of something to click first, such as a link that unfolds a picture.
        """
        self._page.goto(f"{self._platform.url}{path}")
        try:
            if click:
                self._page.get_by_text(click).first.click(timeout=60_000)
            for text in shows:
                self._page.get_by_text(text).first.wait_for(timeout=60_000)
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
