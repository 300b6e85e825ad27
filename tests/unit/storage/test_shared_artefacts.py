"""Artefacts in a store that machines share: whole or not at all, whatever happens."""

import datetime
import os
import threading
import uuid

import pytest

from hoverfast_platform.errors import SettingsError, StorageError
from hoverfast_platform.storage.object_store import ObjectStore
from hoverfast_platform.storage.shared_artefacts import SharedArtefacts
from tests.attack.effort import IS_FULL, steps
from tests.killed_at import killed_before_request

WEEK = datetime.timedelta(days=7)
NUCLEI = {"s.parquet": b"nuclei" * 900, "s.json.gz": b"", "deep/s.summary.json": b'{"n": 3}'}


@pytest.fixture(params=["file", "memory", "s3"])
def url(request, tmp_path):
    """A store of each kind, empty."""
    if request.param == "s3":
        return request.getfixturevalue("s3_url")
    if request.param == "memory":
        return f"memory://{uuid.uuid4().hex}"
    (tmp_path / "share").mkdir()
    return (tmp_path / "share").as_uri()


@pytest.fixture
def machine(tmp_path, url):
    """Makes a machine: a working folder of its own, and the store."""
    return lambda name: SharedArtefacts(tmp_path / name, ObjectStore(url))


def put(machine, name, files):
    """Files of an artefact in a machine's working folder; its place."""
    for file, content in files.items():
        path = machine.root / name / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return machine.root / name


def seen(machine, name):
    """The visible files of an artefact in a machine's working folder."""
    place = machine.root / name
    files = {path.relative_to(place) for path in place.rglob("*") if path.is_file()}
    return {
        file.as_posix(): (place / file).read_bytes()
        for file in files
        if not any(part.startswith(".") for part in file.parts)
    }


def test_what_one_machine_publishes_another_has_byte_for_byte(machine):
    a, b = machine("a"), machine("b")
    place = put(a, "nuclei/s-1", NUCLEI)
    put(a, "nuclei/s-1", {".hoverfast/blocks/0.npz": b"unfinished"})
    mask = put(a, "masks", {"s-1.png": b"mask"}) / "s-1.png"
    a.publish(place)
    a.publish(mask)

    assert b.bring(b.root / "nuclei" / "s-1") == b.root / "nuclei" / "s-1"
    b.bring(b.root / "masks" / "s-1.png")

    assert seen(b, "nuclei/s-1") == NUCLEI
    assert not (b.root / "nuclei" / "s-1" / ".hoverfast").exists()
    assert (b.root / "masks" / "s-1.png").read_bytes() == b"mask"
    assert [found.name for found in b.manifests()] == ["masks/s-1.png", "nuclei/s-1"]
    assert b.fetch("masks/s-2.png") is None
    assert b.bring(b.root / "leases" / "cpu.lock") == b.root / "leases" / "cpu.lock"


def test_a_newer_version_replaces_the_one_here_and_leaves_unfinished_work(machine):
    a, b = machine("a"), machine("b")
    a.publish(put(a, "nuclei/s", NUCLEI))
    b.fetch("nuclei/s")
    put(b, "nuclei/s", {".hoverfast/blocks/0.npz": b"unfinished"})
    (a.root / "nuclei/s/deep/s.summary.json").unlink()
    a.publish(put(a, "nuclei/s", {"s.parquet": b"other nuclei"}))

    b.fetch("nuclei/s")

    assert seen(b, "nuclei/s") == {"s.parquet": b"other nuclei", "s.json.gz": b""}
    assert (b.root / "nuclei/s/.hoverfast/blocks/0.npz").read_bytes() == b"unfinished"


def test_bytes_that_are_there_are_not_sent_or_fetched_again(machine, monkeypatch):
    moved = []
    for way in ("upload", "download"):
        plain = getattr(ObjectStore, way)
        monkeypatch.setattr(
            ObjectStore,
            way,
            lambda self, *args, plain=plain, way=way: moved.append(way) or plain(self, *args),
        )
    a, b = machine("a"), machine("b")
    student = put(a, "students/x-v1", {"student.safetensors": b"weights", "student.json": b"{}"})
    first = a.publish(student)
    assert moved == ["upload"] * 2

    assert a.publish(student) == first  # unchanged: it keeps its manifest
    a.publish_model(student / "student.safetensors", first.files[1].sha256)
    assert moved == ["upload"] * 2
    found = b.fetch_model(first.files[1].sha256)
    b.fetch_model(first.files[1].sha256)
    assert moved == ["upload"] * 2 + ["download"] * 2
    assert found.read_bytes() == b"weights"
    assert found.with_suffix(".json").read_bytes() == b"{}"
    assert b.fetch_model("0" * 64) is None


