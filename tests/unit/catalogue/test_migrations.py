"""Every earlier revision of the catalogue is migrated with its rows, once, or not at all."""

import json
import threading

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import (
    String,
    create_engine,
    text,
)

from hoverfast_platform.catalogue import Catalogue
from hoverfast_platform.catalogue.database import (
    MIGRATIONS_DIR,
    database_url,
    newest_revision,
    upgrade_database,
)
from hoverfast_platform.catalogue.tables import AnyText, Base
from hoverfast_platform.errors import CatalogueError
from hoverfast_platform.provenance import Provenance
from tests.unit.catalogue.filled_tables import contents, fill

REVISIONS = [
    s.revision for s in reversed(list(ScriptDirectory(str(MIGRATIONS_DIR)).walk_revisions()))
]


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_location(request, tmp_path):
    """Where a catalogue may be made, and none is."""
    if request.param == "sqlite":
        return tmp_path / "catalogue.sqlite"
    return request.getfixturevalue("postgres_url")


MOVED = {"settings", "code_version", "device", "backend", "precision"}
"""Columns of segmentations that 0009_provenance puts into one value."""


def migrate_to(location, revision, *, back=False):
    engine = create_engine(database_url(location))
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS_DIR))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        (command.downgrade if back else command.upgrade)(config, revision)
    engine.dispose()


def said_of(row):
    """A segmentation's row as it was before 0009, read out of its provenance."""
    made_from = Provenance.model_validate(row["provenance"])
    where = made_from.arithmetic
    later = {"provenance", "found_again_at"}
    of_row = {name: value for name, value in row.items() if name not in later}
    return of_row | {
        "settings": made_from.settings,
        "code_version": made_from.code_version,
        "device": where.device,
        "backend": where.backend,
        "precision": where.precision,
    }


def is_another_type(context, column, declared, found, wanted):
    """None leaves it to Alembic. SQLite's tables keep lengths, which it never looked at."""
    is_text = isinstance(found, String) and isinstance(declared.type, AnyText)
    return False if is_text and context.dialect.name == "sqlite" else None


def test_migrations_make_the_declared_tables(empty_location):
    upgrade_database(empty_location)
    engine = create_engine(database_url(empty_location))

    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": is_another_type})
        differences = compare_metadata(context, Base.metadata)

    engine.dispose()
    assert differences == []


@pytest.mark.parametrize("revision", REVISIONS)
def test_every_earlier_revision_keeps_its_rows_when_it_is_migrated(empty_location, revision):
    migrate_to(empty_location, revision)
    before = fill(empty_location)

    assert upgrade_database(empty_location) == (revision, newest_revision())

    engine = create_engine(database_url(empty_location))
    after = contents(engine)
    engine.dispose()
    assert all(len(rows) == 3 for rows in before.values())
    # 0008_stain_strength drops numbers in densities that are no longer measured.
    dropped = {"slide_appearances"} if revision < "0008" else set()
    assert not any(after[table] for table in dropped & before.keys())
    for table in before.keys() - dropped:
        moved = MOVED if table == "segmentations" else set()
        rows = [
            {name: value for name, value in row.items() if name not in moved}
            for row in before[table]
        ]
        kept = [{name: row[name] for name in rows[0]} for row in after[table]]
        assert kept == rows, table
    if revision < "0009":
        assert [said_of(row) for row in after["segmentations"]] == before["segmentations"]
    Catalogue.open(empty_location).close()


