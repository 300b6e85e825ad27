"""What no line of ours may do, whatever it is for."""

import ast

import pytest

from tests.conftest import REPOSITORY

FILES = sorted(
    path
    for package in ("hoverfast_platform", "assets", "resources")
    for path in (REPOSITORY / package).rglob("*.py")
)


def calls(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), {word.arg: word.value for word in node.keywords}, node


def imported(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.split(".")[0]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_files_of_others_are_read_safely(path):
    """A pickle, an archive's own paths and a shell run what somebody else wrote."""
    assert not {"pickle", "cPickle", "dill", "joblib", "shelve", "marshal"} & set(imported(path))
    for name, keywords, node in calls(path):
        if name == "torch.load":
            assert ast.unparse(keywords["weights_only"]) == "True", ast.unparse(node)
        if "allow_pickle" in keywords:  # without it NumPy refuses pickles
            assert ast.unparse(keywords["allow_pickle"]) == "False", ast.unparse(node)
        assert name not in ("eval", "exec", "os.system", "os.popen"), ast.unparse(node)
        assert not name.endswith((".extractall", ".unpack_archive", "yaml.load")), ast.unparse(node)
        assert ast.unparse(keywords["shell"]) != "True" if "shell" in keywords else True


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_label_and_macro_images_are_never_read(path):
    """The label of a slide shows a patient's name; nothing made here may hold its picture."""
    assert "associated_images" not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_pytables_only_writes(path):
    """It unpickles what it reads, and a pickle runs code; ``storage/hdf5_arrays.py`` reads."""
    for name, _, node in calls(path):
        if name.endswith("open_file") and "tables" in imported(path):
            assert ast.unparse(node.args[1]) == "'w'", ast.unparse(node)
