"""The HistoQC engine against recorded folders of the real program, and against the real one.

The real one is used where HOVERFAST_HISTOQC names its command.
"""

import configparser
import contextlib
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from hoverfast_platform.config import HistoQc, MaskImport, MaskSettings, Scale
from hoverfast_platform.errors import ComputeError, MaskError, SettingsError, StorageError
from hoverfast_platform.mask.engines import make_mask
from hoverfast_platform.mask.histoqc import run_histoqc
from hoverfast_platform.mask.statistics import mask_statistics
from hoverfast_platform.slide import open_slide

CMU = "CMU-1-Small-Region.svs"
SYNTH = "synth_artefact_20x.svs"
TCGA = "TCGA-CR-7395-01A-01-TS1.svs"
FAKE = Path(__file__).with_name("fake_histoqc.py")


@pytest.fixture
def outputs(shared_data):
    return shared_data / "histoqc_outputs"


def fake(mode, recorded, **settings):
    command = (sys.executable, str(FAKE), mode, str(recorded), "histoqc")
    return HistoQc(command=command, **settings)


def run(path, settings, scale=Scale()):
    with open_slide(path, scale) as slide:
        return run_histoqc(path, slide.info, settings)


@pytest.fixture
def cmu(shared_data):
    return shared_data / "slides" / CMU


def test_recorded_run_becomes_a_mask_with_reasons_columns_and_provenance(cmu, outputs, tmp_path):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    settings = fake("replay", outputs / "rec_nopen", scratch_dir=str(scratch), version="b795612")
    mask = run(cmu, settings)

    assert mask.engine == "histoqc"
    assert mask.is_tissue.shape == (185, 138)
    assert mask.tissue_fraction == pytest.approx(0.4931, abs=1e-4)
    assert (mask.scale_x, mask.scale_y) == pytest.approx((2220 / 138, 2967 / 185))
    assert mask.provenance["columns"]["base_mag"] == "20.0"
    assert mask.provenance["version"] == "b795612"
    assert mask.provenance["seed"] == 123
    assert list(scratch.iterdir()) == []


def test_slide_of_a_run_of_several_is_refused_where_its_line_is_misaligned(
    shared_data, outputs, tmp_path
):
    """The engine runs one slide at a time, so a misaligned line means a broken file."""
    settings = fake("half_row", outputs / "rec_nopen")
    with pytest.raises(MaskError, match="length of its header"):
        run(shared_data / "histoqc_inputs" / SYNTH, settings)


def test_reasons_of_the_recorded_run_are_those_of_its_steps(shared_data, outputs):
    mask = run(shared_data / "histoqc_inputs" / SYNTH, fake("replay", outputs / "rec_small"))

    lost = mask_statistics(mask).lost_fraction
    assert {"pen", "blur", "fold_dark"} <= set(lost)
    assert mask_statistics(mask).glass_ink_mm2 > 0.1


def test_empty_mask_is_a_result_with_histoqcs_warnings(cmu, outputs):
    mask = run(cmu, fake("replay", outputs / "small_v21"))

    assert not mask.is_tissue.any()
    assert "NO tissue remains" in " ".join(mask.warnings)


@pytest.mark.parametrize(
    ("mode", "error", "said"),
    [
        ("failed", MaskError, r"failed on .* though it reported success.*base magnification"),
        ("no_mask", MaskError, "it left no mask"),
        ("no_row", MaskError, "no line in results.tsv"),
        ("half_mask", MaskError, "readable"),
        ("crash", MaskError, r"ended with 1 .*KeyError"),
        ("killed", ComputeError, "killed .* by signal 9"),
    ],
)
def test_each_way_to_fail_is_told_with_its_remedy(cmu, outputs, mode, error, said):
    with pytest.raises(error, match=said) as caught:
        run(cmu, fake(mode, outputs / "rec_nopen"))
    assert caught.value.remedy


def is_gone(pid):
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    return True


