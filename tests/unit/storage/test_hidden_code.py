"""Readers of files that somebody else may have written run nothing that is in them."""

import gzip
import io
import os
import pickle
import uuid

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zarr

from hoverfast_platform.errors import HoverFastError, LabelError, StorageError
from hoverfast_platform.storage.blocks import BlockStore
from hoverfast_platform.storage.flat_images import read_instance_map
from hoverfast_platform.storage.label_pyramid import label_pyramid_of_table
from hoverfast_platform.storage.nuclei_table import iter_nuclei_table, write_nuclei_table
from tests.builders import provenance, squares


class _Command:
    """Pickled, it makes a folder where it is unpickled."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


@pytest.fixture
def mark(tmp_path):
    """Exists once hidden code has run."""
    path = tmp_path / "ran"
    yield path
    assert not path.exists()


def test_label_image_of_pickled_objects_is_refused(tmp_path, mark):
    np.save(tmp_path / "labels.npy", np.array([_Command(mark)], dtype=object), allow_pickle=True)

    with pytest.raises(LabelError):
        read_instance_map(tmp_path / "labels.npy")


def test_block_of_pickled_objects_is_damaged(tmp_path, mark):
    store = BlockStore(tmp_path / "blocks", "identity")
    plain = io.BytesIO()
    np.savez(plain, centroid_xy=np.array([_Command(mark)], dtype=object))
    (tmp_path / "blocks/block-000000.npz.gz").write_bytes(gzip.compress(plain.getvalue()))

    with pytest.raises(StorageError, match="damaged"):
        store.read(0)


def test_pickle_in_a_table_s_metadata_is_not_loaded(tmp_path, mark):
    """Arrow once unpickled extension types that its metadata names."""
    hidden = pickle.dumps(_Command(mark))
    field = pa.field("id", pa.string(), metadata={
        b"ARROW:extension:name": b"arrow.py_extension_type",
        b"ARROW:extension:metadata": hidden,
    })  # fmt: skip
    path = tmp_path / "nuclei.parquet"
    pq.write_table(pa.Table.from_arrays([pa.array(["a"])], schema=pa.schema([field])), path)

    with pytest.raises(HoverFastError):
        list(iter_nuclei_table(path))


def test_pickle_in_an_older_label_pyramid_is_not_loaded(tmp_path, mark):
    """It is asked for its attributes alone, and replaced."""
    path = tmp_path / "labels.zarr"
    group = zarr.open_group(path, mode="w", zarr_format=2)
    group.attrs["hoverfast"] = {"segmentation_id": "other"}
    (path / "0").mkdir()
    (path / "0/.zarray").write_text(
        '{"zarr_format": 2, "shape": [1], "chunks": [1], "dtype": "|O", "compressor": null, '
        '"fill_value": null, "order": "C", "filters": [{"id": "pickle", "protocol": 5}]}'
    )
    (path / "0/0").write_bytes(pickle.dumps(np.array([_Command(mark)], dtype=object)))

    table = tmp_path / "nuclei.parquet"
    made_from = provenance("new", slide={"width_px": 1300, "height_px": 900})
    metadata = made_from.model_dump(mode="json")
    write_nuclei_table(table, [squares(3)], [], metadata=metadata, namespace=uuid.uuid4())

    assert label_pyramid_of_table(table, path) == 3
