"""Slide file to published result, on a small slide whose nuclei are drawn by hand."""

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from filelock import FileLock

from hoverfast_platform import segment_image, segment_slide
from hoverfast_platform.config import (
    Compute,
    Scale,
    SegmentationSettings,
    Staining,
    Tiling,
)
from hoverfast_platform.errors import (
    ChangedSlideError,
    ComputeError,
    Interrupted,
    MissingMppError,
    StorageError,
)
from hoverfast_platform.inference.engine import SegmentationEngine
from hoverfast_platform.slide.digest import slide_digest
from hoverfast_platform.storage.label_pyramid import label_pyramid_of_table
from hoverfast_platform.storage.nuclei_table import read_measurement, read_nuclei_table
from hoverfast_platform.storage.publish import LOCKS
from hoverfast_platform.storage.qupath_shards import check_qupath_zip
from hoverfast_platform.storage.qupath_validation import validate_qupath_file
from tests.builders import write_slide
from tests.integration.drawn_slide import drawn_tissue, settings_of


def test_drawn_nuclei_are_found_and_files_agree(result):
    _, centres = drawn_tissue(700, 900)
    table = read_nuclei_table(result.table_path)

    distance = np.linalg.norm(np.array(centres)[:, None] - table.centroid_xy[None], axis=2)
    assert (distance.min(axis=1) < 6).mean() > 0.8
    assert validate_qupath_file(result.qupath_path, width=900, height=700).n_features == len(table)
    assert result.summary.n_nuclei == len(table)
    assert result.preview_path.read_bytes().startswith(b"\xff\xd8")


def test_seam_audit_finds_no_duplicate(result):
    assert result.summary.seams.n_near_seams > 0
    assert result.summary.seams.n_duplicates == 0


def test_nuclei_do_not_depend_on_the_tile_size(result, slide, engine, tmp_path):
    other = segment_slide(slide, out_dir=tmp_path, engine=engine, settings=settings_of(1024))

    a = read_nuclei_table(result.table_path).centroid_xy
    b = read_nuclei_table(other.table_path).centroid_xy
    distance = np.linalg.norm(a[:, None] - b[None], axis=2)
    assert abs(len(a) - len(b)) <= 0.01 * len(a)
    assert (distance.min(axis=1) < 1).mean() >= 0.99


def test_worker_count_changes_no_byte(result, slide, tmp_path):
    with SegmentationEngine.of(compute=Compute(n_workers=1, batch_size=3)) as engine:
        again = segment_slide(slide, out_dir=tmp_path, engine=engine, settings=settings_of())

    assert again.qupath_path.read_bytes() == result.qupath_path.read_bytes()
    assert again.mask_path.read_bytes() == result.mask_path.read_bytes()


def test_second_run_computes_nothing(result, slide, engine):
    before = result.qupath_path.stat().st_mtime_ns

    again = segment_slide(
        slide, out_dir=result.qupath_path.parent, engine=engine, settings=settings_of()
    )

    assert again.was_done
    assert again.qupath_path.stat().st_mtime_ns == before


def test_interrupted_run_goes_on_and_ends_in_the_same_bytes(slide, engine, tmp_path, result):
    """Stopped after the first block is on disk; the second run computes the rest only."""
    settings = SegmentationSettings(tiling=Tiling(tile_size_px=128))

    def stop_late(progress):
        if progress.n_done >= 30:
            raise Interrupted("stopped by the test", "")

    with pytest.raises(Interrupted):
        segment_slide(
            slide,
            out_dir=tmp_path / "a",
            engine=engine,
            settings=settings,
            on_progress=stop_late,
        )
    assert not (tmp_path / "a" / "drawn.json.gz").exists()
    resumed = segment_slide(slide, out_dir=tmp_path / "a", engine=engine, settings=settings)
    whole = segment_slide(slide, out_dir=tmp_path / "b", engine=engine, settings=settings)

    assert resumed.summary.n_tiles_resumed >= 16
    assert resumed.qupath_path.read_bytes() == whole.qupath_path.read_bytes()


