"""What images are built by, executed command by command in an empty folder.

A build argument is taken from the environment, as `docker build --build-arg NAME` does.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from hoverfast_platform.synthetic import write_synthetic_slide
from tests.conftest import REPOSITORY
from tests.deploy.dockerfile import instructions
from tests.postgres_server import free_port

pytestmark = pytest.mark.slow


def chain(target):
    """Stages from the base to a target, without what comes from other stages."""
    base = {
        stage: rest.split(" AS ")[0] for stage, keyword, rest in instructions() if keyword == "FROM"
    }
    stages = [target]
    while base[stages[0]] in base:
        stages.insert(0, base[stages[0]])
    return [step for stage in stages for step in instructions() if step[0] == stage]


def execute(target, folder):
    """What the builder would do, with /build and all of /opt below ``folder``."""
    build = folder / "build"
    build.mkdir(parents=True)
    environment = {
        "PATH": f"{Path(sys.base_prefix) / 'bin'}:/usr/bin:/bin",
        "HOME": str(folder),
        # How this machine reaches a package registry is not part of the image.
        **{n: value for n, value in os.environ.items() if n.startswith(("PIP_", "NODE_"))},
        "NPM_CONFIG_USERCONFIG": str(Path.home() / ".npmrc"),
    }
    for _, keyword, rest in chain(target):
        if keyword == "ARG":
            name, default = rest.split("=", 1)
            environment[name] = os.environ.get(name, default)
        elif keyword == "ENV":
            environment.update(re.findall(r"(\w+)=(\S+)", rest))
            environment["VENV"] = str(folder / "venv")
            environment["NUMBA_CACHE_DIR"] = str(folder / "numba-cache")
        elif keyword == "COPY":
            *sources, into = rest.split()
            if sources[0].startswith("--from="):
                stage, made = sources[0].removeprefix("--from="), sources[1]
                execute(stage, folder / stage)
                copy(folder / stage / made.lstrip("/"), build / into, as_folder=True)
                continue
            for source in sources:
                copy(REPOSITORY / source, build / into, as_folder=into.endswith("/"))
        elif keyword == "RUN":
            done = subprocess.run(
                ["/bin/bash", "-euo", "pipefail", "-c", rest],
                cwd=build,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, f"{rest}\n{done.stdout[-2000:]}{done.stderr[-3000:]}"
    return folder / "venv" / "bin"


def copy(source, target, *, as_folder):
    if source.is_dir():
        ignore = shutil.ignore_patterns("__pycache__", "node_modules")
        shutil.copytree(source, target, dirs_exist_ok=True, ignore=ignore)
    else:
        shutil.copy(source, target / source.name if as_folder else target)


def test_the_viewers_page_is_built_from_its_source_alone(tmp_path):
    execute("build-page", tmp_path)

    page = (tmp_path / "build/static/index.html").read_text()
    script = re.search(r'src="\./(static/[\w.-]+\.js)"', page)
    assert script
    assert (tmp_path / "build/static" / script[1]).stat().st_size > 100_000


@pytest.mark.timeout(3600)
def test_host_image_has_the_web_pages_and_the_daemon_and_no_torch(tmp_path):
    programs = execute("build-host", tmp_path)

    for program in ("dagster-webserver", "dagster-daemon"):
        done = subprocess.run([programs / program, "--version"], capture_output=True, check=False)
        assert done.returncode == 0
    absent = subprocess.run(
        [programs / "python", "-c", "import torch"], capture_output=True, check=False
    )
    assert absent.returncode != 0


def command(stage, keyword):
    """The list of words of a stage's CMD or HEALTHCHECK."""
    (rest,) = [rest for s, k, rest in instructions() if (s, k) == (stage, keyword)]
    return json.loads(rest[rest.index("[") :])


