"""Rules of the house that a program can check; the failure says what to do."""

import ast
import re
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


def test_the_dagster_side_has_one_name():
    """A module that is imported under two names has two of each class."""
    for path in [
        p for top in ("assets", "resources", "tests") for p in (REPOSITORY / top).rglob("*.py")
    ]:
        found = re.findall(r"^\s*(?:from|import) (?:assets|resources)\b.*", path.read_text(), re.M)
        assert not found, f"{path}: {found[0]}; say hoverfast_platform.assets"
    assert (REPOSITORY / "hoverfast_platform/assets").samefile(REPOSITORY / "assets")


def test_importing_the_package_is_light():
    code = (
        "import sys, hoverfast_platform\n"
        "heavy = {'torch', 'cv2', 'dagster', 'openvino', 'pyarrow', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_compiled_functions_call_those_of_their_own_module_only():
    """Kept machine code is renewed when its own file changes, not when another does."""
    modules = [
        path
        for path in (REPOSITORY / "hoverfast_platform").rglob("*.py")
        if "\n@compiled\n" in path.read_text()
    ]
    defined = {path: set(re.findall(r"@compiled\ndef (\w+)", path.read_text())) for path in modules}
    assert len(modules) > 4
    for path in modules:
        elsewhere = set().union(*(names for other, names in defined.items() if other != path))
        tree = ast.parse(path.read_text())
        imported = {
            alias.name for node in tree.body if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }  # fmt: skip
        assert not imported & elsewhere, f"{path} imports {imported & elsewhere}: write it here too"