def wait_until_gone(pids, deadline_s=20.0):
    end = time.monotonic() + deadline_s
    while time.monotonic() < end and not all(is_gone(pid) for pid in pids):
        time.sleep(0.05)
    return all(is_gone(pid) for pid in pids)


def test_hang_ends_with_all_processes_it_started(cmu, outputs, tmp_path, monkeypatch):
    """It ignores SIGTERM, and its child would outlive it."""
    monkeypatch.setenv("FAKE_HISTOQC_PIDS", str(tmp_path / "pids"))
    with pytest.raises(ComputeError, match="did not finish") as caught:
        # Long enough for the fake to have started, also on a busy machine.
        run(cmu, fake("hang", outputs / "rec_nopen", timeout_s=15))

    assert caught.value.is_transient
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    assert wait_until_gone(pids)


def test_interrupted_command_leaves_no_histoqc_behind(cmu, outputs, tmp_path):
    pids_file = tmp_path / "pids"
    command = f"{sys.executable} {FAKE} hang {outputs / 'rec_nopen'} histoqc"
    arguments = ["mask", str(cmu), "-o", str(tmp_path / "out"), "-e", "histoqc"]
    arguments += ["--histoqc-command", command]
    process = subprocess.Popen(
        [sys.executable, "-m", "hoverfast_platform.cli.main", *arguments],
        env=os.environ | {"FAKE_HISTOQC_PIDS": str(pids_file)},
        stderr=subprocess.PIPE,
    )
    end = time.monotonic() + 120
    while not (pids_file.exists() and len(pids_file.read_text().split()) == 2):
        assert time.monotonic() < end
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.1)
    pids = [int(pid) for pid in pids_file.read_text().split()]
    process.terminate()
    _, errors = process.communicate(timeout=120)

    assert process.returncode == 130, errors
    assert wait_until_gone(pids)
    assert list((tmp_path / "out").glob("*.png")) == []


def test_programs_that_are_not_there_are_named_with_how_to_get_them(cmu, tmp_path):
    with pytest.raises(SettingsError, match=r"cannot be started: `no-such-program") as caught:
        run(cmu, HistoQc(command=("no-such-program",)))
    assert "environment of its own" in caught.value.remedy
    with pytest.raises(SettingsError, match=r"/nowhere/x\.ini does not exist"):
        run(cmu, HistoQc(config="/nowhere/x.ini"))
    (tmp_path / "x.ini").write_text("no section")
    with pytest.raises(SettingsError, match="not a configuration of HistoQC"):
        run(cmu, HistoQc(config=str(tmp_path / "x.ini")))


def test_unknown_template_is_refused_in_histoqcs_words(cmu, outputs):
    with pytest.raises(SettingsError, match="unknown configuration 'v9'"):
        run(cmu, fake("replay", outputs / "rec_nopen", config="v9"))


def config_used(monkeypatch, tmp_path, path, settings, scale=Scale()):
    note = tmp_path / "used.ini"
    monkeypatch.setenv("FAKE_HISTOQC_NOTE", str(note))
    run(path, settings, scale)
    parser = configparser.RawConfigParser()
    parser.read(note)
    return parser


def test_template_is_repaired_and_overridden_and_a_file_is_left_as_it_is(
    cmu, outputs, tmp_path, monkeypatch
):
    blur, area = "BlurDetectionModule.identifyBlurryRegions", "BasicModule.finalProcessingArea"
    recorded = outputs / "rec_nopen"
    repaired = fake("replay", recorded, overrides={f"{area}/area_threshold": "77"})
    used = config_used(monkeypatch, tmp_path, cmu, repaired)
    assert (used.get(blur, "blur_radius"), used.get(area, "area_threshold")) == ("7", "77")
    assert "pen_markings" not in " ".join(used.sections())

    as_shipped = fake("replay", recorded, repair_templates=False)
    assert config_used(monkeypatch, tmp_path, cmu, as_shipped).get(blur, "blur_radius") == "100"

    own = tmp_path / "own.ini"
    own.write_text(f"[{blur}]\nblur_radius: 55\n")
    of_file = fake("replay", recorded, config=str(own))
    assert config_used(monkeypatch, tmp_path, cmu, of_file).get(blur, "blur_radius") == "55"