def test_of_two_writers_the_later_manifest_counts_and_both_are_whole(machine, monkeypatch):
    a, b, reader = machine("a"), machine("b"), machine("c")
    place_a, place_b = put(a, "nuclei/s", {"t": b"of a"}), put(b, "nuclei/s", {"t": b"of b"})
    write, n_written = a.store.write, []

    def slow_write(name, content):
        """All parts of a are sent; b publishes; then a writes its manifest."""
        b.publish(place_b)
        reader.fetch("nuclei/s")
        n_written.append(seen(reader, "nuclei/s"))
        write(name, content)

    monkeypatch.setattr(a.store, "write", slow_write)
    a.publish(place_a)
    reader.fetch("nuclei/s")

    assert n_written == [{"t": b"of b"}]
    assert seen(reader, "nuclei/s") == {"t": b"of a"}


def test_many_at_once_see_one_whole_version(machine):
    writers = [machine(f"w{i}") for i in range(4)]
    wanted = [{"x": bytes([i]) * 70_000, "y": bytes([i]) * 70_000} for i in range(4)]
    threads = [
        threading.Thread(target=writer.publish, args=[put(writer, "nuclei/s", files)])
        for writer, files in zip(writers, wanted, strict=True)
    ]
    for thread in threads:
        thread.start()
    reader = machine("reader")
    while any(thread.is_alive() for thread in threads):
        if reader.fetch("nuclei/s") is not None:
            assert seen(reader, "nuclei/s") in wanted
    for thread in threads:
        thread.join()
    reader.fetch("nuclei/s")

    assert seen(reader, "nuclei/s") in wanted


def test_killed_before_any_request_nothing_is_visible_and_the_next_try_completes(tmp_path, s3_url):
    a = SharedArtefacts(tmp_path / "a", ObjectStore(s3_url))
    place = put(a, "nuclei/s", NUCLEI)

    def publish(folder):
        SharedArtefacts(a.root, ObjectStore(f"{s3_url}/{folder}")).publish(place)

    n_kills = n_left_parts = 0
    for n in steps(sample_every=4):
        store = ObjectStore(f"{s3_url}/{n}")
        b = SharedArtefacts(tmp_path / f"b{n}", store)
        if not killed_before_request(n, lambda n=n: publish(n)):
            break
        n_kills += 1
        left = b.manifests()
        n_left_parts += len(store.names("parts")) > 0 and left == ()
        if left:  # it was killed after its last write
            assert left[0].files == a.publish(place).files
        assert (b.fetch("nuclei/s") is None) == (left == ())
        publish(n)
        b.fetch("nuclei/s")
        assert seen(b, "nuclei/s") == NUCLEI
        assert len(store.names("parts")) == len(NUCLEI)

    assert n_kills > (8 if IS_FULL else 2)
    assert n_left_parts >= (len(NUCLEI) if IS_FULL else 1)


@pytest.mark.timeout(600)
def test_killed_among_the_pieces_of_a_large_file_nothing_is_visible(tmp_path, s3_url, monkeypatch):
    smallest = 5 * 2**20  # S3 takes no smaller pieces; 50 MiB are usual
    monkeypatch.setattr("s3fs.core.calculate_chunksize", lambda *_, **__: smallest)
    a = SharedArtefacts(tmp_path / "a", ObjectStore(s3_url))
    place = put(a, "nuclei/s", {"large.bin": b"begin"})
    os.truncate(place / "large.bin", 2 * smallest + 1)  # sent in three pieces
    requests = []

    def publish():
        SharedArtefacts(a.root, ObjectStore(s3_url)).publish(place)

    for n in range(1, 20):
        if not killed_before_request(n, publish):
            break
        requests.append((len(a.store.names("parts")), len(a.manifests())))

    # Bucket, manifest, part: asked for; three pieces are begun, sent and joined; then a manifest.
    assert requests.index((1, 0)) >= 6
    assert requests[: requests.index((1, 0))] == [(0, 0)] * requests.index((1, 0))
    b = SharedArtefacts(tmp_path / "b", ObjectStore(s3_url))
    b.fetch("nuclei/s")
    assert (b.root / "nuclei/s/large.bin").stat().st_size == 2 * smallest + 1


