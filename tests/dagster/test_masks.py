"""The ``tissue_mask`` asset with each engine, on an ephemeral instance."""

import json
import sys
from pathlib import Path

import dagster as dg
import numpy as np
import pytest
import tifffile
from PIL import Image

from hoverfast_platform.assets.definitions import build_definitions
from hoverfast_platform.errors import SettingsError
from tests.builders import write_tissue_slide

FAKE = Path(__file__).parents[1] / "unit" / "mask" / "fake_histoqc.py"


@pytest.fixture
def platform(tmp_path):
    """Its resources, and a way to run the asset on a slide with settings."""
    root = tmp_path / "artefacts"
    root.mkdir()
    resources = dict(build_definitions(root).resources)

    def run(path, settings=None, launched_with=None):
        if settings is not None:
            (root / "masks.json").write_text(json.dumps(settings))
        reloaded = build_definitions(root).get_assets_def("tissue_mask")
        config = {"ops": {"tissue_mask": {"config": launched_with}}} if launched_with else {}
        key = resources["store"].register(path)
        with dg.DagsterInstance.ephemeral() as instance:
            instance.add_dynamic_partitions("slides", [key])
            return dg.materialize(
                [reloaded],
                partition_key=key,
                instance=instance,
                resources=resources,
                run_config=config,
                raise_on_error=False,
            )

    return resources["store"], run


def event_of(result):
    (event,) = result.asset_materializations_for_node("tissue_mask")
    return event.metadata


def check_of(result):
    (evaluation,) = result.get_asset_check_evaluations()
    return evaluation


def failure_of(result):
    assert not result.success
    return result.failure_data_for_node("tissue_mask").user_failure_data.description


def test_ui_shows_picture_figures_and_a_table_of_reasons(platform, tmp_path):
    store, run = platform
    metadata = event_of(run(write_tissue_slide(tmp_path / "a.tiff", pen=True)))

    assert "data:image/webp" in metadata["overlay"].value
    table = {row.data["found"]: row.data for row in metadata["findings"].records}
    assert 10 < table["pen"]["lost_percent"] < 40
    assert metadata["lost_fraction"].value == pytest.approx(
        table["pen"]["lost_percent"] / 100, 0.05
    )
    assert metadata["engine"].value == "builtin"
    with store.open_catalogue() as catalogue:
        (known,) = catalogue.slides.all()
        (mask,) = catalogue.slides.masks(known.key)
    assert mask.path == str(store.slide(known.key).mask_path)


def test_second_run_makes_nothing_and_changed_settings_do(platform, tmp_path):
    _, run = platform
    path = write_tissue_slide(tmp_path / "a.tiff", pen=True)
    assert not event_of(run(path))["was_done"].value
    assert event_of(run(path))["was_done"].value
    changed = run(path, {"builtin": {"artefacts": {"pen": "off"}}})
    assert not event_of(changed)["was_done"].value
    assert "pen" not in {row.data["found"] for row in event_of(changed)["findings"].records}


def test_slide_without_usable_tissue_is_flagged_and_does_not_fail(platform, tmp_path):
    _, run = platform
    tifffile.imwrite(
        tmp_path / "ink.tiff",
        np.full((600, 672, 3), (40, 150, 90), np.uint8),
        photometric="rgb",
        tile=(256, 256),
        resolution=(1e4, 1e4),
        resolutionunit=3,
    )
    result = run(tmp_path / "ink.tiff")

    assert result.success
    verdict = check_of(result)
    assert not verdict.passed
    assert verdict.severity == dg.AssetCheckSeverity.WARN
    assert "no usable tissue" in verdict.description
    assert "lost, most of it to pen" in verdict.description


def test_masks_are_imported_by_the_settings(platform, tmp_path):
    _, run = platform
    (tmp_path / "masks").mkdir()
    pixels = np.zeros((80, 100), np.bool_)
    pixels[:40] = True
    Image.fromarray(pixels).save(tmp_path / "masks" / "a.tiff.png")
    settings = {"engine": "import", "import_from": str(tmp_path / "masks")}
    metadata = event_of(run(write_tissue_slide(tmp_path / "a.tiff", pen=True), settings))

    assert metadata["engine"].value == "import"
    assert metadata["tissue_fraction"].value == 0.5


def test_histoqc_by_the_settings_shows_its_columns(platform, shared_data):
    _, run = platform
    recorded = shared_data / "histoqc_outputs" / "rec_nopen"
    command = [sys.executable, str(FAKE), "replay", str(recorded), "histoqc"]
    settings = {"engine": "histoqc", "histoqc": {"command": command}}
    path = shared_data / "slides" / "CMU-1-Small-Region.svs"
    metadata = event_of(run(path, settings))

    assert metadata["engine"].value == "histoqc"
    assert metadata["provenance"].value["columns"]["base_mag"] == "20.0"


def test_engine_that_is_not_there_and_wrong_settings_name_the_remedy(platform, tmp_path):
    _, run = platform
    path = write_tissue_slide(tmp_path / "a.tiff", pen=True)
    missing = run(path, {"engine": "histoqc", "histoqc": {"command": ["no-such"]}})
    assert "environment of its own" in failure_of(missing)
    with pytest.raises(SettingsError, match="engin"):
        run(path, {"engin": "builtin"})


def test_run_is_launched_with_other_settings_and_says_so(platform, tmp_path):
    """What is not given stays as the pipeline has it."""
    _, run = platform
    path = write_tissue_slide(tmp_path / "a.tiff", pen=True)
    kept = {"builtin": {"artefacts": {"pen": "off"}}}
    result = run(path, kept, launched_with={"builtin": {"mpp": 4.0}})

    assert event_of(result)["override"].value == {"builtin": {"mpp": 4.0}}
    assert "pen" not in {row.data["found"] for row in event_of(result)["findings"].records}
    assert "override" not in event_of(run(path))
