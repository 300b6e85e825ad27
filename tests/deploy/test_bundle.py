"""What a machine without internet is given: complete, small, and able to work."""

import os
import re
import subprocess
import sys
import tomllib

import pytest

from hoverfast_platform.synthetic import write_synthetic_slide
from tests.conftest import REPOSITORY

BUNDLE = REPOSITORY / "deploy/bundle"
ONLY_FOR_SOME_WORK = ("openvino", "tables", "imagecodecs")
MIB = 1 << 20


def names_in_light():
    lines = (BUNDLE / "light.txt").read_text().splitlines()
    lists = [line for line in lines if not line.startswith("#") or line.startswith("#   ")]
    return {name.lower() for line in lists for name in re.findall(r"[\w.-]+", line)}


def test_the_light_bundle_brings_or_names_whatever_the_engine_depends_on():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]

    needed = {re.match(r"[\w.-]+", item)[0].lower() for item in project["dependencies"]}

    assert needed - names_in_light() == set()
    assert set(ONLY_FOR_SOME_WORK) <= names_in_light()


def run_without(modules, *arguments, cwd):
    """The command line where these modules are not installed."""
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({modules!r})); "
        "from hoverfast_platform.cli.main import main; main()"
    )
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def slide(tmp_path):
    path = tmp_path / "slide.tiff"
    write_synthetic_slide(path, width_px=400, height_px=300)
    return path


def test_a_slide_is_segmented_without_what_only_some_work_needs(slide, tmp_path):
    absent = ("tables", "imagecodecs", "dagster", "tensorboard")

    done = run_without(absent, "infer_wsi", slide, "-o", tmp_path / "out", cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out/slide.parquet").exists()


def test_work_that_needs_an_absent_package_names_it_in_two_lines(slide, tmp_path):
    done = run_without(
        ("tables",), "teacher-labels", "set", slide, "-t", "classical", "-o", ".", cwd=tmp_path
    )

    assert done.returncode == 1
    first, second = done.stderr.splitlines()[-2:]
    assert first == "Error: this needs the package 'tables', which is not installed here."
    assert "deploy/bundle/light.txt" in second
    assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_light_bundle_is_made_installed_without_an_index_and_refused_when_damaged(tmp_path):
    bundle = tmp_path / "bundle"
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    made = subprocess.run(
        [BUNDLE / "make_bundle.sh", bundle, "x86_64", python, "light"],
        env={**os.environ, "BUILD_PYTHON": sys.executable},
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr[-2000:]
    assert sum(path.stat().st_size for path in bundle.rglob("*")) < 60 * MIB

    def install():
        return subprocess.run(
            [bundle / "install.sh", tmp_path / "site"],
            env={**os.environ, "PYTHON": sys.executable, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": ""},
            capture_output=True,
            text=True,
            check=False,
        )

    done = install()
    assert done.returncode == 0, done.stderr[-2000:]
    used = subprocess.run(
        [sys.executable, "-c", "import hoverfast_platform as h; print(h.__file__)"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert used.stdout.startswith(str(tmp_path / "site"))

    wheel = next(bundle.glob("wheels/orjson*"))
    wheel.write_bytes(wheel.read_bytes()[:-1])
    refused = install()
    assert refused.returncode == 1
    assert "The bundle is damaged" in refused.stderr
