"""Which of the models that ship a slide gets, by its scale."""

import json

import pytest
from click.testing import CliRunner

from hoverfast_platform.cli import infer_wsi
from hoverfast_platform.model.registry import DEFAULT_MODEL, available_models, shipped_for
from hoverfast_platform.synthetic import write_synthetic_slide


@pytest.mark.parametrize(
    ("mpp", "model"),
    [
        (0.12, DEFAULT_MODEL),
        (0.3495, DEFAULT_MODEL),
        (0.36, "cross-organ-20x"),
        (0.5043, "cross-organ-20x"),
        (0.69, "cross-organ-20x"),
        (1.0, DEFAULT_MODEL),  # which refuses it
        (None, DEFAULT_MODEL),
    ],
)
def test_slides_near_20x_have_the_model_trained_there(mpp, model):
    assert shipped_for(mpp) == model
    assert model in available_models()


def infer(tmp_path, *arguments):
    command = [*map(str, arguments), "-o", str(tmp_path / "out")]
    done = CliRunner().invoke(infer_wsi.command, command)
    return done, {
        path.name.split(".")[0]: json.loads(path.read_text())["provenance"]["model"]["name"]
        for path in (tmp_path / "out").glob("*.summary.json")
    }


def test_each_slide_of_a_folder_has_the_model_of_its_scale(tmp_path):
    for name, mpp in (("archive", 0.5), ("new", 0.25)):
        write_synthetic_slide(
            tmp_path / "slides" / f"{name}.tiff", width_px=448, height_px=400, mpp=mpp
        )

    done, models = infer(tmp_path, tmp_path / "slides", "-n", 1)

    assert done.exit_code == 0
    assert models == {"archive": "cross-organ-20x", "new": "cross-organ"}
    assert done.output.count("Model cross-organ") == 2
    done, models = infer(tmp_path, tmp_path / "slides" / "archive.tiff", "-m", DEFAULT_MODEL)
    assert models["archive"] == DEFAULT_MODEL, "a model that is named is taken"


def test_a_slide_at_10x_is_refused_and_one_without_scale_too(tmp_path):
    write_synthetic_slide(tmp_path / "coarse.tiff", width_px=448, height_px=400, mpp=1.0)

    done, models = infer(tmp_path, tmp_path / "coarse.tiff")

    assert done.exit_code == 1
    assert "--max-upsampling" in done.stderr
    assert models == {}
