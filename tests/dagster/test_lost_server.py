"""The catalogue's server goes away while a slide is segmented."""

import threading

import dagster as dg
import pytest

from assets.definitions import build_definitions
from assets.segmentation import nuclei
from assets.slides import slide
from assets.tissue_masks import tissue_mask
from hoverfast_platform.catalogue.transfer import count_rows
from hoverfast_platform.synthetic import write_synthetic_slide
from tests.scaling.fake_predictor import FakePredictor


@pytest.mark.parametrize("catalogue_location", ["postgresql"], indirect=True)
def test_run_outlives_a_restart_of_the_server(
    tmp_path, catalogue_location, postgres_server, monkeypatch
):
    restarts = []

    class WhileAway(FakePredictor):
        def predict(self, regions):
            if not restarts:
                postgres_server.kill()
                restarts.append(threading.Timer(2, postgres_server.start))
                restarts[0].start()
            return super().predict(regions)

    monkeypatch.setattr(
        "hoverfast_platform.inference.engine.make_predictor", lambda model, compute: WhileAway()
    )
    resources = build_definitions(tmp_path / "artefacts", catalogue=catalogue_location).resources
    write_synthetic_slide(tmp_path / "s.tiff", width_px=256, height_px=256)
    key = resources["store"].register(tmp_path / "s.tiff")
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("slides", [key])
        result = dg.materialize(
            [slide, tissue_mask, nuclei],
            partition_key=key,
            instance=instance,
            resources=resources,
        )
    restarts[0].join()

    assert result.success
    rows = count_rows(catalogue_location)
    assert (rows["segmentations"], rows["failures"]) == (1, 0)
