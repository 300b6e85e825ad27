"""Rules of the house that a program can check; the failure says what to do."""

import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


def test_no_python_file_is_longer_than_400_lines():
    for folder in ("hoverfast_platform", "assets", "resources"):
        for path in (REPOSITORY / folder).rglob("*.py"):
            n_lines = len(path.read_text().splitlines())
            assert n_lines <= 400, f"{path} has {n_lines} lines: split it by concept"


def test_import_contracts_hold():
    done = subprocess.run(
        [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_importing_the_package_is_light():
    code = (
        "import sys, hoverfast_platform\n"
        "heavy = {'torch', 'cv2', 'dagster', 'openvino', 'pyarrow', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
