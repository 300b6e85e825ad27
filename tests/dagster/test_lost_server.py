"""The server of catalogue and Dagster: asked through few connections, outlived when it goes."""

import threading
import uuid

import dagster as dg
import pytest
from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.pool import NullPool

from hoverfast_platform.assets.definitions import build_definitions
from hoverfast_platform.catalogue.transfer import count_rows
from hoverfast_platform.synthetic import write_synthetic_slide
from tests.dagster.parts import nuclei, slide, stain, tissue_mask
from tests.scaling.fake_predictor import FakeDevice, FakePredictor

pytestmark = pytest.mark.parametrize("catalogue_location", ["postgresql"], indirect=True)


def with_driver(url):
    """SQLAlchemy's own default differs between versions."""
    return url.replace("postgresql://", "postgresql+psycopg2://")


@pytest.fixture
def instance(postgres_server):
    """Dagster's storage on the server that has the catalogue."""
    url = with_driver(postgres_server.make_database(f"dagster_{uuid.uuid4().hex}"))
    overrides = {"storage": {"postgres": {"postgres_url": url}}, "telemetry": {"enabled": False}}
    with dg.instance_for_test(overrides=overrides) as instance:
        yield instance


def test_run_outlives_a_restart_of_the_server(
    tmp_path, catalogue_location, postgres_server, instance
):
    restarts = []

    class WhileAway(FakePredictor):
        def predict(self, regions):
            if not restarts:
                postgres_server.kill()
                restarts.append(threading.Timer(2, postgres_server.start))
                restarts[0].start()
            return super().predict(regions)

    class Device(FakeDevice):
        def predictor(self):
            return WhileAway()

    defs = build_definitions(tmp_path / "artefacts", catalogue=catalogue_location)
    compute = Device(lease_dir=str(tmp_path))
    resources = {**defs.resources, "compute": compute}
    write_synthetic_slide(tmp_path / "s.tiff", width_px=320, height_px=256)
    key = resources["store"].register(tmp_path / "s.tiff")
    instance.add_dynamic_partitions("slides", [key])
    result = dg.materialize(
        [slide, stain, tissue_mask, nuclei],
        partition_key=key,
        instance=instance,
        resources=resources,
    )
    restarts[0].join()

    assert result.success
    rows = count_rows(catalogue_location)
    assert (rows["segmentations"], rows["failures"]) == (1, 0)


def test_batch_asks_the_server_through_few_connections_and_gives_them_back(
    tmp_path, catalogue_location, instance
):
    """One per statement made a slide three times as slow: a batch must not need more of them."""
    connected = []
    resources = build_definitions(tmp_path / "artefacts", catalogue=catalogue_location).resources
    for i in range(6):
        write_synthetic_slide(tmp_path / f"{i}.tiff", width_px=144, height_px=128, seed=i)
    keys = [resources["store"].register(tmp_path / f"{i}.tiff") for i in range(6)]
    instance.add_dynamic_partitions("slides", keys)

    def run(keys):
        connected.clear()
        result = dg.materialize(
            [slide],
            instance=instance,
            resources=resources,
            tags={
                "dagster/asset_partition_range_start": keys[0],
                "dagster/asset_partition_range_end": keys[-1],
            },
        )
        assert result.success
        return len(connected)

    def note(dialect, record, cargs, cparams):
        connected.append(cparams)

    event.listen(Engine, "do_connect", note)
    try:
        of_two, of_four = run(keys[:2]), run(keys[2:])
    finally:
        event.remove(Engine, "do_connect", note)

    # What is left are Dagster's connections before and after the step; two slides more made
    # some twenty when there was one per statement.
    assert of_four < of_two + 5
    assert instance.get_materialized_partitions(dg.AssetKey("slide")) == set(keys)
    assert isinstance(instance.event_log_storage._engine.pool, NullPool)
    for url in (instance.event_log_storage.postgres_url, with_driver(catalogue_location)):
        name = url.rsplit("/", 1)[1]
        count = f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{name}'"
        assert postgres_connections(url, count) == 1  # that of the question


def postgres_connections(url, count):
    engine = create_engine(url)
    with engine.connect() as connection:
        n = connection.scalar(text(count))
    engine.dispose()
    return n
