import os

import pytest

from hoverfast_platform.cli.inputs import expand
from hoverfast_platform.errors import SettingsError


def nothing(_folder):
    return []


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for name in ("a[1].svs", "a1.svs", "ñ 核.svs", "b.svs"):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(paths):
    return [path.name for path in paths]


def test_a_file_with_brackets_in_its_name_is_that_file(folder):
    assert names(expand(["a[1].svs"], nothing)) == ["a[1].svs"]


def test_a_quoted_pattern_is_expanded_in_order(folder):
    assert names(expand(["a*.svs", str(folder / "[b]*")], nothing)) == [
        "a1.svs",
        "a[1].svs",
        "b.svs",
    ]


def test_a_name_that_is_not_there_is_kept_to_fail_alone(folder):
    assert names(expand(["b.svs", "gone.svs", "ñ 核.svs"], nothing)) == [
        "b.svs",
        "gone.svs",
        "ñ 核.svs",
    ]


def test_a_file_given_twice_is_worked_on_once(folder):
    assert names(expand(["b.svs", "b*"], nothing)) == ["b.svs"]


def test_a_folder_stands_for_the_files_the_command_wants(folder):
    assert names(expand([str(folder)], lambda path: path.glob("b*"))) == ["b.svs"]


@pytest.mark.parametrize("argument", ["*.ndpi", os.curdir])
def test_what_stands_for_no_file_is_refused(folder, argument):
    with pytest.raises(SettingsError, match="stands for no file"):
        expand([argument], nothing)
