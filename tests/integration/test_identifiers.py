"""What a result tells of whose slide it was made from: nothing, when it is passed on."""

import gzip

import pyarrow.parquet as pq
import pytest

from hoverfast_platform import segment_slide
from hoverfast_platform.catalogue import Catalogue
from hoverfast_platform.storage.label_pyramid import label_pyramid_of_table
from hoverfast_platform.synthetic import write_synthetic_slide
from hoverfast_platform.use_cases.segment_slides import pseudonym, segment_and_record
from tests.scaling.fake_predictor import FakePredictor, fake_engine

NAME = b"MUELLER_ANNA_1950"


@pytest.fixture
def slide(tmp_path):
    path = tmp_path / "ward 7" / f"{NAME.decode()}.tiff"
    path.parent.mkdir()
    write_synthetic_slide(path, width_px=320, height_px=256)
    return path


def said_in(folder):
    """All bytes of all files, unpacked."""
    for path in folder.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            yield gzip.decompress(content) if path.suffix == ".gz" else content
        if path.suffix == ".parquet":
            yield repr(pq.read_schema(path).metadata).encode()


@pytest.mark.parametrize("stem_of", [None, pseudonym])
def test_results_do_not_name_the_file_of_their_slide(slide, tmp_path, stem_of):
    out_dir = tmp_path / "out"
    with fake_engine(FakePredictor()) as engine:
        done = segment_slide(slide, out_dir=out_dir, stem_of=stem_of, engine=engine)
        again = segment_slide(slide, out_dir=out_dir, stem_of=stem_of, engine=engine)
    label_pyramid_of_table(done.table_path, out_dir / "labels.zarr")

    assert done.summary.n_nuclei
    contents = list(said_in(out_dir))
    assert len(contents) > 6
    # The summary lists the files beside it, so these may have a name like the slide's.
    banned = (NAME if stem_of else slide.name.encode(), b"ward 7")
    assert not any(word in content for content in contents for word in banned)
    named = [path.name for path in out_dir.iterdir() if NAME.decode() in path.name]
    assert len(named) == (0 if stem_of else 5)
    assert again.was_done


def test_renamed_or_copied_slide_keeps_its_result_and_its_name(slide, tmp_path):
    """One slide, one set of files, whatever its file is called by now; nothing is computed."""
    out_dir, renamed, copy = tmp_path / "out", slide.with_name("B.tiff"), slide.with_name("C.tiff")
    with (
        fake_engine(FakePredictor()) as engine,
        Catalogue.open(tmp_path / "catalogue.sqlite") as catalogue,
    ):

        def segment(path):
            done = segment_and_record(path, out_dir, engine=engine, catalogue=catalogue)
            return done.qupath_path, done.was_done

        first = segment(slide)
        (computed,) = catalogue.results.lineage(str(slide)).entries
        slide.rename(renamed)
        copy.write_bytes(renamed.read_bytes())
        again = [segment(renamed), segment(copy)]
        (entry,) = catalogue.results.lineage(str(copy)).entries

    assert first == (out_dir / f"{NAME.decode()}.json.gz", False)
    assert again == [(first[0], True)] * 2
    assert str(first[0]) in entry.files
    assert entry.finished_at == computed.finished_at
    said = (out_dir / f"{NAME.decode()}.summary.json").read_text()
    assert entry.finished_at.isoformat(timespec="seconds") in said
    assert len(list(out_dir.glob("*.json.gz"))) == 1
