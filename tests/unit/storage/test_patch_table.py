"""Training sets on disk: what goes in comes out, half a file never appears."""

import contextlib
import os
import pickle

import h5py
import numpy as np
import pytest
import tables

from hoverfast_platform.errors import ArrayContractError, StorageError, TrainingError
from hoverfast_platform.storage.patch_table import LabelProvenance, Patch, PatchTable
from hoverfast_platform.storage.patch_table_writer import PatchTableWriter


def _patch(seed=0, height=100, width=90, n=3, source="a"):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    label = np.zeros((height, width), dtype=np.int32)
    for i in range(n):
        label[20 * i + 2 : 20 * i + 12, 5:15] = i + 1
    return Patch(image, label, source, f"patient {source}", weight=0.5)


PEOPLE = LabelProvenance(teacher="people")


def _write(path, *patches, patch_px=128, provenance=PEOPLE):
    with PatchTableWriter(path, mpp=0.25, patch_px=patch_px, provenance=provenance) as writer:
        for patch in patches:
            writer.append(patch)
    return PatchTable(path)


def test_small_image_comes_back_without_its_border(tmp_path):
    written = _patch()

    table = _write(tmp_path / "set.h5", written)
    read = table.read(0)

    np.testing.assert_array_equal(read.image, written.image)
    np.testing.assert_array_equal(read.instance_map, written.instance_map)
    assert (read.source, read.group, read.weight) == ("a", "patient a", 0.5)
    assert table.provenance == PEOPLE
    assert (table.mpp, table.n_nuclei.tolist()) == (0.25, [3])


def test_large_image_is_cut_and_nothing_is_lost(tmp_path):
    written = _patch(height=150, width=200, n=7)

    table = _write(tmp_path / "set.h5", written, patch_px=64)

    whole = np.zeros((150, 200), dtype=bool)
    for patch in table:
        height, width = patch.instance_map.shape
        whole[patch.y0_px : patch.y0_px + height, patch.x0_px : patch.x0_px + width] = (
            patch.instance_map > 0
        )
    assert len(table) == 3 * 4
    np.testing.assert_array_equal(whole, written.instance_map > 0)


def test_one_id_in_two_pieces_becomes_two_nuclei(tmp_path):
    patch = _patch(n=0)
    patch.instance_map[5:10, 5:10] = 4
    patch.instance_map[40:50, 40:50] = 4

    assert _write(tmp_path / "set.h5", patch).read(0).instance_map.max() == 2


def test_equal_content_has_an_equal_digest(tmp_path):
    first = _write(tmp_path / "1.h5", _patch(1), _patch(2))
    again = _write(tmp_path / "2.h5", _patch(1), _patch(2))
    other = _write(tmp_path / "3.h5", _patch(1), _patch(3))

    assert first.digest == again.digest
    assert first.digest != other.digest


def test_arrays_are_those_of_the_published_trainer(tmp_path):
    table = _write(tmp_path / "set.h5", _patch(), _patch(1, source="b"))

    with tables.open_file(str(table.path)) as file:
        assert file.root.img.shape == (2, 128, 128, 3)
        assert file.root.label.shape == (2, 128, 128)
        # pixels of background and of nuclei, in the second row
        assert file.root.numpixels[:].tolist() == [[0, 1], [2 * (9000 - 300), 600]]


def test_file_of_the_published_trainer_needs_an_mpp(tmp_path):
    path = tmp_path / "published_train.pytable"
    with tables.open_file(str(path), "w") as file:
        file.create_array("/", "img", np.zeros((2, 32, 36, 3), dtype=np.uint8))
        label = np.zeros((2, 32, 36), dtype=np.int32)
        label[0, 3:9, 3:9] = 1
        file.create_array("/", "label", label)
        file.create_array("/", "numpixels", np.array([[0, 1], [2012, 36]]))

    with pytest.raises(TrainingError, match="micrometres per pixel"):
        PatchTable(path)
    table = PatchTable(path, mpp=0.25)
    assert table.n_nuclei.tolist() == [1, 0]
    assert table.read(0).instance_map.sum() == 36


def test_label_of_another_size_is_refused_and_leaves_no_file(tmp_path):
    bad = Patch(np.zeros((10, 14, 3), np.uint8), np.zeros((10, 12), np.int32), "x", "x")

    with pytest.raises(ArrayContractError, match="one size"):
        _write(tmp_path / "set.h5", _patch(), bad)

    assert list(tmp_path.iterdir()) == []


def test_too_many_nuclei_for_16_bits_are_refused(tmp_path):
    label = np.zeros((520, 520), dtype=np.int32)
    label[::2, ::2] = np.arange(260 * 260).reshape(260, 260) + 1
    specks = Patch(np.zeros((520, 520, 3), np.uint8), label, "x", "x")

    with pytest.raises(TrainingError, match="65535"):
        _write(tmp_path / "set.h5", specks, patch_px=520)


