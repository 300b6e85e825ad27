"""Partition keys and file names that lead out of the artefact folder write nothing there."""

import dagster as dg
import pytest

from hoverfast_platform.assets.definitions import build_definitions
from hoverfast_platform.catalogue.rows import readable_key
from hoverfast_platform.errors import SettingsError
from hoverfast_platform.synthetic import write_synthetic_slide
from tests.dagster.parts import nuclei, tissue_mask


@pytest.mark.parametrize("key", ["../../outside", "..", "/tmp/outside"])
@pytest.mark.parametrize("asset", [tissue_mask, nuclei])
def test_partition_key_that_leads_elsewhere_writes_nothing(tmp_path, key, asset):
    """Whoever reaches the UI may add a partition of any name."""
    artefacts = tmp_path / "a" / "artefacts"
    resources = build_definitions(artefacts).resources
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("slides", [key])
        result = dg.materialize(
            [asset],
            partition_key=key,
            instance=instance,
            resources=resources,
            raise_on_error=False,
        )

    assert not result.success
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["artefacts"]
    assert not list(artefacts.rglob("outside*"))


def test_catalogue_with_a_forged_key_writes_nothing_elsewhere(tmp_path):
    resources = build_definitions(tmp_path / "artefacts").resources
    store = resources["store"]

    forged = store.slide("../../outside")
    with pytest.raises(SettingsError, match="another folder"):
        _ = forged.mask_path
    with pytest.raises(SettingsError, match="another folder"):
        _ = forged.nuclei_dir


@pytest.mark.parametrize("name", ["../../x.svs", "..svs", "a/b.svs", "\x00.svs", "$(rm -rf x).svs"])
def test_key_of_a_slide_is_one_harmless_name(name):
    key = readable_key(name, "a" * 64)

    assert set(key) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
    assert not key.startswith((".", "-"))


def test_slide_of_an_odd_name_stays_in_its_folder(tmp_path):
    path = tmp_path / "slides" / "..%2f..%2f$(x) ;.tiff"
    path.parent.mkdir()
    write_synthetic_slide(path, width_px=144, height_px=128)
    resources = build_definitions(tmp_path / "artefacts").resources

    key = resources["store"].register(path)

    folder = resources["store"].slide(key).nuclei_dir.resolve()
    assert folder.parent == (tmp_path / "artefacts" / "nuclei").resolve()
