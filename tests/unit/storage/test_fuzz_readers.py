"""Any bytes: a right result or one of our errors, from every reader of foreign text."""

import contextlib
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hoverfast_platform.errors import HoverFastError
from hoverfast_platform.mask.foreign_pixels import read_foreign_tissue
from hoverfast_platform.storage.flat_images import read_instance_map, read_rgb
from hoverfast_platform.storage.foreign_outlines import read_outlines
from hoverfast_platform.storage.foreign_table import read_table

NUMBERS = st.one_of(st.integers(-(10**6), 10**6), st.floats(), st.none(), st.text(max_size=3))
RINGS = st.lists(st.lists(st.lists(NUMBERS, max_size=4), max_size=6), max_size=3)
GEOMETRIES = st.one_of(
    st.none(),
    st.integers(),
    st.fixed_dictionaries(
        {
            "type": st.sampled_from(["Polygon", "MultiPolygon", "Point", "GeometryCollection", 3]),
            "coordinates": st.one_of(RINGS, st.lists(RINGS, max_size=2), NUMBERS),
        }
    ),
)
FEATURES = st.one_of(
    NUMBERS,
    st.fixed_dictionaries(
        {"geometry": GEOMETRIES},
        optional={
            "id": NUMBERS,
            "nucleusGeometry": GEOMETRIES,
            "properties": st.one_of(
                NUMBERS,
                st.fixed_dictionaries(
                    {},
                    optional={"objectType": NUMBERS, "classification": st.dictionaries(
                        st.sampled_from(["name", "names"]), NUMBERS, max_size=2)},
                ),
            ),
        },
    ),
)  # fmt: skip
COLLECTIONS = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["FeatureCollection", "Feature", "Polygon", 1]),
        "features": st.one_of(NUMBERS, st.lists(FEATURES, max_size=5)),
        "annotations": st.lists(st.dictionaries(st.just("segmentation"), RINGS), max_size=2),
        "images": st.one_of(NUMBERS, st.lists(NUMBERS, max_size=2)),
        "nuc": st.dictionaries(st.text(max_size=2), st.dictionaries(st.just("contour"), RINGS)),
        "shapes": st.one_of(NUMBERS, st.lists(FEATURES, max_size=2)),
    },
)
QUICK = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def is_read_or_refused(read, path, content):
    path.write_bytes(content)
    with contextlib.suppress(HoverFastError):
        read(path)


def nuclei(path):
    found = read_outlines(path).without_regions(0.0625)
    found.misfit(0.25, (100, 80))
    found.without_outside((100, 80)).notes()


@QUICK
@given(content=st.one_of(COLLECTIONS, st.lists(FEATURES, max_size=4)))
def test_json_of_any_shape_is_read_or_refused(tmp_path, content):
    is_read_or_refused(nuclei, tmp_path / "x.geojson", json.dumps(content).encode())


@QUICK
@given(content=st.binary(max_size=200))
def test_bytes_of_any_kind_are_not_geojson_by_accident(tmp_path, content):
    is_read_or_refused(nuclei, tmp_path / "x.geojson", content)


@QUICK
@given(content=st.one_of(st.binary(max_size=200), st.text(max_size=200).map(str.encode)))
def test_tables_of_any_bytes_are_read_or_refused(tmp_path, content):
    is_read_or_refused(
        lambda path: read_table(path, ("stem", "group")), tmp_path / "x.csv", content
    )
    is_read_or_refused(
        lambda path: read_table(path, ("stem", "group")).value(path, "group"),
        tmp_path / "x.csv",
        b"stem,group\n" + content,
    )


def image_bytes(tmp_path, suffix):
    import numpy as np
    import scipy.io
    import tifffile
    from PIL import Image

    path = tmp_path / f"whole{suffix}"
    pixels = np.arange(12 * 9, dtype=np.uint8).reshape(9, 12)
    if suffix == ".tif":
        tifffile.imwrite(path, pixels)
    elif suffix == ".npy":
        np.save(path, pixels)
    elif suffix == ".mat":
        scipy.io.savemat(path, {"inst_map": pixels}, do_compression=True)
    else:
        Image.fromarray(pixels).save(path)
    return path.read_bytes()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("read", "suffix"),
    [
        (read_instance_map, ".png"),
        (read_instance_map, ".tif"),
        (read_instance_map, ".npy"),
        (read_instance_map, ".mat"),
        (read_rgb, ".png"),
        (read_rgb, ".tif"),
        (read_foreign_tissue, ".png"),
        (read_foreign_tissue, ".tif"),
    ],
)
@QUICK
@given(data=st.data())
def test_images_with_bytes_changed_are_read_or_refused(tmp_path, read, suffix, data):
    content = bytearray(image_bytes(tmp_path, suffix))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(content)))
    is_read_or_refused(read, tmp_path / f"x{suffix}", bytes(content[:cut] if cut % 3 else content))


def tiny_checkpoint(path):
    """The published format of the smallest network, or ours."""
    import torch

    from hoverfast_platform.model.architecture import Architecture
    from hoverfast_platform.model.card import ModelCard
    from hoverfast_platform.model.checkpoint import save_model
    from hoverfast_platform.model.network import HoverFast

    architecture = Architecture(depth=1, first_filters=1)
    network = HoverFast(architecture)
    if path.suffix == ".safetensors":
        save_model(path, network, ModelCard(name="m", version="1", architecture=architecture))
    else:
        torch.save({"model_dict": network.state_dict(), "depth": 1, "wf": 0}, path)
    return path.read_bytes()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@QUICK
@given(data=st.data())
def test_checkpoints_with_bytes_changed_are_read_or_refused(tmp_path, suffix, data):
    from hoverfast_platform.model.checkpoint import load_model

    whole = tmp_path / f"whole{suffix}"
    content = whole.read_bytes() if whole.exists() else tiny_checkpoint(whole)
    is_read_or_refused(load_model, tmp_path / f"x{suffix}", damaged(content, data))


def damaged(content, data):
    """Some bytes changed, and perhaps the end cut off."""
    changed = bytearray(content)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(changed) - 1))
        changed[at] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(changed)))
    return bytes(changed[:cut] if cut % 3 == 0 else changed)