def test_no_images_is_an_error(tmp_path):
    with pytest.raises(TrainingError, match="nothing to learn"):
        _write(tmp_path / "set.h5")
    assert list(tmp_path.iterdir()) == []


def test_full_disk_leaves_no_file(tmp_path, monkeypatch):
    def fail(self, sequence):
        raise tables.HDF5ExtError("No space left on device")

    monkeypatch.setattr(tables.EArray, "append", fail)
    with pytest.raises(StorageError, match="cannot be written"):
        _write(tmp_path / "set.h5", _patch())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"not hdf5 at all"])
def test_damaged_file_is_named(tmp_path, content):
    path = tmp_path / "set.h5"
    path.write_bytes(content)

    with pytest.raises(StorageError, match=r"set\.h5"):
        PatchTable(path)


class _Command:
    """Pickled, it runs a command where it is unpickled."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


def _published(path, *, without=""):
    with tables.open_file(str(path), "w") as file:
        for name, array in {
            "img": np.zeros((2, 32, 36, 3), dtype=np.uint8),
            "label": np.zeros((2, 32, 36), dtype=np.int32),
            "numpixels": np.array([[0, 1], [2304, 0]]),
        }.items():
            if name != without:
                file.create_array("/", name, array)


def _in_mpp(path, command):
    with tables.open_file(str(path), "a") as file:
        file.root._v_attrs.mpp = command


def _in_filters_of_pytables_1(path, command):
    """PyTables unpickles FILTERS of old files in another place than other attributes."""
    with h5py.File(path, "a") as file:
        file.attrs["PYTABLES_FORMAT_VERSION"] = np.bytes_("1.6")
        file.attrs["FILTERS"] = np.bytes_(pickle.dumps(command, 0))


def _in_an_object_array(path, command):
    with tables.open_file(str(path), "a") as file:
        file.create_vlarray("/", "label", tables.ObjectAtom()).append(command)


def _in_an_array_s_attribute(path, command):
    with tables.open_file(str(path), "a") as file:
        file.root.img._v_attrs.note = command


@pytest.mark.parametrize(
    ("hide", "without"),
    [
        (_in_mpp, ""),
        (_in_filters_of_pytables_1, ""),
        (_in_an_object_array, "label"),
        (_in_an_array_s_attribute, ""),
    ],
)
def test_no_command_hidden_in_a_training_set_is_run(tmp_path, hide, without):
    path, mark = tmp_path / "set.pytable", tmp_path / "ran"
    _published(path, without=without)
    hide(path, _Command(mark))

    with contextlib.suppress(StorageError, TrainingError):
        PatchTable(path, mpp=0.25).read(0)

    assert not mark.exists()
    with contextlib.suppress(Exception), tables.open_file(str(path)) as file:  # it would be run
        file.root.img._v_attrs  # noqa: B018
        file.root.label[:]
    assert mark.exists()


def test_training_set_that_takes_its_images_from_another_file_is_refused(tmp_path):
    path, other = tmp_path / "set.h5", tmp_path / "other.h5"
    _published(other)
    _published(path, without="img")
    with h5py.File(path, "a") as file:
        file["img"] = h5py.ExternalLink(str(other), "/img")

    with pytest.raises(StorageError, match="no array img of its own"):
        PatchTable(path, mpp=0.25)


def test_training_set_that_claims_to_be_huge_is_refused_at_once(tmp_path):
    path = tmp_path / "set.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("img", (1, 300_000, 300_000, 3), "u1", chunks=(1, 64, 64, 3))
        file.create_dataset("label", (1, 300_000, 300_000), "i4", chunks=(1, 64, 64))
        file["numpixels"] = np.zeros((2, 2), np.int64)

    with pytest.raises(StorageError, match="GiB at once"):
        PatchTable(path, mpp=0.25)


@pytest.mark.parametrize("complib", ["zlib", "blosc", "blosc:zstd", "blosc:lz4"])
def test_packed_files_of_pytables_are_read(tmp_path, complib):
    path, rng = tmp_path / "set.pytable", np.random.default_rng(1)
    image = rng.integers(0, 256, (3, 40, 52, 3), dtype=np.uint8)
    label = np.zeros((3, 40, 52), np.int32)
    label[:, 30:38, 40:50] = 7
    packing = tables.Filters(complevel=6, complib=complib)
    with tables.open_file(str(path), "w") as file:
        for name, array, chunk in [("img", image, (1, 32, 32, 3)), ("label", label, (1, 16, 52))]:
            file.create_carray("/", name, obj=array, chunkshape=chunk, filters=packing)
        file.create_array("/", "numpixels", np.array([[0, 1], [1, 1]]))

    table = PatchTable(path, mpp=0.25)

    for i, patch in enumerate(table):
        np.testing.assert_array_equal(patch.image, image[i])
        np.testing.assert_array_equal(patch.instance_map > 0, label[i] > 0)
    assert table.n_nuclei.tolist() == [1, 1, 1]
