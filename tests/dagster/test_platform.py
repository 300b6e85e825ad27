"""Slides through the real assets on an ephemeral instance."""

import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import dagster as dg
import numpy as np
import pytest
from filelock import FileLock, Timeout

from hoverfast_platform.assets.definitions import build_definitions
from hoverfast_platform.catalogue import Catalogue
from hoverfast_platform.errors import SettingsError
from hoverfast_platform.model.registry import DEFAULT_MODEL
from hoverfast_platform.resources.artefact_folder import ArtefactFolder
from hoverfast_platform.resources.leased_device import LeasedDevice, lease_name
from hoverfast_platform.synthetic import write_synthetic_slide
from tests.dagster.parts import nuclei, segmentation_model, slide, stain, tissue_mask

ALL = [slide, stain, tissue_mask, nuclei]
REPOSITORY = Path(__file__).resolve().parents[2]


def registered(tmp_path, n, **deployment):
    """Resources, and keys of ``n`` small slides in an instance."""
    resources = dict(build_definitions(tmp_path / "artefacts", **deployment).resources)
    paths = [tmp_path / f"s{i}.tiff" for i in range(n)]
    for i, path in enumerate(paths):
        write_synthetic_slide(path, width_px=448, height_px=400, seed=i)
    keys = [resources["store"].register(path) for path in paths]
    instance = dg.DagsterInstance.ephemeral()
    instance.add_dynamic_partitions("slides", keys)
    return resources, instance, keys, paths


def test_a_slide_at_20x_has_the_model_that_ships_for_it_and_is_not_stale(tmp_path):
    resources, instance, _, _ = registered(tmp_path, 0)
    path = tmp_path / "archive.tiff"
    write_synthetic_slide(path, width_px=448, height_px=400, mpp=0.5)
    key = resources["store"].register(path)
    instance.add_dynamic_partitions("slides", [key])
    with instance:
        result = dg.materialize(ALL, partition_key=key, instance=instance, resources=resources)
        models = dg.materialize([segmentation_model], instance=instance, resources=resources)
    (made,) = result.asset_materializations_for_node("nuclei")
    (told,) = models.asset_materializations_for_node("segmentation_model")

    assert made.metadata["model"].value.startswith("cross-organ-20x")
    assert "| default, slides at 20x | cross-organ-20x" in told.metadata["scopes"].value
    assert (
        made.tags["dagster/input_data_version/segmentation_model"]
        == told.tags["dagster/data_version"]
    )


def test_one_slide_goes_all_the_way_and_again_computes_nothing(tmp_path):
    viewer = "https://hospital.example/viewer/"
    resources, instance, (key,), _ = registered(tmp_path, 1, viewer_url=viewer)
    with instance:
        for _ in range(2):
            result = dg.materialize(ALL, partition_key=key, instance=instance, resources=resources)
            assert result.success
        (event,) = result.asset_materializations_for_node("nuclei")
        (mask_event,) = result.asset_materializations_for_node("tissue_mask")

    assert event.metadata["viewer"].value == f"{viewer}?slide={key}"
    assert mask_event.metadata["viewer"].value == f"{viewer}?slide={key}&mask=1"

    assert {c.check_name: c.passed for c in result.get_asset_check_evaluations()} == {
        "mask_is_plausible": False,  # so small a piece has no glass on it
        "density_is_plausible": True,
        "seams_are_clean": True,
        "opens_in_qupath": True,
        "looks_like_its_cohort": True,
    }
    made_from = {row.data["what"]: row.data for row in event.metadata["lineage"].records}
    assert made_from["segmentation"]["digest"] == event.metadata["segmentation_id"].value
    assert made_from["model"]["which"].startswith(DEFAULT_MODEL)
    assert event.metadata["hematoxylin_od"].value > 0
    assert event.metadata["n_nuclei"].value > 10
    assert "data:image/webp" in event.metadata["overlay"].value
    assert "data:image/webp" in event.metadata["density"].value
    assert event.metadata["dagster/row_count"].value == event.metadata["n_nuclei"].value
    assert event.metadata["dagster/uri"].value.endswith(".parquet")
    columns = {column.name for column in event.metadata["dagster/column_schema"].schema.columns}
    assert {"id", "geometry", "centroid_x", "area_um2"} <= columns
    qupath_file = event.metadata["qupath_file"].value
    with Catalogue.open(tmp_path / "artefacts" / "catalogue.sqlite") as catalogue:
        (entry,) = catalogue.results.lineage(qupath_file).entries
    assert entry.run_id
    assert "settings" not in made_from
    assert event.metadata["settings"].value == entry.provenance.settings != {}
    assert str(entry.provenance.arithmetic) == event.metadata["device"].value


