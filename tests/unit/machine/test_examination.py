import json

import pytest

from hoverfast_platform.catalogue import Catalogue
from hoverfast_platform.catalogue.database import look_up_revision
from hoverfast_platform.errors import CatalogueError, CheckpointError
from hoverfast_platform.machine import examination, folders, hardware, parts
from hoverfast_platform.machine.examination import examine_machine


def test_a_machine_that_runs_these_tests_is_ready(tmp_path):
    found = {one.subject: one for one in examine_machine(tmp_path).findings}

    assert found["slide formats"].state == "ok", found["slide formats"]
    assert found["models"].text == "cross-organ, cross-organ-20x, cross-organ-lean: as released"
    assert str(tmp_path) in found["output folder"].text
    assert "is not there yet" in found["catalogue"].text
    assert list(tmp_path.iterdir()) == []  # nothing is left behind, no catalogue is made


def test_what_is_broken_is_found_and_stops_nothing(tmp_path, monkeypatch):
    def broken(_path):
        raise CheckpointError("cross-organ.safetensors was changed.", "Install again.")

    monkeypatch.setattr(parts, "check_builtin", broken)
    monkeypatch.setattr(examination, "gpu", lambda: 1 / 0)

    done = examine_machine(tmp_path)

    found = {one.subject: one for one in done.findings}
    assert done.n_wrong == 2
    assert (found["models"].state, found["models"].remedy) == ("wrong", "Install again.")
    assert found["GPU"].text == "ZeroDivisionError: division by zero"
    assert found["slide formats"].state == "ok"


def test_a_folder_that_cannot_be_written_is_wrong(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(NotADirectoryError):  # told as wrong by the examination
        (tmp_path / "file" / "x").mkdir()
    remark = folders.output_folder(tmp_path / "file")

    assert remark.state == "wrong"
    assert "cannot be written" in remark.text


def test_a_full_disk_is_wrong_and_a_fuller_one_is_noted(tmp_path, monkeypatch):
    for free, state in ((0.5e9, "wrong"), (5e9, "note"), (50e9, "ok")):
        usage = type("Usage", (), {"free": free})
        monkeypatch.setattr(folders.shutil, "disk_usage", lambda _folder, usage=usage: usage)
        assert folders.output_folder(tmp_path).state == state


def test_a_driver_without_a_gpu_that_torch_sees_is_wrong(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr(hardware.shutil, "which", lambda _name: "/usr/bin/nvidia-smi")

    remark = hardware.gpu()

    assert remark.state == "wrong"
    assert "sees no GPU" in remark.text
    assert remark.remedy


def test_little_memory_is_noted(monkeypatch):
    usage = type("Usage", (), {"available": 2**30, "total": 4 * 2**30})
    monkeypatch.setattr(hardware.psutil, "virtual_memory", lambda: usage)

    assert hardware.memory().state == "note"


def test_the_catalogue_is_looked_at_without_migrating_it(tmp_path):
    path = tmp_path / "catalogue.sqlite"
    Catalogue.open(path).close()
    newest = look_up_revision(path)
    assert folders.catalogue(tmp_path, None).text.endswith(f"is at revision {newest}")

    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '0001_first'")
    assert folders.catalogue(tmp_path, None).state == "note"
    assert "hoverfast catalogue upgrade" in folders.catalogue(tmp_path, None).remedy

    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999_later'")
    remark = folders.catalogue(tmp_path, None)
    assert (remark.state, remark.remedy) == ("wrong", "Update hoverfast_platform.")
    assert look_up_revision(path) == "9999_later"


def test_a_file_that_is_no_database_is_said(tmp_path):
    path = tmp_path / "catalogue.sqlite"
    path.write_bytes(b"not a database, but long enough to be taken for one" * 40)

    with pytest.raises(CatalogueError, match="cannot be read as a catalogue"):
        look_up_revision(path)


def test_findings_are_json(tmp_path):
    from hoverfast_platform.cli.json_text import json_text

    found = json.loads(json_text(examine_machine(tmp_path).findings))

    assert {"subject", "state", "text", "remedy"} == set(found[0])