def test_a_slide_overwritten_while_it_is_segmented_is_refused_and_leaves_nothing(engine, tmp_path):
    path = write_slide(tmp_path / "drawn.tiff", drawn_tissue(700, 900)[0])
    other = write_slide(tmp_path / "other.tiff", drawn_tissue(700, 900, seed=1)[0]).read_bytes()
    out = tmp_path / "out"

    def overwrite(progress):
        if progress.n_done == 1:
            with path.open("r+b") as file:
                file.write(other)

    with pytest.raises(ChangedSlideError, match="changed while it was segmented"):
        segment_slide(
            path, out_dir=out, engine=engine, settings=settings_of(), on_progress=overwrite
        )
    assert [p.name for p in out.rglob("*") if p.suffix != ".lock"] == [".hoverfast", "locks"]

    done = segment_slide(path, out_dir=out, engine=engine, settings=settings_of())
    assert done.summary.provenance.slide.sha256 == slide_digest(path)


def test_killed_worker_is_a_named_error_and_the_next_run_works(slide, tmp_path):
    with SegmentationEngine.of(compute=Compute(n_workers=1)) as engine:
        victim = []

        def kill_worker(progress):
            if progress.n_done == 2 and not victim:
                victim.extend(engine.worker_pool().pids())
                os.kill(victim[0], signal.SIGKILL)

        with pytest.raises(ComputeError, match="worker died"):
            segment_slide(
                slide,
                out_dir=tmp_path,
                engine=engine,
                settings=settings_of(128),
                on_progress=kill_worker,
            )
        assert not list(tmp_path.glob("*.json.gz"))
        done = segment_slide(slide, out_dir=tmp_path, engine=engine, settings=settings_of(128))
    assert done.summary.n_nuclei > 0


def test_sigterm_ends_the_command_with_130_and_leaves_no_result(slide, tmp_path):
    command = [sys.executable, "-m", "hoverfast_platform.cli.main", "infer_wsi", str(slide)]
    process = subprocess.Popen(
        [*command, "-o", str(tmp_path / "out"), "-t", "128"], stderr=subprocess.PIPE, text=True
    )
    while not list((tmp_path / "out").glob(".hoverfast/*/segmentation_id")):  # it has begun
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)

    assert process.returncode == 130
    assert "run the command again" in errors
    assert not list((tmp_path / "out").glob("*.json.gz"))


def test_workers_import_neither_torch_nor_dagster(engine):
    modules = engine.worker_pool().worker_modules()

    assert "numpy" in modules
    assert not {"torch", "dagster", "openvino", "pytest"} & modules


def test_blank_slide_publishes_zero_nuclei(engine, tmp_path):
    blank = write_slide(tmp_path / "blank.tiff", np.full((600, 672, 3), 244, np.uint8))

    done = segment_slide(blank, out_dir=tmp_path / "out", engine=engine)

    assert done.summary.n_nuclei == 0
    assert validate_qupath_file(done.qupath_path).n_features == 0
    assert done.summary.nuclei_per_mm2 is None


def test_slides_of_equal_stem_do_not_overwrite_each_other(engine, tmp_path):
    results = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        rgb = np.full((300, 336 + 40 * len(results), 3), 244, np.uint8)
        path = write_slide(tmp_path / folder / "same.tiff", rgb)
        results.append(segment_slide(path, out_dir=tmp_path / "out", engine=engine))

    assert results[0].qupath_path != results[1].qupath_path
    assert all(r.qupath_path.is_file() for r in results)


def test_missing_mpp_is_refused_and_the_override_recorded(engine, tmp_path):
    path = write_slide(tmp_path / "nompp.tiff", np.full((300, 336, 3), 244, np.uint8), mpp=None)

    with pytest.raises(MissingMppError, match="--mpp"):
        segment_slide(path, out_dir=tmp_path / "out", engine=engine)
    settings = SegmentationSettings(scale=Scale(mpp_override=0.25))
    done = segment_slide(path, out_dir=tmp_path / "out", engine=engine, settings=settings)
    with gzip.open(done.qupath_path) as file:
        provenance = json.load(file)["provenance"]

    assert provenance["slide"]["mpp_source"] == "override"
    assert any("by hand" in warning for warning in done.summary.warnings)


def test_unwritable_folder_is_a_storage_error(slide, engine, tmp_path):
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(StorageError, match="cannot be written"):
        segment_slide(slide, out_dir=tmp_path / "file" / "out", engine=engine)


