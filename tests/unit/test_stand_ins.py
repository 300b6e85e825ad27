"""A web page or a pointer in a file's place is called that by every reader, with its remedy."""

import os

import pytest

from hoverfast_platform.errors import HoverFastError
from hoverfast_platform.mask.foreign_pixels import read_foreign_tissue
from hoverfast_platform.model.builtin_digests import BUILTIN_DIR
from hoverfast_platform.model.checkpoint import load_model
from hoverfast_platform.model.published_checkpoint import load_weights_only
from hoverfast_platform.slide import open_slide
from hoverfast_platform.stand_ins import refuse_stand_in
from hoverfast_platform.storage.flat_images import read_instance_map, read_rgb
from hoverfast_platform.storage.foreign_outlines import read_outlines
from hoverfast_platform.storage.foreign_table import read_table
from hoverfast_platform.storage.nuclei_table import read_nuclei_table
from hoverfast_platform.storage.patch_table import PatchTable
from hoverfast_platform.storage.summary import SegmentationSummary
from hoverfast_platform.teachers.hovernet.checkpoint import load_hovernet

PAGE = b"\n<!DOCTYPE HTML>\n<html><body>Sign in</body></html>"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"a" * 64 + b"\nsize 9\n"
READERS = {
    "slide.svs": open_slide,
    "student.pth": load_model,
    "teacher.tar": load_hovernet,
    "any.pt": load_weights_only,
    "set.pytable": PatchTable,
    "image.png": read_rgb,
    "image.tif": read_rgb,
    "label.png": read_instance_map,
    "label.tif": read_instance_map,
    "label.npy": read_instance_map,
    "label.mat": read_instance_map,
    "mask.png": read_foreign_tissue,
    "nuclei.geojson": read_outlines,
    "manifest.csv": lambda path: read_table(path, ("stem",)),
    "nuclei.parquet": read_nuclei_table,
    "x.summary.json": SegmentationSummary.read,
}


@pytest.mark.parametrize(
    ("content", "what", "remedy"),
    [(PAGE, "is a web page", "download it again"), (POINTER, "pointer of Git LFS", "git lfs pull")],
)
@pytest.mark.parametrize("name", READERS)
def test_it_is_called_what_it_is(tmp_path, name, content, what, remedy):
    path = tmp_path / name
    path.write_bytes(content)

    with pytest.raises(HoverFastError, match=f"{name} .*{what}, not .*{remedy}"):
        READERS[name](path)


@pytest.mark.parametrize("which", ["student.safetensors", "student.json"])
def test_of_a_model_either_file_may_be_one(tmp_path, which):
    for suffix in (".safetensors", ".json"):
        (built_in,) = BUILTIN_DIR.glob(f"cross-organ-lean{suffix}")
        (tmp_path / f"student{suffix}").write_bytes(built_in.read_bytes())
    (tmp_path / which).write_bytes(POINTER)

    with pytest.raises(HoverFastError, match=f"{which} is a pointer of Git LFS"):
        load_model(tmp_path / "student.safetensors")


def test_a_damaged_file_is_not_taken_for_one(tmp_path):
    (tmp_path / "a.pth").write_bytes(b"\x80\x02damaged")

    with pytest.raises(HoverFastError, match="cannot be read as a checkpoint"):
        load_model(tmp_path / "a.pth")


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "s.json")

    refuse_stand_in(tmp_path / "s.json", "a plan", HoverFastError)
