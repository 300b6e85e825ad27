"""The tutorials run, in order, in one folder: what a page shows works."""

import runpy

import matplotlib as mpl
import pytest

from docs.tutorial_pages import ORDER, TUTORIALS, page_of


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("tutorials")


@pytest.mark.parametrize("name", ORDER)
def test_a_tutorial_runs(name, folder, monkeypatch):
    monkeypatch.chdir(folder)
    mpl.use("Agg")

    runpy.run_path(str(TUTORIALS / f"{name}.py"))


def test_every_script_has_its_page():
    assert set(ORDER) == {path.stem for path in TUTORIALS.glob("*.py")}


def test_a_page_shows_text_and_code_in_the_order_of_the_script():
    page = page_of("# %% [markdown]\n# # Title\n#\n# Text.\n\n# %%\nx = 1  # noqa: E402\n", "it")

    assert page.startswith("# Title\n\nText.\n\n```python\nx = 1\n```\n")
