"""From an asset's page in Dagster to the slide in the viewer, by clicking as a person does."""

import os
import shutil
import subprocess
import sys
from urllib.parse import parse_qs, urlsplit

import pytest

from hoverfast_platform.viewer.app import STATIC
from tests.e2e.arriving_slides import write_crop
from tests.e2e.questions import events
from tests.e2e.running_platform import RunningPlatform, free_port
from tests.e2e.test_story import PATIENCE_S

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(2 * PATIENCE_S)]

_PATIENCE_MS = 300_000
_VIEW = "from hoverfast_platform.cli.main import main; main()"


@pytest.fixture
def viewer_port():
    if not (STATIC / "index.html").is_file():
        pytest.skip("the viewer's page is not built: make viewer")
    return free_port()


@pytest.fixture
def platform(tmp_path, shared_data, viewer_port):
    """One slide of real tissue, segmented by itself, and the viewer beside it."""
    made = RunningPlatform(
        tmp_path / "platform",
        HOVERFAST_SETTLE_S="1",
        HOVERFAST_VIEWER_URL=f"http://127.0.0.1:{viewer_port}",
    )
    source = shared_data / "slides" / "CMU-1-Small-Region.svs"
    options = ["--beside-dagster", "--no-browser", "--port", str(viewer_port)]
    with made.running():
        write_crop(source, 0, made.slides / "skin.tiff", side_px=192)
        viewer = subprocess.Popen(
            [sys.executable, "-c", _VIEW, "view", str(made.artefacts), *options],
            env=os.environ | {"HOVERFAST_CATALOGUE": ""},
        )
        try:
            made.wait_for(lambda: events(made, "nuclei"), "nuclei", within_s=PATIENCE_S)
            yield made
        finally:
            viewer.terminate()
            viewer.wait(30)


def test_the_links_in_dagster_lead_to_the_slide_in_the_viewer(platform, viewer_port, request):
    playwright = pytest.importorskip("playwright.sync_api", reason="pip install '.[e2e]'")
    key = events(platform, "nuclei")[0].partition
    with playwright.sync_playwright() as driver:
        program = shutil.which("chromium")
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        dagster = browser.new_page(viewport={"width": 1500, "height": 1300})
        for asset, shown in (("nuclei", ""), ("tissue_mask", "1")):
            address = f"{platform.url}/assets/{asset}?view=partitions&partition={key}"
            dagster.goto(address, timeout=_PATIENCE_MS)
            link = dagster.locator(f'a[href^="http://127.0.0.1:{viewer_port}/"]').first
            link.wait_for(timeout=_PATIENCE_MS)
            with dagster.context.expect_page(timeout=_PATIENCE_MS) as opened:
                link.click()
            viewer = opened.value
            viewer.get_by_role("button", name="skin.tiff").wait_for(timeout=_PATIENCE_MS)
            mask = viewer.get_by_label("Tissue mask, and what was left out")
            assert mask.is_checked() == bool(shown)
            asked = parse_qs(urlsplit(link.get_attribute("href")).query)
            assert asked["slide"] == [key]
            if kept := request.config.getoption("--screenshots"):
                dagster.screenshot(path=f"{kept}/dagster-{asset}.png")
                viewer.wait_for_load_state("networkidle")
                viewer.screenshot(path=f"{kept}/from-dagster-{asset}.png")
            viewer.close()
        browser.close()