def test_thresholds_and_severities_are_settings(tmp_path):
    resources, instance, (key,), _ = registered(tmp_path, 1)
    policy = tmp_path / "artefacts" / "checks.json"
    policy.write_text('{"mask": {"severity": "error", "max_tissue_fraction": 0.001}}')
    reloaded = build_definitions(tmp_path / "artefacts").get_assets_def("tissue_mask")
    with instance:
        result = dg.materialize(
            [reloaded],
            partition_key=key,
            instance=instance,
            resources=resources,
            raise_on_error=False,
        )
        # Of severity `error` it is blocking: nothing is made of this mask by itself.
        assert not result.success
        (check,) = result.get_asset_check_evaluations()
        assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.ERROR)
    policy.write_text('{"maks": {}}')
    with pytest.raises(SettingsError, match="maks"):
        build_definitions(tmp_path / "artefacts")


def test_slides_named_in_stains_json_are_measured_in_dab(tmp_path):
    resources, instance, keys, _ = registered(tmp_path, 2)
    (tmp_path / "artefacts" / "stains.json").write_text(
        '{"rules": [{"files": "*/s1.tiff", "staining": {"stain": "ihc_dab"}}]}'
    )
    resources = dict(build_definitions(tmp_path / "artefacts").resources)  # reloaded
    seen = {}
    with instance:
        for key in keys:
            result = dg.materialize(ALL, partition_key=key, instance=instance, resources=resources)
            assert result.success
            (event,) = result.asset_materializations_for_node("nuclei")
            seen[event.metadata["stain"].value] = event.metadata

    assert "h_score" in seen["ihc_dab"]
    assert "hematoxylin_od" not in seen["ihc_dab"]  # no eosin, so not compared with H&E slides
    assert "h_score" not in seen["he"]
    assert "hematoxylin_od" in seen["he"]


def test_bad_slide_in_a_batch_fails_alone(tmp_path):
    resources, instance, keys, paths = registered(tmp_path, 3)
    paths[1].write_bytes(paths[1].read_bytes()[:500])
    with instance:
        result = dg.materialize(
            [slide],
            instance=instance,
            resources=resources,
            raise_on_error=False,
            tags={
                "dagster/asset_partition_range_start": keys[0],
                "dagster/asset_partition_range_end": keys[2],
            },
        )
        done = instance.get_materialized_partitions(dg.AssetKey("slide"))

    assert not result.success
    assert done == {keys[0], keys[2]}
    failure = result.failure_data_for_node("slide").user_failure_data
    assert list(failure.metadata["failed_slides"].value) == [keys[1]]


def test_blank_slide_is_a_success(tmp_path):
    import tifffile

    resources = dict(build_definitions(tmp_path / "artefacts").resources)
    blank = np.full((300, 336, 3), 244, np.uint8)
    tifffile.imwrite(
        tmp_path / "blank.tiff",
        blank,
        photometric="rgb",
        tile=(256, 256),
        resolution=(4e4, 4e4),
        resolutionunit=3,
    )
    key = resources["store"].register(tmp_path / "blank.tiff")
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("slides", [key])
        result = dg.materialize(ALL, partition_key=key, instance=instance, resources=resources)
    (event,) = result.asset_materializations_for_node("nuclei")

    assert event.metadata["n_nuclei"].value == 0


def test_a_run_waits_for_the_lease_of_its_device(tmp_path):
    """Whatever name the setting gave the device."""
    is_held, was_released = threading.Event(), threading.Event()

    def other_run():
        with FileLock(tmp_path / f"{lease_name('cpu')}.lock"):
            is_held.set()
            time.sleep(0.5)
            was_released.set()

    other = threading.Thread(target=other_run)
    other.start()
    is_held.wait(10)
    device = "auto" if not torch_has_cuda() else "cpu"
    store = ArtefactFolder(root=str(tmp_path))
    compute = LeasedDevice(lease_dir=str(tmp_path), device=device)

    engine = compute.engine(store)

    assert was_released.is_set()
    assert compute.engine(store) is engine
    compute.teardown_after_execution(dg.build_init_resource_context())
    other.join()


def test_lease_is_of_the_gpu_and_not_of_its_number(monkeypatch):
    """Two containers of a machine call one GPU cuda:0; two machines have a cuda:0 each."""
    import torch

    uuids = {"cuda:0": "1b2c", "cuda:1": "9f8e"}
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda name: SimpleNamespace(uuid=uuids[name])
    )

    assert lease_name("cuda:0") == "gpu-1b2c"
    assert lease_name("cuda:1") == "gpu-9f8e"
    assert lease_name("cpu") != lease_name("mps")


def test_a_step_of_several_gives_the_device_back(tmp_path):
    """Else its run and one that waits for the device could wait for each other for ever."""
    compute = LeasedDevice(device="cpu")
    with compute.leased(ArtefactFolder(root=str(tmp_path))) as device:
        lock = next(tmp_path.glob("leases/*.lock"))
        with pytest.raises(Timeout):
            FileLock(lock).acquire(timeout=0)
    assert device == "cpu"
    with FileLock(lock).acquire(timeout=0):
        pass


def torch_has_cuda():
    import torch

    return torch.cuda.is_available()


def test_loading_the_code_location_imports_no_torch():
    code = "import sys, hoverfast_platform.assets.definitions; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=REPOSITORY)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_definitions_are_loadable(tmp_path):
    dg.Definitions.validate_loadable(build_definitions(tmp_path))
