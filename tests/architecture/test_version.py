import shutil
import subprocess
import sys

from tests.conftest import REPOSITORY


def repeated(checkout, *version):
    return subprocess.run(
        [sys.executable, str(checkout / ".ci/version"), *version],
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_file_that_repeats_the_version_has_the_one_of_the_code():
    done = repeated(REPOSITORY)

    assert done.returncode == 0, done.stderr


def test_one_command_changes_the_version_everywhere(tmp_path):
    copy = tmp_path / "checkout"
    kept = ("hoverfast_platform/version.py", "CITATION.cff", ".ci/version", "docs/start.md",
            "tests/deploy/test_kubernetes.py", ".github/workflows/ci.yaml")  # fmt: skip
    for name in kept:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / name, copy / name)
    shutil.copytree(
        REPOSITORY / "deploy", copy / "deploy", ignore=shutil.ignore_patterns("*.safe*")
    )

    assert repeated(copy, "9.8.7").returncode == 0
    assert repeated(copy).returncode == 0
    assert '__version__ = "9.8.7"' in (copy / "hoverfast_platform/version.py").read_text()
    assert "tag: 9.8.7," in (copy / "deploy/kubernetes/values.yaml").read_text()
    (copy / "CITATION.cff").write_text("version: 1.0.0\n")
    assert repeated(copy).stderr.strip().endswith(": CITATION.cff")


def test_the_package_is_built_with_the_version_of_the_code():
    text = (REPOSITORY / "pyproject.toml").read_text()

    assert 'version = { attr = "hoverfast_platform.version.__version__" }' in text