def test_two_runs_at_once_give_one_result(slide, engine, tmp_path):
    """The second waits for the first and finds its result."""
    first = segment_slide(slide, out_dir=tmp_path, engine=engine, settings=settings_of())
    lock_path = tmp_path / LOCKS / f"{first.summary.provenance.segmentation_id}.lock"

    with ThreadPoolExecutor(1) as other_run:
        with FileLock(lock_path):
            waiting = other_run.submit(
                segment_slide, slide, out_dir=tmp_path, engine=engine, settings=settings_of()
            )
            time.sleep(0.5)
            assert not waiting.done()
        second = waiting.result(timeout=120)

    assert second.was_done
    assert second.summary == first.summary


def test_image_gives_an_instance_map_that_matches_its_nuclei(engine):
    rgb, _ = drawn_tissue(300, 340)

    found = segment_image(rgb, mpp=0.25, engine=engine)

    assert found.instance_map.shape == (300, 340)
    assert found.instance_map.dtype == np.int32
    assert found.instance_map.max() == len(found.nuclei) > 20
    for i in range(0, len(found.nuclei), 7):
        x, y = found.nuclei.centroid_xy[i].astype(int)
        assert found.instance_map[y, x] in {0, i + 1}
    area_px = np.bincount(found.instance_map.ravel())[1:]
    assert np.allclose(area_px * 0.0625, found.nuclei.measurements["area_um2"], rtol=1e-5)


def test_small_and_coarse_images_work(engine):
    tiny = segment_image(np.full((16, 20, 3), 240, np.uint8), mpp=0.25, engine=engine)
    coarse, _ = drawn_tissue(300, 400)
    upsampled = segment_image(coarse[::2, ::2].copy(), mpp=0.5, engine=engine)

    assert len(tiny.nuclei) == 0
    assert upsampled.instance_map.shape == (150, 200)
    assert any("Upsampled" in warning for warning in upsampled.warnings)
    assert len(upsampled.nuclei) > 20


def test_a_model_that_adapts_to_the_slide_makes_another_result_and_says_so(slide, engine, tmp_path):
    cards = [engine.model.card.model_copy(update={"statistics_share": s}) for s in (0.0, 0.4)]
    with SegmentationEngine(replace(engine.model, card=cards[0]), engine.predictor, 1) as fixed:
        as_it_is = segment_slide(slide, out_dir=tmp_path / "a", engine=fixed).summary
    with SegmentationEngine(replace(engine.model, card=cards[1]), engine.predictor, 1) as own:
        adapted = segment_slide(slide, out_dir=tmp_path / "b", engine=own).summary

    a, b = as_it_is.provenance, adapted.provenance
    assert (a.model.statistics_share, b.model.statistics_share) == (0.0, 0.4)
    assert a.segmentation_id != b.segmentation_id
    assert as_it_is.distributions != adapted.distributions


def test_ihc_slides_are_measured_in_dab_and_large_ones_get_a_zip(engine, tmp_path):
    """Brown discs on the left, blue ones on the right."""
    y, x = np.mgrid[:240, :268]
    rgb = np.full((240, 268, 3), (238, 236, 240), np.uint8)
    disc = ((x % 40 - 20) ** 2 + (y % 40 - 20) ** 2 < 90) & (x < 240)
    rgb[disc & (x < 120)] = (110, 70, 40)
    rgb[disc & (x >= 120)] = (120, 130, 190)
    path = write_slide(tmp_path / "ihc.tiff", rgb)
    settings = SegmentationSettings(staining=Staining(stain="ihc_dab"))

    done = segment_slide(
        path, out_dir=tmp_path / "out", engine=engine, settings=settings, qupath_zip_above=10
    )

    dab = done.summary.dab
    assert dab is not None
    assert dab.positive_fraction == pytest.approx(0.5, abs=0.05)
    assert 100 < dab.h_score <= 150
    assert "eosin_od_mean" not in done.summary.distributions
    zip_path = tmp_path / "out" / "ihc.qupath.zip"
    assert check_qupath_zip(zip_path) == done.summary.n_nuclei
    assert zip_path.name in done.summary.files
    border = read_measurement(done.table_path, "mask_border_um")
    assert (border >= 0).all()
    assert border.max() < 33
    assert (label_pyramid_of_table(done.table_path, tmp_path / "out" / "ihc.zarr")) == len(border)
