"""Slides on a server, by ranges, from a server of this machine."""

import http.server
import threading
from pathlib import Path

import numpy as np
import pytest
import tifffile
from click.testing import CliRunner

from hoverfast_platform.cli.slide import command
from hoverfast_platform.errors import AbsentSlideError, SettingsError, UnreadableSlideError
from hoverfast_platform.geometry import Box
from hoverfast_platform.slide import open_slide
from hoverfast_platform.slide.remote import fetch_slide, is_remote, open_remote

pytest.importorskip("aiohttp")
RGB = np.random.default_rng(0).integers(0, 256, (1100, 1300, 3), dtype=np.uint8)


class Server(http.server.ThreadingHTTPServer):
    """Serves ``content`` under one name, and hangs up after ``breaks`` bytes of an answer."""

    content = b""
    breaks: int | None = None
    takes_ranges = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.n_bytes = 0

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/my%20slide.tif"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_HEAD(self):
        self.answer(is_head=True)

    def do_GET(self):
        self.answer(is_head=False)

    def answer(self, *, is_head):
        server = self.server
        if not self.path.startswith("/my%20slide.tif"):
            self.send_error(404)
            return
        content, first, last = server.content, 0, len(server.content) - 1
        asked = self.headers.get("Range")
        if asked and server.takes_ranges:
            start, _, end = asked.removeprefix("bytes=").partition("-")
            first, last = int(start), min(last, int(end)) if end else last
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
        else:
            self.send_response(200)
        if server.takes_ranges:
            self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(last + 1 - first))
        self.end_headers()
        if is_head:
            return
        body = content[first : last + 1]
        if server.breaks is not None and len(body) > server.breaks:
            body = body[: server.breaks]
            self.close_connection = True
        server.n_bytes += len(body)
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server(tmp_path):
    tifffile.imwrite(
        tmp_path / "s.tif", RGB, photometric="rgb", tile=(256, 256), metadata=None,
        resolution=(40_000, 20_000), resolutionunit="CENTIMETER",
    )  # fmt: skip
    server = Server()
    server.content = (tmp_path / "s.tif").read_bytes()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_what_a_slide_says_of_itself_costs_a_few_kilobytes(server):
    done = CliRunner().invoke(command, ["info", server.url])

    assert done.exit_code == 0, done.exception
    assert "1300 x 1100 px" in done.output
    assert "0.2500 x 0.5000 um/px" in done.output
    assert server.n_bytes < len(server.content) / 8


@pytest.mark.parametrize("said", ["0.4990", "0,499"])
def test_an_aperio_slide_says_its_scale_where_openslide_cannot_read_it(server, tmp_path, said):
    path = tmp_path / "a.tif"
    words = f"Aperio Image Library v11.2.1|AppMag = 20|MPP = {said}|Left = 25.6"
    tifffile.imwrite(
        path, RGB, photometric="rgb", tile=(256, 256), metadata=None, description=words
    )
    server.content = path.read_bytes()

    with open_remote(server.url) as reader:
        assert reader.info.mpp.mean == pytest.approx(0.499)


def test_an_aperio_slide_has_the_same_scale_there_as_here(server, shared_data):
    path = shared_data / "slides" / "CMU-1-Small-Region.svs"
    server.content = path.read_bytes()

    with open_remote(server.url) as there, open_slide(path) as here:
        assert there.info.mpp == here.info.mpp
        assert (there.info.width, there.info.height) == (here.info.width, here.info.height)


def test_pixels_are_read_by_ranges(server):
    with open_remote(server.url) as reader:
        found = reader.read_level(0, Box.of(x=300, y=200, width=90, height=70))

    assert np.array_equal(found, RGB[200:270, 300:390])
    assert server.n_bytes < len(server.content) / 2


def test_a_fetched_slide_has_the_same_bytes_and_its_own_name(server, tmp_path):
    path = fetch_slide(server.url, tmp_path / "slides")

    assert path == tmp_path / "slides" / "my slide.tif"
    assert path.read_bytes() == server.content
    with open_slide(path) as reader:
        assert reader.info.width == 1300
    with pytest.raises(SettingsError, match="already"):
        fetch_slide(server.url, tmp_path / "slides")


def test_a_server_without_ranges_is_fetched_from(server, tmp_path):
    server.takes_ranges = False

    assert fetch_slide(server.url, tmp_path / "in").read_bytes() == server.content


def test_a_connection_that_always_breaks_ends_in_our_error_and_leaves_nothing(
    server, tmp_path, monkeypatch
):
    monkeypatch.setattr("time.sleep", lambda _: None)
    server.breaks = 1000

    with pytest.raises(UnreadableSlideError):
        fetch_slide(server.url, tmp_path / "in")
    assert list((tmp_path / "in").iterdir()) == []


def test_an_absent_slide_and_secrets_in_addresses(server, tmp_path):
    url = server.url.replace("my%20slide", "other") + "?X-Amz-Signature=secret"

    with pytest.raises(AbsentSlideError) as caught:
        fetch_slide(url, tmp_path)
    assert "secret" not in str(caught.value)


def test_slides_of_several_files_are_refused():
    assert is_remote("s3://bucket/a.mrxs")
    assert not is_remote("slides/a.mrxs")
    with pytest.raises(SettingsError, match="several files"):
        fetch_slide("https://example.org/a.mrxs", Path())
