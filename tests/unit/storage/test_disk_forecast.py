import os
import shutil
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from hoverfast_platform.cli.forecast import command
from hoverfast_platform.errors import StorageError
from hoverfast_platform.storage.disk_forecast import forecast_disk

NOW, DAY = 1_800_000_000.0, 86_400.0


@pytest.fixture
def write(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))

    def write(name, n_bytes, days_ago):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x" * n_bytes)
        os.utime(path, (NOW - days_ago * DAY, NOW - days_ago * DAY))

    return write


def test_rate_is_of_the_last_days_only(write, tmp_path):
    write("old/a", 9000, days_ago=100)
    write("new/b", 100, days_ago=5)
    write("new/c", 40, days_ago=1)

    found = forecast_disk(tmp_path, window_days=14, now=NOW)

    assert (found.used_bytes, found.n_files) == (9140, 3)
    assert found.bytes_per_day == pytest.approx(10)
    assert found.days_left == pytest.approx(100)


def test_young_folder_is_not_taken_for_a_slow_one(write, tmp_path):
    write("a", 200, days_ago=2)

    assert forecast_disk(tmp_path, window_days=14, now=NOW).bytes_per_day == pytest.approx(100)


def test_folder_in_which_nothing_comes_lasts(write, tmp_path):
    write("a", 200, days_ago=20)

    assert forecast_disk(tmp_path, window_days=14, now=NOW).days_left is None


def test_empty_folder_and_no_folder(tmp_path):
    assert forecast_disk(tmp_path).days_left is None
    with pytest.raises(StorageError, match="no folder"):
        forecast_disk(tmp_path / "none")


def test_command_warns_by_its_exit_code(tmp_path):
    (tmp_path / "a").write_bytes(b"x" * 10_000)

    assert CliRunner().invoke(command, [str(tmp_path)]).exit_code == 0
    warned = CliRunner().invoke(command, [str(tmp_path), "--warn-days", "1e12"])
    assert warned.exit_code == 1
    assert "days left" in warned.output
