"""The pipeline as components: names, schema, settings that show, and a project of its own."""

import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest
from dagster.components.core.snapshot import get_package_entry_snap
from dagster_shared.serdes.objects import EnvRegistryKey
from dagster_shared.serdes.objects.package_entry import json_for_all_components

from hoverfast_platform.assets import launchpad
from hoverfast_platform.assets.components import Cohort, Segmentation, SlideFolder, Statistics
from hoverfast_platform.assets.names import Names
from hoverfast_platform.assets.partitions import range_tags
from hoverfast_platform.config import (
    ArtefactDetection,
    HistoQc,
    InstanceDecoding,
    MaskImport,
    MaskSettings,
    Outlines,
    SegmentationSettings,
    Tiling,
    TissueDetection,
)
from hoverfast_platform.synthetic import write_synthetic_slide
from tests.conftest import REPOSITORY


def pipeline(name, folder, *, cohorts=(), **of_segmentation):
    """Definitions of one pipeline, as its YAML would make them."""
    slides = SlideFolder.from_attributes_dict(
        attributes={"pipeline": name, "artefacts": str(folder / (name or "first"))}
    )
    segmentation = Segmentation.from_attributes_dict(
        attributes={"pipeline": name, **of_segmentation}
    )
    cohorts = [
        Cohort.from_attributes_dict(attributes={"pipeline": name, **cohort}) for cohort in cohorts
    ]
    return dg.Definitions.merge(
        *map(dg.build_defs_for_component, (slides, *cohorts)), segmentation.definitions(cohorts)
    )


@pytest.mark.parametrize(
    ("launched", "engine", "elsewhere"),
    [
        (launchpad.TilingConfig, Tiling, set()),
        (launchpad.DecodingConfig, InstanceDecoding, set()),
        (launchpad.OutlinesConfig, Outlines, set()),
        (launchpad.MaskConfig, MaskSettings, set()),
        (launchpad.TissueConfig, TissueDetection, set()),
        (launchpad.ArtefactConfig, ArtefactDetection, set()),
        (launchpad.HistoQcConfig, HistoQc, set()),
        (launchpad.MaskImportConfig, MaskImport, set()),
        # Scale and stain are each slide's own; tissue is what the mask says.
        (launchpad.SegmentationConfig, SegmentationSettings, {"scale", "staining", "tissue"}),
    ],
)
def test_launchpad_offers_every_setting_of_the_engine_with_its_text(launched, engine, elsewhere):
    offered = launched.model_fields

    missing = engine.model_fields.keys() - elsewhere - offered.keys()
    assert not missing
    assert all(
        field.description
        for name, field in offered.items()
        if launched is not engine
        and name in engine.model_fields
        and engine.model_fields[name].description
    )


def test_pipelines_of_one_code_location_share_no_name(tmp_path):
    plan = {"name": "biopsies", "plan": {"slides_like": "*.svs"}}
    first = pipeline("", tmp_path, cohorts=[{}])
    second = pipeline("liver", tmp_path, cohorts=[plan])

    both = dg.Definitions.merge(first, second)

    dg.Definitions.validate_loadable(both)
    keys = {key.to_user_string() for key in both.resolve_all_asset_keys()}
    assert {"nuclei", "liver/nuclei", "promoted_model", "liver/biopsies/promoted_model"} <= keys
    liver_model = both.get_assets_def(dg.AssetKey(["liver", "segmentation_model"]))
    assert liver_model.get_asset_spec().deps == [
        dg.AssetDep(dg.AssetKey(["liver", "biopsies", "promoted_model"]))
    ]
    assert Names("liver").slides.name != Names().slides.name


def test_wrong_attribute_is_named():
    with pytest.raises(Exception, match=r"mask\.MaskSettings\.engin\b"):
        Segmentation.from_attributes_dict(attributes={"mask": {"engin": "builtin"}})
    with pytest.raises(Exception, match="a `name` and a `plan`, or neither"):
        Cohort.from_attributes_dict(attributes={"name": "biopsies"})


def test_attributes_are_the_defaults_of_the_launchpad(tmp_path):
    defs = pipeline("liver", tmp_path, segmentation={"tiling": {"tile_size_px": 512}})

    field = defs.get_assets_def(
        dg.AssetKey(["liver", "nuclei"])
    ).op.config_schema.config_type.fields["tiling"]
    assert field.default_value["tile_size_px"] == 512
    assert "tile" in field.config_type.fields["tile_size_px"].description


@pytest.mark.parametrize("component", [SlideFolder, Segmentation, Cohort, Statistics])
def test_dagster_writes_documentation_and_an_example_of_it(component):
    """What the Docs page and `dg list components` are made of; every lab's project loads it."""
    key = EnvRegistryKey("hoverfast_platform.assets.components", component.__name__)
    snap = get_package_entry_snap(key, component)

    assert json_for_all_components([snap])
    assert f"hoverfast_platform.{component.__name__}" in [a.to_typename() for a in snap.aliases]


def version_of(defs, asset):
    return defs.get_assets_def(asset).get_asset_spec().code_version


