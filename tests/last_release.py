"""Small files of every kind, as this version writes them: ``python -m tests.last_release``.

They are kept in ``tests/data/last_release``, and ``tests/integration/test_last_release.py`` reads
them. They are made anew when a version is released, after its tag, so that every later commit is
held to reading what that release wrote. Before the first release they follow the forms.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from hoverfast_platform.catalogue import Catalogue
from hoverfast_platform.evaluation.promotion import Judgement
from hoverfast_platform.files import file_sha256
from hoverfast_platform.model.card import LabelSource
from hoverfast_platform.model.registry import DEFAULT_MODEL, find_model
from hoverfast_platform.review.log import ReviewLog
from hoverfast_platform.review.state import Proposal
from hoverfast_platform.storage.nuclei_table import read_nuclei_table
from hoverfast_platform.storage.patch_table import LabelProvenance, Patch
from hoverfast_platform.storage.patch_table_writer import PatchTableWriter
from hoverfast_platform.storage.summary import SegmentationSummary
from hoverfast_platform.synthetic import write_synthetic_slide
from hoverfast_platform.version import __version__
from tests.builders import verdict

FOLDER = Path(__file__).parent / "data" / "last_release"
_KEPT = (".summary.json", ".parquet", ".json.gz", ".mask.png", ".neighbours.parquet")


def write_files(folder: Path) -> None:
    """Write one file of every kind, and ``facts.json`` with what a reader must find in them."""
    folder.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        write_synthetic_slide(scratch / "slide.tiff", width_px=320, height_px=240)
        _hoverfast("infer_wsi", "slide.tiff", "-o", "out", at=scratch)
        _hoverfast("neighbours", "out/slide.parquet", at=scratch)
        for ending in _KEPT:
            shutil.copy(scratch / "out" / f"slide{ending}", folder)
        with Catalogue.open(scratch / "out" / "catalogue.sqlite") as catalogue:
            (key,) = (slide.key for slide in catalogue.slides.all())
        shutil.copy(scratch / "out" / "catalogue.sqlite", folder)
        _hide_places(folder / "catalogue.sqlite", name, str(find_model(DEFAULT_MODEL).parent))
    for ending in (".json", ".int8.json"):
        shutil.copy(find_model(DEFAULT_MODEL).with_suffix(ending), folder / f"model{ending}")
    nuclei = read_nuclei_table(folder / "slide.parquet")
    _write_edits(folder / "slide.edits.jsonl")
    _write_training_set(folder / "set_train.pytable")
    judgement = Judgement(sha256="a" * 64, scope="skin", replaces=None, verdict=verdict())
    (folder / "verdict.json").write_text(judgement.model_dump_json(indent=1))
    summary = SegmentationSummary.read(folder / "slide.summary.json")
    facts = {
        "version": __version__,
        "slide_key": key,
        "slide_sha256": summary.provenance.slide.sha256,
        "segmentation_id": summary.provenance.segmentation_id,
        "n_nuclei": len(nuclei),
        "mean_area_um2": float(np.mean(nuclei.measurements["area_um2"])),
        "mask_sha256": summary.provenance.mask and summary.provenance.mask.sha256,
        "sha256": {path.name: file_sha256(path) for path in sorted(folder.iterdir())},
    }
    (folder / "facts.json").write_text(json.dumps(facts, indent=1) + "\n")


def _hide_places(catalogue: Path, *places: str) -> None:
    """Write ``/release`` for the folders of the machine that this ran on."""
    with contextlib.closing(sqlite3.connect(catalogue)) as database:
        tables = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for (table,) in tables:
            for _, column, *_ in database.execute(f'PRAGMA table_info("{table}")').fetchall():
                for place in places:
                    database.execute(
                        f'UPDATE "{table}" SET "{column}" = replace("{column}", ?, ?) '
                        f'WHERE instr("{column}", ?)',
                        (place, "/release", place),
                    )
        database.commit()
        database.execute("VACUUM")


def _write_edits(path: Path) -> None:
    log = ReviewLog(path)
    ring = ((10.0, 10.0), (90.0, 10.0), (90.0, 60.5))
    log.add(Proposal(kind="reject", targets=("n1",), rows=(0,)), "Ada")
    log.add(Proposal(kind="add", outlines=(ring,), seen=1), "Bohr, Niels")
    log.add(Proposal(kind="region", outlines=(ring,), seen=2), "Ada")
    log.add(Proposal(kind="undo", undoes=1, seen=3), "Ada")
    path.with_name(f".{path.name}.lock").unlink()


def _write_training_set(path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = np.zeros((48, 64), np.int32)
    labels[8:20, 30:50], labels[30:40, 5:20] = 1, 2
    image = np.full((48, 64, 3), 230, np.uint8)
    image[labels > 0] = (110, 60, 140)
    image -= rng.integers(0, 9, image.shape, dtype=np.uint8)
    source = LabelSource(name="drawn", licence="CC0-1.0", citation="nobody", n_images=1)
    made_by = LabelProvenance(teacher="people", labels=(source,))
    with PatchTableWriter(path, mpp=0.25, patch_px=64, provenance=made_by) as writer:
        writer.append(Patch(image=image, instance_map=labels, source="drawn", group="patient 1"))


def _hoverfast(*words: str, at: Path) -> None:
    command = [sys.executable, "-m", "hoverfast_platform.cli.main", *words]
    subprocess.run(command, cwd=at, check=True)


def main() -> None:
    """Replace the kept files."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    write_files(FOLDER)
    for path in sorted(FOLDER.iterdir()):
        sys.stdout.write(f"{path.stat().st_size:9}  {path.name}\n")


if __name__ == "__main__":
    main()
