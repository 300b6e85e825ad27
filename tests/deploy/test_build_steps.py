"""The Dockerfile's build stages, executed command by command in an empty folder."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.deploy.test_deployment_files import instructions

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
    """What the builder would do, with /build and /opt/venv below ``folder``."""
    build = folder / "build"
    build.mkdir(parents=True)
    environment = {
        "PATH": f"{Path(sys.base_prefix) / 'bin'}:/usr/bin:/bin",
        "HOME": str(folder),
        # How this machine reaches a package registry is no part of the image.
        **{name: value for name, value in os.environ.items() if name.startswith("PIP_")},
    }
    for _, keyword, rest in chain(target):
        if keyword == "ENV":
            environment.update(re.findall(r"(\w+)=(\S+)", rest))
            environment["VENV"] = str(folder / "venv")
        elif keyword == "COPY":
            *sources, into = rest.split()
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
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(source, target, dirs_exist_ok=True, ignore=ignore)
    else:
        shutil.copy(source, target / source.name if as_folder else target)


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


@pytest.mark.timeout(3600)
def test_code_image_segments_a_slide_and_loads_the_code_location(tmp_path):
    programs = execute("build-cpu", tmp_path / "image")
    app = tmp_path / "app"
    for folder in ("assets", "resources", "deploy/server"):
        copy(REPOSITORY / folder, app / folder, as_folder=True)

    def run(*command):
        done = subprocess.run(
            [str(part) for part in command],
            cwd=app,
            env={"PATH": f"{programs}:/usr/bin:/bin", "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        return done.stdout

    run(
        "python",
        "-c",
        "import assets.definitions, hoverfast_platform as h; assert '/venv/' in h.__file__",
    )
    make = "from hoverfast_platform.synthetic import write_synthetic_slide as w; import pathlib; "
    run("python", "-c", make + "w(pathlib.Path('s.tiff'), width_px=400, height_px=300)")
    run("hoverfast", "infer_wsi", "s.tiff", "-o", "results")
    assert (app / "results" / "s.json.gz").exists()
    assert "postgresql" in run("hoverfast", "catalogue", "info", "--help")
