"""The published tool's command lines, as its documentation and help have them."""

import click
import pytest
from click.testing import CliRunner

from hoverfast_platform.cli import infer_roi, infer_wsi, train
from hoverfast_platform.errors import SettingsError
from hoverfast_platform.model.registry import DEFAULT_MODEL
from hoverfast_platform.use_cases.segment_slides import model_at

PUBLISHED = {
    infer_wsi: (
        "-o --outdir -b --binmask_dir -m --model_path -l --magnification -p --poly_simplify "
        "-s --size_threshold -st --stain -r --batch_mem -g --batch_gpu -t --tile_size "
        "-n --n_process"
    ),
    infer_roi: (
        "-o --outdir -m --model_path -p --poly_simplify -s --size_threshold -st --stain "
        "-r --batch_mem -g --batch_gpu -n --n_process -w --width -c --color"
    ),
    train: (
        "-o --outdir -p --dataset_path -b --batch_size -n --n_worker -e --epoch -d --depth "
        "-w --width"
    ),
}


@pytest.mark.parametrize("module", PUBLISHED)
def test_every_published_flag_is_known(module):
    known = {name for option in module.command.params for name in option.opts}

    assert not set(PUBLISHED[module].split()) - known


def parsed(command, *arguments):
    """What a command would be called with."""
    with command.make_context("x", list(arguments)) as context:
        return context.params


def test_flags_mean_what_they_meant():
    line = (
        "a.svs b.svs -o out -m x.pth -b masks -l 40 -p 3 -s 7 -st ihc_dab -r 50 -g 4 -t 512 -n 20"
    )

    wsi = parsed(infer_wsi.command, *line.split())

    assert wsi["slides"] == ("a.svs", "b.svs")
    assert (wsi["model"], str(wsi["mask_dir"]), wsi["magnification"]) == ("x.pth", "masks", 40)
    assert (wsi["poly_simplify"], wsi["size_threshold"], wsi["stain"]) == (3, 7, "ihc_dab")
    assert (wsi["batch_mem"], wsi["batch_size"]) == (50, 4)
    assert (wsi["tile_size"], wsi["n_workers"]) == (512, 20)


def test_size_and_stain_flags_are_told_apart():
    assert parsed(infer_roi.command, "a.png", "-s", "9")["stain"] == "he"
    assert parsed(infer_roi.command, "a.png", "-st", "ihc_dab")["size_threshold"] == 5


def test_output_folder_has_the_published_default():
    for module in PUBLISHED:
        assert str(parsed(module.command, "a")["outdir"]) == "output"


def test_an_unknown_stain_is_wrong_usage():
    with pytest.raises(click.BadParameter, match="ihc_dab"):
        parsed(infer_wsi.command, "a.svs", "-st", "pas")


def test_a_magnification_against_the_models_card_is_refused(tmp_path):
    slide = tmp_path / "x.svs"
    slide.write_bytes(b"opened only after the model")
    done = CliRunner().invoke(
        infer_wsi.command,
        [str(slide), "-m", DEFAULT_MODEL, "-l", "20", "-o", str(tmp_path / "out")],
    )

    assert "trained at 0.25" in str(done.exception)


def test_a_magnification_alone_chooses_the_model_that_ships_for_it():
    assert model_at(None, 20).card.name == "cross-organ-20x"
    assert model_at(None, 40).card.name == model_at(None, None).card.name == DEFAULT_MODEL
    with pytest.raises(SettingsError, match=r"No model that ships works at 1 um .* 20 or 40"):
        model_at(None, 10)