def test_slide_without_magnification_gets_one_from_its_mpp(
    shared_data, outputs, tmp_path, monkeypatch
):
    """HistoQC fails on such a slide; recorded with base_mag 5, which 1 um per pixel is not."""
    path = shared_data / "slides" / TCGA
    settings = fake("replay", outputs / "rec_small_tcga")
    used = config_used(monkeypatch, tmp_path, path, settings, Scale(mpp_override=2.0))

    assert used.get("BaseImage.BaseImage", "base_mag") == "5"
    wrong = run(path, settings, Scale(mpp_override=1.0))
    assert "off by a factor of 0.5" in " ".join(wrong.warnings)


def test_mask_of_another_slide_of_the_same_name_is_refused(shared_data, outputs, tmp_path):
    (tmp_path / CMU).symlink_to(shared_data / "slides" / TCGA)
    with pytest.raises(MaskError, match=r"HistoQC saw 2220x2967 px in"):
        run(tmp_path / CMU, fake("replay", outputs / "rec_nopen"), Scale(mpp_override=1.0))


def test_path_that_its_list_cannot_hold_is_refused(shared_data, tmp_path):
    (tmp_path / "a#b.svs").symlink_to(shared_data / "slides" / CMU)
    with pytest.raises(MaskError, match="splits at"):
        run(tmp_path / "a#b.svs", HistoQc())


def test_scratch_folder_that_cannot_be_made_is_said(cmu, tmp_path):
    with pytest.raises(StorageError, match="cannot be written"):
        run(cmu, HistoQc(scratch_dir=str(tmp_path / "missing")))


def test_two_runs_at_once_do_not_meet(cmu, outputs):
    found = []

    def work():
        found.append(run(cmu, fake("replay", outputs / "rec_nopen")).digest())

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 2
    assert found[0] == found[1]


def test_engine_is_chosen_by_the_settings(cmu, outputs):
    def made(settings):
        with open_slide(cmu) as slide:
            return make_mask(cmu, slide, settings)

    assert made(MaskSettings()).engine == "builtin"
    histoqc = made(MaskSettings(engine="histoqc", histoqc=fake("replay", outputs / "rec_nopen")))
    imported = made(MaskSettings(engine="import", import_from=str(outputs / "rec_nopen")))
    assert (histoqc.engine, imported.engine) == ("histoqc", "import")
    assert (histoqc.is_tissue == imported.is_tissue).all()
    empty = MaskSettings(
        engine="import",
        import_from=str(outputs / "small_v21"),
        imported=MaskImport(allow_empty=True),
    )
    assert not made(empty).is_tissue.any()
    with pytest.raises(SettingsError, match="no folder or table"):
        made(MaskSettings(engine="import"))


@pytest.mark.slow
def test_real_histoqc_makes_the_recorded_mask(cmu, outputs):
    """About a minute. HOVERFAST_HISTOQC=/path/to/venv/bin/histoqc."""
    command = os.environ.get("HOVERFAST_HISTOQC")
    if not command:
        pytest.skip("no real HistoQC named in HOVERFAST_HISTOQC")
    by_template = run(cmu, HistoQc(command=(command,)))
    by_file = run(
        cmu, HistoQc(command=(command,), config=str(outputs / "configs" / "rec_nopen.ini"))
    )
    recorded = run(cmu, fake("replay", outputs / "rec_nopen"))

    assert (by_file.is_tissue == recorded.is_tissue).all()
    assert (by_template.is_tissue == recorded.is_tissue).all()
    assert np.array_equal(by_file.findings, recorded.findings)
    with pytest.raises(SettingsError, match="unknown configuration"):
        run(cmu, HistoQc(command=(command,), config="v9"))
