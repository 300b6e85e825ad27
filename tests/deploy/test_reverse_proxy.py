"""The lines for nginx in deploy/README.md, run by nginx before a real viewer."""

import contextlib
import re
import shutil
import ssl
import subprocess
import textwrap
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from tests.browser.conftest import serving
from tests.browser.exhibit import write_exhibition
from tests.conftest import REPOSITORY
from tests.e2e.running_platform import free_port

HOST = "nuclei.hospital.example"
LOGGED_IN = {"login": "yes"}


class Login(BaseHTTPRequestHandler):
    """Stands for oauth2-proxy and for Dagster's page."""

    def do_GET(self):
        is_in = "login=yes" in self.headers.get("Cookie", "")
        asks = self.path.startswith("/oauth2/auth")
        self.send_response((202 if is_in else 401) if asks else 200)
        self.end_headers()
        if not asks:
            self.wfile.write(b"sign in" if self.path.startswith("/oauth2") else b"dagster")

    def log_message(self, *_given):
        """Say nothing."""


@pytest.fixture
def behind():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Login)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def certificate(tmp_path):
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    key, made = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    names = ["-subj", f"/CN={HOST}", "-addext", f"subjectAltName=DNS:{HOST},IP:127.0.0.1"]
    subprocess.run(
        [*command, *names, "-keyout", key, "-out", made], check=True, capture_output=True
    )
    return key, made


@contextlib.contextmanager
def nginx(folder, certificate, ports):
    """Address of an nginx with the lines of the page, of which only ports are replaced."""
    program = shutil.which("nginx")
    if program is None:
        pytest.skip("nginx is not installed")
    page = (REPOSITORY / "deploy" / "README.md").read_text("utf-8")
    lines = textwrap.dedent(re.search(r"\n\n(    server \{\n.*?\n    \}\n)", page, re.DOTALL)[1])
    port = free_port()
    key, made = certificate
    lines = lines.replace(
        "listen 443 ssl;",
        f"listen 127.0.0.1:{port} ssl; ssl_certificate {made}; ssl_certificate_key {key};",
    )
    for old, new in ports.items():
        assert f"127.0.0.1:{old}" in lines
        lines = lines.replace(f"127.0.0.1:{old}", f"127.0.0.1:{new}")
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = " ".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)
    configuration = folder / "nginx.conf"
    configuration.write_text(
        f"daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;\n"
        f"events {{}}\nhttp {{ access_log off; {temporary}\n{lines}}}\n"
    )
    options = ["-p", folder, "-e", folder / "error.log", "-c", configuration]
    server = subprocess.Popen([program, *options], stderr=subprocess.PIPE, text=True)
    try:
        for _ in range(200):
            assert server.poll() is None, server.stderr.read()
            with contextlib.suppress(OSError):
                httpx.get(f"http://127.0.0.1:{port}").close()
                break
            time.sleep(0.05)
        yield f"https://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(20)
        server.stderr.close()


@pytest.fixture
def browser(tmp_path, behind, certificate):
    """What a browser gets that asks for the hospital's name."""
    exhibition = write_exhibition(tmp_path)
    rules = {"hosts": (HOST,), "anyone_may_read": True}
    with serving(exhibition, **rules) as viewer:
        port = re.search(r":(\d+)/", viewer)[1]
        ports = {"4180": behind, "3000": behind, "3001": port}
        trusted = ssl.create_default_context(cafile=str(certificate[1]))
        with (
            nginx(tmp_path, certificate, ports) as address,
            httpx.Client(verify=trusted, base_url=address, headers={"Host": HOST}) as client,
        ):
            yield client


def test_nobody_sees_slides_without_having_logged_in(browser):
    for address in ("/", "/viewer/api/slides.json"):
        assert browser.get(address).text == "sign in"


def test_who_logged_in_sees_dagster_and_below_viewer_the_slides(browser):
    browser.cookies.update(LOGGED_IN)

    assert browser.get("/").text == "dagster"
    slides = browser.get("/viewer/api/slides.json").json()["slides"]
    assert [slide["name"] for slide in slides] == ["skin.tiff", "skin.tiff"]
    tile = browser.get(f"/viewer/api/slides/{slides[0]['key']}/image/0/0/0.jpg")
    assert tile.headers["content-type"] == "image/jpeg"
    assert "default-src 'none'" in tile.headers["content-security-policy"]


def test_the_token_becomes_a_cookie_for_https_only_and_lets_corrections_in(browser):
    browser.cookies.update(LOGGED_IN)
    key = browser.get("/viewer/api/slides.json").json()["slides"][0]["key"]
    assert not browser.get(f"/viewer/api/slides/{key}.json").json()["may_write"]

    answer = browser.get("/viewer/?token=secret&x=1")

    assert answer.status_code == 303
    assert answer.headers["location"] == "./?x=1"
    assert "; Secure" in answer.headers["set-cookie"]
    assert browser.get(f"/viewer/api/slides/{key}.json").json()["may_write"]
