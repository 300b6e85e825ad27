"""The public Python API: complete, cheap to import, and enough for a notebook."""

import contextlib
import importlib
import io
import re
import subprocess
import sys
from pathlib import Path

import pytest

import hoverfast_platform as hf
from hoverfast_platform.synthetic import write_synthetic_slide

PAGE = Path(__file__).parents[2] / "docs" / "python.md"


def test_every_public_name_can_be_imported_and_is_all_there_is():
    for name in hf.__all__:
        assert getattr(hf, name) is not None
    assert dir(hf) == sorted(hf.__all__)
    assert set(hf._HOME) | {"__version__"} == set(hf.__all__)


def test_every_error_is_public():
    errors = importlib.import_module("hoverfast_platform.errors")
    defined = {
        n
        for n, v in vars(errors).items()
        if isinstance(v, type) and v.__module__ == errors.__name__
    }
    assert {n for n in defined if issubclass(getattr(errors, n), Exception)} <= set(hf.__all__)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no_such_thing"):
        _ = hf.no_such_thing


def test_importing_and_naming_settings_loads_no_torch():
    code = (
        "import sys, hoverfast_platform as hf\n"
        "heavy = {'torch', 'cv2', 'numpy', 'sqlalchemy', 'openslide'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
        "hf.SegmentationSettings(), hf.HoverFastError, hf.Catalogue, hf.read_nuclei_table\n"
        "print('torch' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["[]", "False"]


def test_the_map_names_only_what_is_public():
    named = set(re.findall(r"^    ((?:\w+(?:, )?)+)", hf.__doc__, re.M))
    names = {name for line in named for name in re.split(r", ", line) if name}
    assert len(names) > 25
    assert names <= set(hf.__all__), names - set(hf.__all__)


def test_the_tutorial_runs_over_several_slides_with_one_import(tmp_path, monkeypatch):
    (tmp_path / "slides").mkdir()
    (tmp_path / "results").mkdir()
    for number, (width, height) in enumerate(((400, 300), (300, 380))):
        write_synthetic_slide(
            tmp_path / "slides" / f"s{number}.tiff", width_px=width, height_px=height, seed=number
        )
    (tmp_path / "slides" / "broken.tiff").write_bytes(b"not a slide")
    monkeypatch.chdir(tmp_path)
    code = "\n".join(re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S))
    assert set(re.findall(r"^(?:import|from) (\S+)", code, re.M)) == {
        "pathlib",
        "hoverfast_platform",
    }
    said, names = io.StringIO(), {}

    with contextlib.redirect_stdout(said):
        exec(compile(code, str(PAGE), "exec"), names)

    assert [outcome.product is not None for outcome in names["outcomes"]] == [False, True, True]
    assert len(names["failures"]) == 1
    assert "broken.tiff failed:" in said.getvalue()
    assert names["pixels"].shape == (32, 64, 3)
    assert len(names["nuclei"]) > 0
    assert "site-a cross-organ candidate" in said.getvalue()
    assert "no-such-model" in said.getvalue()