def test_sweeping_takes_old_parts_that_nobody_names_and_nothing_else(machine, monkeypatch):
    a = machine("a")
    a.publish(put(a, "nuclei/s", {"x": b"first", "y": b"both"}))
    a.publish(put(a, "nuclei/s", {"x": b"second"}))
    a.store.write("parts/ab/of-a-killed-upload", b"left")
    assert len(a.store.names("parts")) == 4

    assert a.sweep(WEEK).n_parts == 0  # all are young
    monkeypatch.setattr(ObjectStore, "age", lambda *_: WEEK * 2)
    swept = a.sweep(WEEK)

    assert (swept.n_parts, swept.n_bytes) == (2, len(b"first") + len(b"left"))
    b = machine("b")
    b.fetch("nuclei/s")
    assert seen(b, "nuclei/s") == {"x": b"second", "y": b"both"}
    with pytest.raises(SettingsError, match="under way"):
        a.sweep(datetime.timedelta(hours=1))


def test_a_part_that_a_sweep_took_meanwhile_is_sent_again(machine, monkeypatch):
    a, b = machine("a"), machine("b")
    place = put(a, "nuclei/s", NUCLEI)
    write = a.store.write

    def sweep_and_write(name, content):
        write(name, content)
        a.store.remove(a.store.names("parts")[0])

    monkeypatch.setattr(a.store, "write", sweep_and_write)
    a.publish(place)
    b.fetch("nuclei/s")

    assert seen(b, "nuclei/s") == NUCLEI


def test_an_old_part_is_sent_anew_so_that_a_sweep_sees_it_young(machine, monkeypatch):
    a = machine("a")
    a.publish(put(a, "nuclei/s", {"x": b"same"}))
    sent = []
    upload = a.store.upload
    monkeypatch.setattr(a.store, "upload", lambda *args: sent.append(args) or upload(*args))

    a.publish(put(a, "nuclei/t", {"x": b"same"}))
    assert sent == []
    monkeypatch.setattr(a.store, "age", lambda _: datetime.timedelta(hours=13))
    a.publish(put(a, "nuclei/u", {"x": b"same"}))

    assert len(sent) == 1


@pytest.mark.parametrize("harm", ["torn", "foreign", "missing"])
def test_a_damaged_part_is_an_error_and_what_is_here_stays(machine, harm):
    a, b = machine("a"), machine("b")
    a.publish(put(a, "nuclei/s", {"x": b"first", "y": b"both"}))
    b.fetch("nuclei/s")
    manifest = a.publish(put(a, "nuclei/s", {"x": b"second" * 50}))
    part = manifest.files[0].part
    harms = {"torn": b"seco", "foreign": b"SECOND" * 50}
    a.store.remove(part) if harm == "missing" else a.store.write(part, harms[harm])

    with pytest.raises(StorageError, match="damaged: the part of nuclei/s/x") as told:
        b.fetch("nuclei/s")

    assert "hoverfast artefacts remove nuclei/s" in told.value.remedy
    assert seen(b, "nuclei/s") == {"x": b"first", "y": b"both"}
    assert not list(b.root.rglob("*.part"))
    assert a.remove("nuclei/s") == 1
    a.publish(a.root / "nuclei/s")
    b.fetch("nuclei/s")
    assert seen(b, "nuclei/s") == {"x": b"second" * 50, "y": b"both"}


FILE = '{"name": "%s", "n_bytes": 1, "sha256": "' + "a" * 64 + '"}'
MANIFEST = '{"name": "nuclei/s", "files": [%s], "published_at": "", "machine": "m"}'


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe not ours",
        (MANIFEST % (FILE % "nuclei/s/x"))[:-9].encode(),
        (MANIFEST % "").encode(),
        (MANIFEST % (FILE % "nuclei/s/../../../outside")).encode(),
        (MANIFEST % (FILE % "/etc/passwd")).encode(),
        (MANIFEST % (FILE % "nuclei/other/x")).encode(),
        (MANIFEST % (FILE % "nuclei/s/.hidden")).encode(),
    ],
)
def test_a_foreign_or_torn_manifest_is_an_error_and_writes_nothing(machine, content, tmp_path):
    a = machine("a")
    a.store.write("artefacts/nuclei/s.json", content)
    a.store.write(f"parts/aa/{'a' * 64}", b"x")

    with pytest.raises(StorageError, match="is not the manifest of an artefact"):
        a.fetch("nuclei/s")
    with pytest.raises(StorageError, match="is not the manifest"):
        a.sweep(WEEK)  # it might name parts that would be taken
    assert not a.root.exists()
    assert a.remove("nuclei/s") == 1
    assert a.fetch("nuclei/s") is None


