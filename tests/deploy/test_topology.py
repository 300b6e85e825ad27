"""Slides segmented by the processes of compose.yaml, each killed and started again in turn."""

import itertools
import json
import statistics
import urllib.error

import pytest

from hoverfast_platform.synthetic import write_synthetic_slide
from tests.deploy.topology import Topology

pytestmark = pytest.mark.topology

NUCLEI = """{assetNodeOrError(assetKey: {path: ["nuclei"]}) {... on AssetNode {
    partitionStats {numMaterialized numFailed numPartitions}}}}"""
RUNS = "{runsOrError {... on Runs {results {runId status assetSelection {path}}}}}"
DAEMONS = "{instance {daemonHealth {allDaemonStatuses {daemonType healthy required}}}}"
LOCATIONS = """{workspaceOrError {... on Workspace {locationEntries {
    name locationOrLoadError {__typename}}}}}"""


@pytest.fixture(scope="module")
def platform(postgres_server, tmp_path_factory):
    folder = tmp_path_factory.mktemp("topology") / "platform"
    with Topology(folder, postgres_server).running() as platform:
        yield platform
        print_delays(platform)


DELAYS = """SELECT extract(epoch FROM min(timestamp) FILTER (WHERE dagster_event_type = '{}'))
    FROM event_logs GROUP BY run_id ORDER BY run_id"""
STEPS = ("PIPELINE_ENQUEUED", "PIPELINE_STARTING", "PIPELINE_START", "STEP_START")


def print_delays(platform):
    """What a run costs before its step begins, for docs/scaling.md."""
    times = {
        step: [at for (at,) in platform.postgres.sql(DELAYS.format(step), "dagster")]
        for step in STEPS
    }
    for before, after in itertools.pairwise(STEPS):
        pairs = zip(times[before], times[after], strict=True)
        seconds = sorted(float(b - a) for a, b in pairs if a is not None and b is not None)
        print(  # noqa: T201 - shown by `make test-topology`
            f"\n{before} to {after}: {seconds[0]:.1f} to {seconds[-1]:.1f} s, "
            f"median {statistics.median(seconds):.1f} s, {len(seconds)} runs"
        )


def add_slide(platform, seed):
    folder = platform.folder / "coming"
    folder.mkdir(exist_ok=True)
    path = folder / f"slide-{seed}.tiff"
    write_synthetic_slide(path, width_px=400, height_px=300, seed=seed)
    path.rename(platform.slides / path.name)


def n_segmented(platform):
    try:
        return platform.ask(NUCLEI)["assetNodeOrError"]["partitionStats"]["numMaterialized"]
    except (OSError, urllib.error.URLError, KeyError, TypeError):
        return 0  # a restart: the webserver is up, the code location not loaded yet


def wait_until_segmented(platform, n):
    platform.wait_for(lambda: n_segmented(platform) >= n, f"{n} segmented slides", within_s=1_200)


def segmentations(platform):
    return platform.postgres.sql("SELECT run_id, n_nuclei FROM segmentations", "hoverfast")


def test_two_slides_are_segmented_without_a_click(platform):
    add_slide(platform, 1)
    add_slide(platform, 2)

    wait_until_segmented(platform, 2)

    assert len(segmentations(platform)) == 2
    results = list(platform.artefacts.glob("nuclei/*/*.json.gz"))
    assert len(results) == 2
    assert not (platform.artefacts / "catalogue.sqlite").exists()
    (entry,) = platform.ask(LOCATIONS)["workspaceOrError"]["locationEntries"]
    assert entry == {
        "name": "hoverfast",
        "locationOrLoadError": {"__typename": "RepositoryLocation"},
    }


def test_processes_that_are_killed_in_turn_and_started_again_go_on(platform):
    """A slide comes while each is away; killing the code server also ends what runs then."""
    for n, name in enumerate(("webserver", "daemon", "code"), start=3):
        platform.kill(name)
        add_slide(platform, n)
        platform.start(name)

    wait_until_segmented(platform, 5)

    assert len(segmentations(platform)) == 5


def test_postgresql_that_is_killed_and_started_again_goes_on(platform):
    """Without a goodbye: all connections of all processes break."""
    platform.postgres.kill()
    add_slide(platform, 6)
    platform.postgres.start()
    # What gave up meanwhile is started again by `restart: unless-stopped`.
    for name in ("webserver", "daemon", "code"):
        if platform.has_ended(name):
            platform.start(name)

    wait_until_segmented(platform, 6)

    assert len(segmentations(platform)) == 6


def test_run_whose_code_server_is_killed_is_given_up_and_its_slide_segmented_again(platform):
    add_slide(platform, 7)
    platform.wait_for(lambda: running_nuclei(platform), "a run that segments", within_s=900)
    platform.kill("code")
    platform.start("code")

    wait_until_segmented(platform, 7)

    assert len(segmentations(platform)) == 7


def running_nuclei(platform):
    return [
        run["runId"]
        for run in platform.ask(RUNS)["runsOrError"]["results"]
        if run["status"] == "STARTED" and {"path": ["nuclei"]} in (run["assetSelection"] or [])
    ]


def test_nothing_was_segmented_twice_and_all_daemons_are_well(platform):
    statuses = platform.ask(DAEMONS)["instance"]["daemonHealth"]["allDaemonStatuses"]

    assert all(status["healthy"] for status in statuses if status["required"])
    keys = platform.postgres.sql("SELECT slide_id FROM segmentations", "hoverfast")
    assert len(keys) == len(set(keys))


def test_password_is_in_no_log_and_on_no_page(platform):
    from tests.postgres_server import PASSWORD

    resources = platform.ask(
        """{repositoryOrError(repositorySelector: {repositoryName: "__repository__",
        repositoryLocationName: "hoverfast"}) {... on Repository {allTopLevelResourceDetails {
        name configuredValues {key value type}}}}}"""
    )
    said = json.dumps(resources) + "".join(
        platform.log(name) for name in ("code", "webserver", "daemon")
    )

    assert "HOVERFAST_CATALOGUE" in said  # its name is shown
    assert PASSWORD not in said
    assert "s3cret" not in said


def test_backup_restored_into_an_empty_server_is_whole(platform, tmp_path):
    """The commands of deploy/README.md: dumped while all runs, restored with all stopped."""
    before, n = platform.once("hoverfast", "catalogue", "info"), n_segmented(platform)
    urls = {name: platform.postgres.url(name) for name in ("hoverfast", "dagster")}
    for name, url in urls.items():
        dump = str(tmp_path / f"{name}.dump")
        platform.postgres.client("pg_dump", "--format=custom", f"--file={dump}", f"--dbname={url}")
    for name in ("daemon", "webserver", "code"):
        platform.kill(name)
    for name, url in urls.items():
        platform.postgres.sql(f"DROP DATABASE {name} WITH (FORCE)")
        platform.postgres.sql(f"CREATE DATABASE {name}")
        platform.postgres.client("pg_restore", f"--dbname={url}", str(tmp_path / f"{name}.dump"))
    for name in ("code", "webserver"):
        platform.start(name)

    assert platform.once("hoverfast", "catalogue", "info") == before
    platform.wait_for(lambda: n_segmented(platform) == n, f"{n} segmented slides", within_s=300)
