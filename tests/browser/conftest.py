"""The viewer's page in a real Chromium; skipped where that, or the built page, is absent."""

from __future__ import annotations

import contextlib
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import uvicorn

from hoverfast_platform.viewer.access import Access
from hoverfast_platform.viewer.app import STATIC, viewer_app
from hoverfast_platform.viewer.library import open_library
from hoverfast_platform.viewer.serve import bind
from tests.browser.exhibit import Exhibition, write_exhibition
from tests.browser.viewer_page import ViewerPage

FRONT_END = STATIC.parent / "front_end"


@pytest.fixture(scope="module")
def chromium():
    """One browser for the tests of a file: beside Playwright no other event loop can run."""
    playwright = pytest.importorskip("playwright.sync_api", reason="pip install '.[e2e]'")
    built = STATIC / "index.html"
    if not built.is_file():
        pytest.skip("the viewer's page is not built: make viewer")
    sources = [FRONT_END / "index.html", *(FRONT_END / "src").iterdir()]
    if any(source.stat().st_mtime > built.stat().st_mtime for source in sources):
        pytest.skip("the viewer's page is older than its source: make viewer")
    with playwright.sync_playwright() as driver:
        program = shutil.which("chromium")
        if program is None and not Path(driver.chromium.executable_path).exists():
            pytest.skip("no Chromium: apt install chromium, or playwright install chromium")
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def exhibition(tmp_path: Path) -> Exhibition:
    return write_exhibition(tmp_path)


@contextlib.contextmanager
def serving(exhibition: Exhibition, **rules) -> Iterator[str]:
    """Address of a viewer of the exhibition, with its token."""
    access = Access("secret", **{"may_write": True, **rules})
    folders = [exhibition.slide.parent]
    app = viewer_app(
        lambda: open_library(exhibition.results, slide_folders=folders),
        access,
        exhibition.results / "corrections",
    )
    with bind(0) as socket:
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [socket]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{socket.getsockname()[1]}/?token=secret"
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture
def address(exhibition: Exhibition) -> Iterator[str]:
    with serving(exhibition) as found:
        yield found


@pytest.fixture
def open_page(
    chromium, exhibition: Exhibition, address: str, request: pytest.FixtureRequest
) -> Iterator[Callable[..., ViewerPage]]:
    """Opens pages, each with cookies of its own; nothing on them may go wrong unnoticed."""
    with contextlib.ExitStack() as stack:
        pages: list[ViewerPage] = []

        def open_one(author: str = "Ada", **asked: object) -> ViewerPage:
            context = chromium.new_context(viewport={"width": 1300, "height": 900})
            stack.callback(context.close)
            page = ViewerPage(context.new_page(), exhibition)
            pages.append(page)
            page.enter(address, author, **asked)
            return page

        yield open_one
        kept = request.config.getoption("--screenshots")
        for i, page in enumerate(pages):
            if kept:
                page.picture(Path(kept) / f"viewer-{request.node.name}-{i}.png")
            assert page.defects == []
