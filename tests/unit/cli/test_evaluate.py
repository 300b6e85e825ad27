import csv
import json

import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from hoverfast_platform.catalogue import Catalogue
from hoverfast_platform.cli.evaluate import command
from hoverfast_platform.errors import HoverFastError, LabelError, SettingsError
from hoverfast_platform.model.card import ModelCard
from hoverfast_platform.model.checkpoint import save_model
from hoverfast_platform.model.network import HoverFast


@pytest.fixture
def folder(tmp_path):
    """Two pink images with two purple nuclei each."""
    for name in ("image", "label"):
        (tmp_path / "set" / name).mkdir(parents=True)
    for stem in "ab":
        image = np.full((96, 108, 3), (228, 178, 205), dtype=np.uint8)
        label = np.zeros((96, 108), dtype=np.uint8)
        for i, centre in enumerate([(30, 30), (66, 60)]):
            cv2.ellipse(image, centre, (11, 9), 20, 0, 360, (92, 60, 130), -1)
            cv2.ellipse(label, centre, (11, 9), 20, 0, 360, i + 1, -1)
        Image.fromarray(cv2.GaussianBlur(image, (3, 3), 0)).save(
            tmp_path / "set" / "image" / f"{stem}.png"
        )
        Image.fromarray(label).save(tmp_path / "set" / "label" / f"{stem}.png")
    return tmp_path


def run(*args):
    """Run the command; errors raised on purpose come through as ``main`` would get them."""
    done = CliRunner().invoke(command, [str(arg) for arg in args])
    if isinstance(done.exception, HoverFastError):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.output


def test_two_models_are_measured_compared_and_recorded(folder):
    torch.manual_seed(0)
    card = ModelCard(name="untrained", version="0", labels=())
    save_model(folder / "untrained.safetensors", HoverFast(), card)

    output = run(
        "cross-organ", folder / "untrained.safetensors", folder / "set", "-o", folder / "out",
        "--mpp", "0.25", "--device", "cpu", "--catalogue", folder / "c.sqlite",
    )  # fmt: skip

    assert "cross-organ-6.0.0 against annotations, 2 images, 4 nuclei" in output
    assert "untrained-0 - cross-organ-6.0.0: PQ -" in output
    rows = list(
        csv.DictReader(
            (folder / "out" / "cross-organ-6.0.0" / "images.csv").read_text().splitlines()
        )
    )
    assert [row["image"] for row in rows] == ["a", "b"]
    assert all(float(row["dice"]) > 0.6 for row in rows)
    assert (folder / "out" / "comparison.html").is_file()
    written = json.loads((folder / "out" / "untrained-0" / "evaluation.json").read_text())
    with Catalogue.open(folder / "c.sqlite") as catalogue:
        assert {m.stage for m in catalogue.models.standings()} == {"candidate"}
        (kept,) = catalogue.models.evaluations(catalogue.models.find("untrained"))
    assert kept.summary.model_dump(mode="json") == written["summary"]
    assert kept.dataset_digest == written["dataset"]["digest"]
    pictures = sorted(p.name for p in (folder / "out" / "untrained-0" / "agreement").iterdir())
    assert pictures == ["0000-a.jpg", "0001-b.jpg"]


def test_bad_input_leaves_no_report(folder):
    out = folder / "out"
    with pytest.raises(SettingsError, match="never guessed"):
        run("cross-organ", folder / "set", "-o", out)
    with pytest.raises(SettingsError, match="same weights"):
        run("cross-organ", "cross-organ", folder / "set", "-o", out, "--mpp", "0.25")
    with pytest.raises(LabelError, match="no labelled images"):
        run("cross-organ", folder, "-o", out, "--mpp", "0.25")
    assert not out.exists()
