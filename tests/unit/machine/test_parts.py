import importlib.util
import re
import tomllib

from hoverfast_platform.machine import parts
from tests.conftest import REPOSITORY

FOR_DEVELOPERS = {"dev", "docs", "e2e"}


def test_every_extra_that_people_install_is_told():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]

    assert set(parts.EXTRAS) == project["optional-dependencies"].keys() - FOR_DEVELOPERS


def test_what_only_some_work_needs_is_noted_with_what_is_missed(monkeypatch):
    light = (REPOSITORY / "deploy/bundle/light.txt").read_text()
    left_out = re.findall(r"[\w-]+", light.rpartition("#   ")[2].splitlines()[0])
    find = importlib.util.find_spec
    monkeypatch.setattr(
        parts.importlib.util, "find_spec", lambda name: None if name in left_out else find(name)
    )

    remark = parts.packages()

    assert remark.state == "note"
    assert remark.remedy.endswith(f"pip install {' '.join(left_out)}")
    assert "tables: without it no training set can be made" in remark.remedy
