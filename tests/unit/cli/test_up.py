"""``hoverfast up`` with a program in place of Dagster's, which takes half a minute to start."""

import os
import signal
import subprocess
import sys
import time

import pytest

DG = """#!{python}
import os, pathlib, signal, sys, time
home = pathlib.Path(os.environ["DAGSTER_HOME"])
(home / "called").write_text(" ".join(sys.argv[1:]))
if (home / "broken").exists():
    sys.exit(7)
try:
    time.sleep(60)
except KeyboardInterrupt:
    (home / "ended").touch()
"""

START = """
import shutil, sys
dg = sys.argv.pop(1)
shutil.which = lambda name, path=None: dg
from hoverfast_platform.cli.main import main
main()
"""


@pytest.fixture
def start(tmp_path):
    """Starts `hoverfast up` on a folder."""
    dg = tmp_path / "dg"
    dg.write_text(DG.format(python=sys.executable))
    dg.chmod(0o755)
    words = [sys.executable, "-c", START, str(dg), "up", str(tmp_path / "lab"), "--no-viewer"]
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("HOVER", "DAGSTER"))}
    return lambda **options: subprocess.Popen(
        words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )


def _ignore_ctrl_c():
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@pytest.mark.parametrize("before", [None, _ignore_ctrl_c], ids=["terminal", "script"])
def test_sigterm_ends_dagster_as_ctrl_c_does(start, tmp_path, before):
    home = tmp_path / "lab/dagster"
    process = start(preexec_fn=before)
    while not (home / "called").is_file():
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    time.sleep(0.5)  # until it sleeps
    process.send_signal(signal.SIGTERM)
    told, _ = process.communicate(timeout=60)

    assert (home / "ended").is_file()
    assert process.returncode != 0
    assert f"copy slides into {tmp_path}/lab/slides" in told
    assert "http://127.0.0.1:3000/assets/nuclei" in told
    called = (home / "called").read_text()
    assert called.startswith(f"dev -w {tmp_path}/lab/workspace.yaml")


def test_dagster_that_ends_by_itself_is_a_failure_with_a_remedy(start, tmp_path):
    (tmp_path / "lab/dagster").mkdir(parents=True)
    (tmp_path / "lab/dagster/broken").touch()
    process = start()
    _, told = process.communicate(timeout=60)

    assert process.returncode != 0
    assert "exit code 7" in told
    assert "--port 3010" in told
