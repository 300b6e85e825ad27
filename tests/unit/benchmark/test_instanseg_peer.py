"""InstanSeg is timed at its own scale, and told to be absent where it is not installed."""

import builtins
import importlib

import numpy as np
import pytest

from hoverfast_platform.benchmark.instanseg_peer import InstanSegPeer, instanseg_engines
from hoverfast_platform.model.checkpoint import load_model
from tests.integration.drawn_slide import drawn_tissue


@pytest.mark.filterwarnings("ignore")  # its own, about torch
def test_its_maps_are_at_half_a_micrometre():
    pytest.importorskip("instanseg", reason="pip install instanseg-torch seaborn")
    rgb, _ = drawn_tissue(192, 320)
    peer = InstanSegPeer(load_model("cross-organ"))

    maps = peer.predict(rgb[None])

    assert tuple(maps.shape) == (5, 96, 160)
    assert np.isfinite(maps.numpy()).all()
    assert peer.segment(rgb[None]) >= 0


def test_where_it_is_absent_the_engine_says_how_to_get_it(monkeypatch):
    def absent(name, *_):
        raise ModuleNotFoundError(f"No module named {name!r}")

    monkeypatch.setattr(importlib, "import_module", absent)
    for make in instanseg_engines(builtins.LookupError).values():
        with pytest.raises(LookupError, match=r"pip install instanseg-torch seaborn \(No module"):
            make(load_model("cross-organ"), 1)