@pytest.fixture(scope="module")
def code_image(tmp_path_factory):
    """``run(command)`` with what is in the image of the code location, and nothing else."""
    folder = tmp_path_factory.mktemp("code")
    programs = execute("build-cpu", folder / "image")
    app = folder / "app"
    copy(REPOSITORY / "deploy/server", app / "deploy/server", as_folder=True)
    home = folder / "home"
    home.mkdir()
    environment = {
        "PATH": f"{programs}:/usr/bin:/bin",
        "HOME": str(home),
        "DAGSTER_HOME": str(home),
        "NUMBA_CACHE_DIR": str(folder / "image" / "numba-cache"),
        "HOVERFAST_ARTEFACTS": str(folder / "artefacts"),
        "HOVERFAST_SLIDES": str(home),
    }

    def run(*words, start=False):
        words = [str(word) for word in words]
        if start:
            return subprocess.Popen(words, cwd=app, env=environment)
        return subprocess.run(
            words, cwd=app, env=environment, capture_output=True, text=True, check=False
        )

    return run


def done(run, *words):
    result = run(*words)
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-2000:]
    return result.stdout


@pytest.mark.timeout(3600)
def test_code_image_holds_our_code_and_segments_a_slide(code_image):
    where = done(code_image, "python", "-c", "import hoverfast_platform as h; print(h.__file__)")
    make = "from hoverfast_platform.synthetic import write_synthetic_slide as w; import pathlib; "
    done(
        code_image, "python", "-c", make + "w(pathlib.Path('s.tiff'), width_px=400, height_px=300)"
    )
    done(code_image, "hoverfast", "infer_wsi", "s.tiff", "-o", "results")
    found = done(
        code_image,
        *("python", "-c", "import gzip; print(gzip.open('results/s.json.gz').read().decode())"),
    )

    assert "/venv/" in where
    assert len(json.loads(found)["features"]) > 10
    assert "postgresql" in done(code_image, "hoverfast", "catalogue", "info", "--help")


@pytest.mark.timeout(3600)
def test_code_image_serves_the_code_location_and_is_healthy(code_image):
    port = str(free_port())
    start = [port if word == "4000" else word for word in command("code", "CMD")]
    healthy = [port if word == "4000" else word for word in command("code", "HEALTHCHECK")]
    assert code_image(*healthy).returncode != 0

    server = code_image(*start, start=True)
    try:
        deadline = time.monotonic() + 120
        while code_image(*healthy).returncode != 0:
            assert server.poll() is None, "the code server ended"
            assert time.monotonic() < deadline
            time.sleep(2)
    finally:
        server.terminate()
        server.wait(timeout=60)


@pytest.mark.timeout(3600)
def test_apptainer_image_segments_a_slide(tmp_path):
    """All of /opt lies below the folder; `%test` and `%runscript` are the image's own."""
    text = (
        (REPOSITORY / "deploy/hpc/hoverfast.def").read_text().replace("/opt/", f"{tmp_path}/opt/")
    )
    parts = re.split(r"^%(\w+)\n", text, flags=re.M)
    section = dict(zip(parts[1::2], map(textwrap.dedent, parts[2::2]), strict=True))
    environment = {
        "PATH": f"{Path(sys.base_prefix) / 'bin'}:/usr/bin:/bin",
        "HOME": str(tmp_path),
        **{n: value for n, value in os.environ.items() if n.startswith(("PIP_", "NODE_"))},
        "NPM_CONFIG_USERCONFIG": str(Path.home() / ".npmrc"),
    }

    def run(name, *words):
        script = section["environment"] * (name != "post") + section[name]
        result = subprocess.run(
            ["/bin/sh", "-c", script, name, *words],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-2000:]

    (tmp_path / "opt/src").mkdir(parents=True)
    for line in section["files"].split("\n"):
        if line.strip():
            source, target = line.split()
            copy(REPOSITORY / source, Path(target), as_folder=False)
    run("post")
    run("test")
    write_synthetic_slide(tmp_path / "s.tiff", width_px=400, height_px=300)
    run("runscript", "infer_wsi", "s.tiff", "-o", "results")

    assert (tmp_path / "results/s.json.gz").stat().st_size > 0
