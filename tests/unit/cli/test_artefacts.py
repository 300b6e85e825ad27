"""What people do with the store that machines share."""

import json

import pytest
from click.testing import CliRunner

from hoverfast_platform.cli.artefacts import command
from hoverfast_platform.errors import SettingsError, SharedStoreUnavailableError, StorageError
from hoverfast_platform.storage.object_store import ObjectStore
from hoverfast_platform.storage.shared_artefacts import SharedArtefacts
from tests.s3_server import CREDENTIALS, start_s3


@pytest.fixture
def lab(tmp_path, monkeypatch):
    """A working folder with a result of two files, and an empty store named by the environment."""
    (tmp_path / "share").mkdir()
    monkeypatch.setenv("HOVERFAST_SHARED", (tmp_path / "share").as_uri())
    folder = tmp_path / "lab" / "nuclei" / "s-1"
    folder.mkdir(parents=True)
    (folder / "s.parquet").write_bytes(b"nuclei" * 99)
    (folder / "s.summary.json").write_text("{}")
    return tmp_path


def hoverfast(*words, exit_code=0):
    done = CliRunner().invoke(command, list(map(str, words)), catch_exceptions=False)
    assert done.exit_code == exit_code, done.output
    return done.stdout


def test_published_listed_fetched_and_removed(lab):
    assert "nuclei/s-1  2 files" in hoverfast("publish", lab / "lab", "nuclei")
    assert "nuclei/s-1" in hoverfast("list")
    assert hoverfast("list", "masks") == ""
    (told,) = json.loads(hoverfast("list", "nuclei", "--json"))
    assert [file["name"] for file in told["files"]] == [
        "nuclei/s-1/s.parquet",
        "nuclei/s-1/s.summary.json",
    ]

    hoverfast("fetch", lab / "all")
    hoverfast("fetch", lab / "one", "nuclei/s-1")

    for folder in ("all", "one"):
        assert (lab / folder / "nuclei/s-1/s.parquet").read_bytes() == b"nuclei" * 99
    with pytest.raises(StorageError, match="has nothing called masks"):
        hoverfast("fetch", lab / "one", "masks")
    assert hoverfast("remove", "nuclei/s-1") == "1 of 1 removed.\n"
    assert hoverfast("remove", "nuclei/s-1", exit_code=1) == "0 of 1 removed.\n"
    assert hoverfast("list") == ""
    assert ObjectStore((lab / "share").as_uri()).names("parts") == ()
    assert (lab / "lab/nuclei/s-1/s.parquet").is_file()


def test_a_model_from_elsewhere_is_published_with_what_lies_beside_it(lab):
    weights = lab / "mine" / "ours.safetensors"
    weights.parent.mkdir()
    for path in (weights, weights.with_suffix(".json"), weights.with_suffix(".int8.xml")):
        path.write_bytes(path.name.encode())
    (weights.parent / "notes.txt").write_text("mine")

    assert "3 files" in hoverfast("publish-model", weights)

    shared = SharedArtefacts(lab / "other", ObjectStore((lab / "share").as_uri()))
    (name,) = [manifest.name for manifest in shared.manifests()]
    found = shared.fetch_model(name.removeprefix("models/"))
    assert found.read_bytes() == b"ours.safetensors"
    assert found.with_suffix(".int8.xml").is_file()


def test_sweeping_says_what_it_removed_and_takes_no_young_parts(lab):
    ObjectStore((lab / "share").as_uri()).write("parts/ab/left", b"x")

    assert hoverfast("sweep") == "0 parts removed, 0.0 MiB.\n"
    assert "Usage" in CliRunner().invoke(command, ["sweep", "--older-than-days", "0"]).stderr


def told(url, monkeypatch, error, **environment):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(error) as caught:
        hoverfast("list", "--shared", url)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_store_that_cannot_be_used_says_why_in_one_line(s3_url, s3_server, lab, monkeypatch):
    assert "there is no bucket nobody-made-it" in told(
        "s3://nobody-made-it/x", monkeypatch, SettingsError
    )
    assert f"there is no folder {lab}/unmounted" in told(
        (lab / "unmounted").as_uri(), monkeypatch, SettingsError
    )
    assert "needs a package that is not installed" in told("gs://x/y", monkeypatch, SettingsError)
    assert "needs a package that is not installed" in told("nfs4://x", monkeypatch, SettingsError)
    away = told(s3_url, monkeypatch, SharedStoreUnavailableError,
                AWS_ENDPOINT_URL="http://127.0.0.1:9")  # fmt: skip
    assert "Check the network" in away


def test_wrong_or_no_credentials_are_said_in_one_line(lab, monkeypatch):
    strict = start_s3(INITIAL_NO_AUTH_ACTION_COUNT="0")
    try:
        for name, value in strict.environment.items():
            monkeypatch.setenv(name, value)
        refused = told("s3://lab/x", monkeypatch, SettingsError)
        assert "refuses these credentials" in refused
        assert CREDENTIALS["AWS_SECRET_ACCESS_KEY"] not in refused
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.delenv(name)
        assert "or there are none" in told("s3://lab/x", monkeypatch, SettingsError)
    finally:
        strict.stop()
