"""Killed before any step of what it does, a task run again ends as if it had never been killed.

Publishing a segmentation has its own matrix, in ``tests/unit/storage/test_publish.py``.
"""

import datetime
import functools
import json
import shutil

import numpy as np
from sqlalchemy import create_engine

from hoverfast_platform.catalogue import Catalogue, ModelRecord
from hoverfast_platform.catalogue.database import database_url, newest_revision, upgrade_database
from hoverfast_platform.catalogue.records import FailureRecord
from hoverfast_platform.config import MaskSettings
from hoverfast_platform.storage.patch_table import LabelProvenance, Patch, PatchTable
from hoverfast_platform.storage.patch_table_writer import PatchTableWriter
from hoverfast_platform.teachers.corrections import Review, import_review
from hoverfast_platform.use_cases.make_masks import make_masks
from tests.attack.effort import steps
from tests.builders import segmentation, verdict, write_tissue_slide
from tests.killed_at import killed_before_statement, killed_before_step
from tests.unit.catalogue.filled_tables import contents, fill
from tests.unit.catalogue.test_migrations import REVISIONS, migrate_to
from tests.unit.teachers.test_corrections import EDITED, ORIGINAL, export, slide

__all__ = ["slide"]  # a fixture


def rows(path):
    engine = create_engine(database_url(path))
    try:
        return contents(engine)
    finally:
        engine.dispose()


def without_times_and_numbers(tables_of_rows):
    return {
        name: [
            {
                k: v
                for k, v in row.items()
                # Whoever was killed after a commit finds its result again.
                if k not in {"id", "found_again_at"} and not isinstance(v, datetime.datetime)
            }
            for row in found
        ]
        for name, found in tables_of_rows.items()
    }


def files(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".lock" not in path.name
    }


def test_a_migration_killed_before_any_statement_happens_whole_at_the_next_start(tmp_path):
    base, whole = tmp_path / "base.sqlite", tmp_path / "whole.sqlite"
    migrate_to(base, REVISIONS[0])
    fill(base)
    shutil.copy(base, whole)
    upgrade_database(whole)
    n_kills = 0

    for n in steps(sample_every=11):
        path = tmp_path / f"{n}.sqlite"
        shutil.copy(base, path)
        was_killed = killed_before_statement(n, functools.partial(upgrade_database, path))
        n_kills += was_killed
        assert upgrade_database(path)[1] == newest_revision()
        assert rows(path) == rows(whole), f"killed before statement {n}"
        if not was_killed:
            break
    assert n_kills >= 3


def promote_and_record(path):
    """What a run records, so that it may be done again: each is found done or not done."""
    with Catalogue.open(path) as catalogue:
        for letter in "ab":
            catalogue.models.register(
                ModelRecord(letter * 64, "student", letter, f"/models/{letter}", {"mpp": 0.25})
            )
        first, second = "a" * 64, "b" * 64
        now = catalogue.models.promoted()
        passed = verdict("dice 0.81")
        if now is None:
            catalogue.models.promote(first, replaces=None, reason="first", verdict=passed)
            now = catalogue.models.promoted()
        if now.sha256 == first:
            catalogue.models.promote(second, replaces=first, reason="better", verdict=passed)
        catalogue.results.record(segmentation())


def test_promotion_and_records_killed_before_any_statement_are_neither_lost_nor_double(tmp_path):
    whole = tmp_path / "whole.sqlite"
    promote_and_record(whole)
    base = tmp_path / "base.sqlite"
    upgrade_database(base)

    for n in steps(sample_every=7):
        path = tmp_path / f"{n}.sqlite"
        shutil.copy(base, path)
        was_killed = killed_before_statement(n, functools.partial(promote_and_record, path))
        promote_and_record(path)
        assert without_times_and_numbers(rows(path)) == without_times_and_numbers(rows(whole)), (
            f"before statement {n}"
        )
        if not was_killed:
            break
    assert n > 7


