import hashlib
import http.server
import threading

import pytest

from hoverfast_platform import sample_slide as module
from hoverfast_platform.sample_slide import sample_slide
from hoverfast_platform.slide import open_slide


@pytest.fixture
def served(monkeypatch):
    """A server of this machine in the place of OpenSlide's; it answers with `served.content`."""

    class Handler(http.server.BaseHTTPRequestHandler):
        content = b"a slide"

        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(self.content)

        def log_message(self, *_):
            """Nothing: the tests' output is theirs."""

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setattr(module, "URL", f"http://127.0.0.1:{server.server_port}/slide")
    monkeypatch.setattr(module, "SHA256", hashlib.sha256(b"a slide").hexdigest())
    yield Handler
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_real_slide_is_fetched_once(served, tmp_path):
    assert sample_slide(tmp_path).path.read_bytes() == b"a slide"

    served.content = b"something else"
    assert sample_slide(tmp_path).path.name == module.NAME  # not asked for again


def test_another_content_is_not_kept_and_is_said(served, tmp_path):
    served.content = b"a page that asks for a password"

    made = sample_slide(tmp_path / "new")

    assert made.path.name == "synthetic.tiff"
    assert "another content than expected (31 bytes)" in made.text
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["synthetic.tiff"]


def test_without_internet_a_synthetic_slide_is_made_and_it_is_said(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "URL", "http://127.0.0.1:1/slide")

    made = sample_slide(tmp_path)

    assert made.text.startswith("a synthetic slide, no tissue: CMU-1-Small-Region.svs cannot be")
    with open_slide(made.path) as slide:
        assert (slide.info.width, slide.info.height) == (3000, 2400)