def test_settings_of_an_engine_that_is_not_used_make_nothing_stale(tmp_path):
    plain = version_of(pipeline("", tmp_path), "mask_settings")

    assert version_of(pipeline("", tmp_path, mask={"histoqc": {"seed": 7}}), "mask_settings") == (
        plain
    )
    changed = pipeline("", tmp_path, mask={"builtin": {"dilation_um": 8.0}})
    assert version_of(changed, "mask_settings") != plain


def with_rules(tmp_path, rules):
    slides = SlideFolder.from_attributes_dict(
        attributes={"artefacts": str(tmp_path / "artefacts"), "staining": {"rules": rules}}
    )
    return dg.Definitions.merge(dg.build_defs_for_component(slides), Segmentation().definitions())


def test_a_stain_rule_concerns_the_slides_it_names_and_no_other(tmp_path):
    """Every slide is looked at again, and only those of another stain are segmented again."""
    before = with_rules(tmp_path, [])
    store = before.resources["store"]
    keys = []
    for i in range(2):
        path = tmp_path / f"s{i}.tiff"
        write_synthetic_slide(path, width_px=144, height_px=128, seed=i)
        keys.append(store.register(path))
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("slides", keys)

        def look(defs):
            done = dg.materialize(
                [defs.get_assets_def("stain")],
                instance=instance,
                resources=defs.resources,
                tags=range_tags(keys),
            )
            assert done.success

        look(before)
        for asset in ("segmentation_model", "mask_settings", "segmentation_settings"):
            instance.report_runless_asset_event(dg.AssetMaterialization(asset))
        for asset in ("slide", "tissue_mask", "nuclei"):
            for key in keys:
                instance.report_runless_asset_event(dg.AssetMaterialization(asset, partition=key))
        first = dg.evaluate_automation_conditions(before, instance)

        after = with_rules(tmp_path, [{"files": "s1.tiff", "staining": {"stain": "ihc_dab"}}])
        second = dg.evaluate_automation_conditions(after, instance, cursor=first.cursor)
        assert second.get_requested_partitions(dg.AssetKey("stain")) == set(keys)
        look(after)
        third = dg.evaluate_automation_conditions(after, instance, cursor=second.cursor)

    assert third.get_requested_partitions(dg.AssetKey("nuclei")) == {keys[1]}


PROJECT = {
    "pyproject.toml": """
        [project]
        name = "lab"
        version = "0"
        [tool.dg]
        directory_type = "project"
        [tool.dg.project]
        root_module = "lab"
        """,
    "lab/__init__.py": "",
    "lab/defs/__init__.py": "",
    "lab/definitions.py": """
        from pathlib import Path
        import dagster as dg

        @dg.definitions
        def defs():
            return dg.load_from_defs_folder(path_within_project=Path(__file__).parent)
        """,
    "segment.py": """
        import pathlib, sys
        import dagster as dg
        import hoverfast_platform
        from lab.definitions import defs

        assert "site" in hoverfast_platform.__file__, hoverfast_platform.__file__
        found = defs()
        resources = dict(found.resources)
        key = resources["liver_store"].register(pathlib.Path("slides/liver/a.tiff").absolute())
        with dg.DagsterInstance.ephemeral() as instance:
            instance.add_dynamic_partitions("liver_slides", [key])
            names = ("slide", "stain", "tissue_mask", "nuclei")
            done = dg.materialize(
                [found.get_assets_def(dg.AssetKey(["liver", name])) for name in names],
                partition_key=key, instance=instance, resources=resources,
            )
        (event,) = done.asset_materializations_for_node("liver__nuclei")
        assert event.metadata["n_nuclei"].value > 0
        assert not {"assets", "resources"} & set(sys.modules)
        print("nuclei:", event.metadata["n_nuclei"].value)
        """,
}


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_lab_makes_a_pipeline_in_its_own_project_from_our_wheel(tmp_path):
    import textwrap

    def run(*words):
        done = subprocess.run(
            [str(word) for word in words],
            cwd=project,
            env=os.environ | {"PYTHONPATH": f"{site}:{project}", "NO_COLOR": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    project, site = tmp_path / "project", tmp_path / "site"
    for name, text in PROJECT.items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(textwrap.dedent(text))
    pip = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")
    run(*pip, "wheel", "--no-deps", "--wheel-dir", tmp_path, REPOSITORY)
    run(*pip, "install", "--no-deps", "--target", site, next(tmp_path.glob("*.whl")))
    assert not {"assets", "resources", "tests"} & {path.name for path in site.iterdir()}

    dg_program = Path(sys.executable).parent / "dg"
    run(dg_program, "scaffold", "defs", "hoverfast_platform.SlideFolder", "liver")
    run(dg_program, "check", "yaml")
    run(dg_program, "check", "defs")
    (project / "slides/liver").mkdir(parents=True)
    write_synthetic_slide(project / "slides/liver/a.tiff", width_px=448, height_px=400)

    assert "nuclei:" in run(sys.executable, "-W", "ignore", "segment.py")