def test_a_failure_recorded_while_killed_is_there_or_not_and_never_half(tmp_path):
    base = tmp_path / "base.sqlite"
    upgrade_database(base)
    record = FailureRecord("/slides/a.svs", "storage", "m", "r", "run")

    def fail(path):
        with Catalogue.open(path) as catalogue:
            catalogue.results.record_failure(record)

    for n in steps(sample_every=3):
        path = tmp_path / f"{n}.sqlite"
        shutil.copy(base, path)
        was_killed = killed_before_statement(n, functools.partial(fail, path))
        with Catalogue.open(path) as catalogue:
            found = catalogue.results.failures()
        assert len(found) == (0 if was_killed else 1)
        if not was_killed:
            break


def test_corrections_killed_before_any_change_end_the_same(slide, tmp_path):
    edited = export(tmp_path / "e.geojson", EDITED)
    review = Review(slide, edited, "patient 7", "Ada")
    importing = functools.partial(
        import_review, review, original=export(tmp_path / "o.geojson", ORIGINAL)
    )
    importing(tmp_path / "whole")
    whole = files(tmp_path / "whole")

    for n in steps(sample_every=3):
        out = tmp_path / f"out{n}"
        was_killed = killed_before_step(n, functools.partial(importing, out), out)
        importing(out)
        assert files(out) == whole, f"killed before change {n}"
        if not was_killed:
            break
    assert n > 3


def mask_all(slides, out):
    with Catalogue.open(out / "catalogue.sqlite") as catalogue:
        outcomes = list(
            make_masks(slides, out, catalogue=catalogue, settings=MaskSettings(engine="builtin"))
        )
    assert [outcome.error for outcome in outcomes] == [None] * len(slides)


def test_masks_killed_before_any_change_end_the_same(tmp_path):
    slides = [write_tissue_slide(tmp_path / "in" / f"{name}.tiff") for name in "ab"]

    def run(out):
        out.mkdir(exist_ok=True)
        mask_all(slides, out)

    run(tmp_path / "whole")
    whole = {n: c for n, c in files(tmp_path / "whole").items() if "sqlite" not in n}

    for n in steps(sample_every=9):
        out = tmp_path / f"out{n}"
        out.mkdir()
        was_killed = killed_before_step(n, functools.partial(run, out), out)
        run(out)
        assert {k: v for k, v in files(out).items() if "sqlite" not in k} == whole, f"at {n}"
        if not was_killed:
            break
    assert n > 9


def label(path):
    provenance = LabelProvenance(teacher="t")
    rng = np.random.default_rng(0)
    with PatchTableWriter(path, mpp=0.25, patch_px=64, provenance=provenance) as writer:
        for i in range(3):
            image = rng.integers(0, 255, (64, 48, 3), dtype=np.uint8)
            instances = np.zeros((64, 48), np.int32)
            instances[5:15, 5:20] = 1
            writer.append(Patch(image, instances, f"s{i}", "p", 0, 0))


def test_a_training_set_killed_while_it_is_written_is_not_there_at_all(tmp_path):
    label(tmp_path / "whole.pytable")
    digest = PatchTable(tmp_path / "whole.pytable").digest

    for n in steps(sample_every=1):
        out = tmp_path / f"out{n}"
        out.mkdir()
        path = out / "x.pytable"
        was_killed = killed_before_step(n, functools.partial(label, path), out)
        assert path.exists() == (not was_killed)
        label(path)
        assert PatchTable(path).digest == digest
        if not was_killed:
            break
    assert n > 1


def test_a_torn_line_of_json_is_never_a_result(tmp_path):
    """The matrices above rest on this: a file has its name only once it is whole."""
    from hoverfast_platform.files import write_text

    path = tmp_path / "out" / "x.json"
    text = json.dumps({"n": list(range(1000))})
    for n in steps(sample_every=1):
        was_killed = killed_before_step(n, lambda: write_text(path, text), tmp_path)
        assert not path.exists() or path.read_text() == text
        if not was_killed:
            break
    assert path.read_text() == text


def test_an_attacker_strikes(tmp_path):
    """Guards the matrices: an attacker who never strikes proves nothing."""
    assert killed_before_step(1, lambda: (tmp_path / "x").write_text("x"), tmp_path)
    assert not (tmp_path / "x").exists()
