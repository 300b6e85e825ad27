import os
from pathlib import Path

import yaml

from hoverfast_platform.machine.local_platform import prepare_platform


def test_a_new_folder_becomes_a_platform(tmp_path):
    made = prepare_platform(tmp_path / "lab", {"PATH": "/bin"}, port=3010, viewer_port=3011)

    lab = tmp_path / "lab"
    assert {path.name for path in lab.iterdir()} == {
        "slides", "artefacts", "dagster", "workspace.yaml"
    }  # fmt: skip
    instance = yaml.safe_load((lab / "dagster/dagster.yaml").read_text())
    assert instance["concurrency"]["pools"]["default_limit"] == 1
    (location,) = yaml.safe_load(made.workspace.read_text())["load_from"]
    assert location["python_module"]["module_name"] == "hoverfast_platform.assets.definitions"
    assert made.environment == {
        "PATH": "/bin",
        "DAGSTER_HOME": str(lab / "dagster"),
        "HOVERFAST_ARTEFACTS": str(lab / "artefacts"),
        "HOVERFAST_SLIDES": str(lab / "slides"),
        "HOVERFAST_SENSORS": "on",
        "HOVERFAST_UI_URL": "http://127.0.0.1:3010",
        "HOVERFAST_VIEWER_URL": "http://127.0.0.1:3011/",
    }


def test_what_is_there_or_said_stays(tmp_path):
    prepare_platform(tmp_path, {}, port=3000, viewer_port=None)
    (tmp_path / "dagster/dagster.yaml").write_text("telemetry: {enabled: true}")
    (tmp_path / "workspace.yaml").write_text("load_from: []")
    elsewhere = {
        "HOVERFAST_SLIDES": os.pathsep.join(["/a", "/b"]),
        "HOVERFAST_SENSORS": "off",
        "HOVERFAST_ARTEFACTS": str(tmp_path / "results"),
    }

    again = prepare_platform(tmp_path, elsewhere, port=3000, viewer_port=None)

    assert (tmp_path / "dagster/dagster.yaml").read_text() == "telemetry: {enabled: true}"
    assert again.workspace.read_text() == "load_from: []"
    assert elsewhere.items() <= again.environment.items()
    assert "HOVERFAST_VIEWER_URL" not in again.environment
    assert again.artefacts == tmp_path / "results"
    assert Path(again.artefacts).is_dir()
    assert again.slides == os.pathsep.join(["/a", "/b"])