@pytest.mark.parametrize("name", ["../outside", "nuclei/../../outside", ""])
def test_a_name_that_leads_elsewhere_is_refused(machine, name):
    with pytest.raises(SettingsError, match="leads into another folder"):
        machine("a").fetch(name)


def test_a_part_that_vanishes_since_it_was_published_anew_is_no_error(machine, monkeypatch):
    a, b = machine("a"), machine("b")
    a.publish(put(a, "nuclei/s", {"x": b"first"}))
    download, old = b.store.download, a.store.names("parts")

    def published_anew_meanwhile(name, path):
        if a.store.names("parts") == old:
            a.publish(put(a, "nuclei/s", {"x": b"second"}))
            a.store.remove(name)
        return download(name, path)

    monkeypatch.setattr(b.store, "download", published_anew_meanwhile)
    b.fetch("nuclei/s")

    assert seen(b, "nuclei/s") == {"x": b"second"}


def test_a_file_that_changes_while_it_is_sent_is_not_published(machine, monkeypatch):
    a = machine("a")
    place = put(a, "nuclei/s", {"x": b"first"})
    upload = a.store.upload

    def changed_first(path, name):
        path.write_bytes(b"longer than first")
        upload(path, name)

    monkeypatch.setattr(a.store, "upload", changed_first)
    with pytest.raises(StorageError, match="changed while it was published"):
        a.publish(place)

    assert a.store.names("parts") == ()
    assert a.manifests() == ()


def test_what_people_changed_here_is_never_overwritten(machine):
    a, b = machine("a"), machine("b")
    put(a, "corrections", {"s.json": b"1", "t.json": b"1"})
    for path in a.published_by(["corrections"]):
        a.publish(path)
    b.bring_all(b.root / "corrections")
    put(b, "corrections", {"s.json": b"mine", "own.json": b"mine"})
    for path in a.published_by(["corrections"]):
        a.publish(put(a, "corrections", {path.name: b"2"}) / path.name)

    b.bring_all(b.root / "corrections")

    assert seen(b, "corrections") == {"s.json": b"mine", "own.json": b"mine", "t.json": b"2"}
    b.publish(b.root / "corrections" / "s.json")  # the later counts
    a.bring_all(a.root / "corrections")
    assert seen(a, "corrections") == {"s.json": b"mine", "t.json": b"2"}


def test_nothing_is_published_that_is_not_there_or_not_an_artefact(machine):
    a = machine("a")
    with pytest.raises(StorageError, match="nothing to publish as nuclei/s"):
        a.publish(a.root / "nuclei" / "s")
    with pytest.raises(SettingsError, match="is not an artefact"):
        a.publish(a.root / "leases" / "cpu.lock")
    with pytest.raises(SettingsError, match="is not an artefact, and holds none"):
        a.published_by(["nuclei"])


def test_names_choose_one_artefact_or_all_of_a_folder(machine):
    a = machine("a")
    put(a, "nuclei", {"s/x": b"1", "t/x": b"1", ".part/x": b"1", "u/.hoverfast/0": b"1"})
    put(a, "teacher_labels", {"skin/v1/x": b"1", "skin/v2/x": b"1"})

    def chosen(*names):
        return [path.relative_to(a.root).as_posix() for path in a.published_by(names)]

    assert chosen("nuclei") == ["nuclei/s", "nuclei/t"]
    assert chosen("nuclei/t", "nuclei/t") == ["nuclei/t"]
    assert chosen("teacher_labels") == ["teacher_labels/skin/v1", "teacher_labels/skin/v2"]
    assert chosen("teacher_labels/skin") == ["teacher_labels/skin/v1", "teacher_labels/skin/v2"]