def test_results_and_models_of_before_get_their_place_in_the_record(empty_location):
    """The last of two results of a slide is current; cards become arrows; names become unique."""
    migrate_to(empty_location, "0009_provenance")
    fill(empty_location)
    card = {
        "labels": [{"name": "TNBC", "licence": "CC-BY-4.0", "n_images": 3}],
        "parent_digest": "e" * 64,
        "teacher": f"students {'f' * 64}",
        "training_set_digest": "t1 t2",
        "cohort": "1 name v1",
    }
    engine = create_engine(database_url(empty_location))
    with engine.begin() as connection:
        connection.execute(text("UPDATE segmentations SET slide_id = 1 WHERE id < 3"))
        connection.execute(text("UPDATE model_versions SET name = 'm', version = '1'"))
        connection.execute(
            text("UPDATE model_versions SET sha256 = :sha WHERE id = 2"), {"sha": "e" * 64}
        )
        if engine.dialect.name == "postgresql":  # the rows above came with their numbers
            connection.execute(text("SELECT setval('model_versions_id_seq', 3)"))
        connection.execute(
            text("UPDATE model_versions SET card = :card WHERE id = 1"), {"card": json.dumps(card)}
        )
        connection.execute(text("UPDATE failures SET path = '2 path' WHERE id = 1"))
    upgrade_database(empty_location)
    after = contents(engine)
    engine.dispose()

    periods = {row["segmentation_row_id"]: row for row in after["current_results"]}
    assert periods[1]["until"] == periods[2]["since"]
    assert periods[2]["until"] is periods[3]["until"] is None
    models = {row["id"]: row for row in after["model_versions"]}
    assert [models[i]["version"] for i in (1, 2, 3)] == ["1", f"1-{'e' * 10}", "1-3 sha256"]
    named = {(row["how"], models[row["ancestor_id"]]["sha256"]) for row in after["model_descent"]}
    assert named == {("teacher", "f" * 64), ("parent", "e" * 64)}
    assert [row["licence"] for row in after["label_sets"]] == ["CC-BY-4.0"]
    assert [row["digest"] for row in after["training_sets"]] == ["t1", "t2"]
    assert {row["cohort_version_id"] for row in after["training_sets"]} == {1}
    assert {row["id"]: row["slide_id"] for row in after["failures"]} == {1: 2, 2: 2, 3: 3}
    with Catalogue.open(empty_location) as catalogue:
        assert [r.slide.key for r in catalogue.results.current()] == ["1 key", "3 key"]
        assert [label.name for label in catalogue.descent.labels("1 sha256")] == ["TNBC"]


def test_true_record_can_be_taken_back(tmp_path):
    location = tmp_path / "catalogue.sqlite"
    migrate_to(location, "0009_provenance")
    before = fill(location)
    upgrade_database(location)

    migrate_to(location, "0009_provenance", back=True)

    engine = create_engine(database_url(location))
    assert contents(engine) == before
    engine.dispose()


def test_migration_that_dies_half_way_changes_nothing(empty_location, monkeypatch):
    migrate_to(empty_location, REVISIONS[0])
    before = fill(empty_location)
    from alembic.operations import Operations

    made = []

    def create_table(self, name, *args, **kwargs):
        made.append(name)
        if len(made) > 1:
            raise OSError("power failure")
        return original(self, name, *args, **kwargs)

    original = Operations.create_table
    monkeypatch.setattr(Operations, "create_table", create_table)
    with pytest.raises(OSError, match="power failure"):
        upgrade_database(empty_location)
    monkeypatch.undo()

    engine = create_engine(database_url(empty_location))
    after = contents(engine)
    engine.dispose()
    assert made
    assert after == before
    assert upgrade_database(empty_location) == (REVISIONS[0], newest_revision())


def test_upgrade_makes_the_folder_of_a_file_or_says_why_not(tmp_path):
    """As the unit of a new workstation asks, before anything else has run."""
    path = tmp_path / "artefacts" / "catalogue.sqlite"
    (tmp_path / "file").touch()

    assert upgrade_database(path) == (None, newest_revision())
    with pytest.raises(CatalogueError, match="cannot be made") as caught:
        upgrade_database(tmp_path / "file" / "catalogue.sqlite")
    assert not caught.value.is_transient


def test_upgrading_twice_at_once_does_it_once(empty_location):
    results = []
    threads = [
        threading.Thread(target=lambda: results.append(upgrade_database(empty_location)))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [after for _, after in results] == [newest_revision()] * 3
    assert upgrade_database(empty_location) == (newest_revision(), newest_revision())


def test_server_is_not_migrated_by_merely_opening_it(postgres_url):
    with pytest.raises(CatalogueError, match="holds no catalogue yet"):
        Catalogue.open(postgres_url)
    migrate_to(postgres_url, REVISIONS[0])
    with pytest.raises(CatalogueError, match="hoverfast catalogue upgrade"):
        Catalogue.open(postgres_url)


def test_database_of_a_newer_version_is_refused(empty_location):
    upgrade_database(empty_location)
    engine = create_engine(database_url(empty_location))
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()

    for use in (Catalogue.open, upgrade_database):
        with pytest.raises(CatalogueError, match="newer version"):
            use(empty_location)


def test_foreign_file_is_refused(tmp_path):
    (tmp_path / "x.sqlite").write_bytes(b"this is no database, but it is long enough" * 10)
    with pytest.raises(CatalogueError, match="cannot be used"):
        Catalogue.open(tmp_path / "x.sqlite")
