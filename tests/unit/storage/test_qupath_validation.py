"""Features are checked many at once; what passes so must pass one by one too."""

import copy
import json
import math

import numpy as np
import pytest

from hoverfast_platform.errors import StorageError
from hoverfast_platform.storage.geojson import CLASSIFICATION
from hoverfast_platform.storage.qupath_validation import (
    _BATCH_SIZE,
    _all_pass,
    _problems,
    validate_qupath_file,
)

ID = "0b1f3cd8-5f1e-5c5b-9d4b-{:012x}"


def feature(i=0, x=0.5):
    ring = [[x, 1], [x + 4, 1], [x + 4, 5.5], [x, 5], [x, 1]]
    return {
        "type": "Feature",
        "id": ID.format(i),
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {
            "objectType": "detection",
            "classification": CLASSIFICATION,
            "measurements": {"Area": 17.5, "Count": 3},
        },
    }


def ring(*points):
    return ("geometry", "coordinates", 0), [list(p) for p in points]


SPOILT = {
    "type": (("type",), "feature"),
    "not a UUID": (("id",), "nucleus 1"),
    "no id": (("id",), None),
    "annotation": (("properties", "objectType"), "annotation"),
    "object_type": (("properties", "object_type"), "cell"),
    "colourless": (("properties", "classification"), {"name": "Nucleus"}),
    "infinite": (("properties", "measurements", "Area"), math.inf),
    "boolean": (("properties", "measurements", "Area"), True),
    "text": (("properties", "measurements", "Area"), "17"),
    "point": (("geometry", "type"), "Point"),
    "no rings": (("geometry", "coordinates"), []),
    "short": ring((0, 0), (4, 0), (0, 0)),
    "open": ring((0, 0), (4, 0), (4, 4), (0, 4)),
    "crossing": ring((0, 0), (4, 4), (4, 0), (0, 4), (0, 0)),
    "touching": ring((0, 0), (6, 0), (6, 4), (3, 0), (0, 4), (0, 0)),
    "flat": ring((0, 0), (4, 0), (8, 0), (0, 0)),
    "nearly touching": ring((71.9, 31), (72.1, 30.9), (72.1, 30.8), (72.3, 30.8), (71.9, 31)),
    "outside left": ring((-1, 0), (4, 0), (4, 4), (-1, 0)),
    "outside right": ring((0, 0), (204, 0), (4, 4), (0, 0)),
    "outside below": ring((0, 0), (4, 0), (4, 304), (0, 0)),
}


def spoil(sound, path, value):
    spoilt = copy.deepcopy(sound)
    inner = spoilt
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return spoilt


def plain(features):
    seen = set()
    return [text for f in features for text in _problems(f, seen, 200, 300)]


def write(path, features):
    text = {"type": "FeatureCollection", "provenance": {}, "features": []}
    head = json.dumps(text, separators=(",", ":")).removesuffix("]}")
    path.write_text(head + "\n" + ",\n".join(map(json.dumps, features)) + "\n]}\n")
    return path


def test_sound_features_pass_either_way():
    features = [feature(i, x=float(i)) for i in range(20)]
    seen = set()

    assert _all_pass(features, seen, 200, 300)
    assert seen == {f["id"] for f in features}
    assert plain(features) == []


@pytest.mark.parametrize("name", SPOILT)
def test_what_is_wrong_passes_neither_way(name):
    features = [feature(0), spoil(feature(1), *SPOILT[name]), feature(2)]
    seen = set()

    assert not _all_pass(features, seen, 200, 300)
    assert seen == set()
    assert plain(features)


def test_an_unusual_form_is_left_to_the_plain_check(tmp_path):
    """A hole, a colour of one's own: not what we write, nothing QuPath minds."""
    holed = feature(1)
    holed["geometry"]["coordinates"].append([[1, 2], [2, 2], [2, 3], [1, 2]])
    coloured = spoil(feature(2), ("properties", "classification", "color"), [1, 2, 3])

    assert not _all_pass([holed, coloured], set(), 200, 300)
    assert validate_qupath_file(write(tmp_path / "f.geojson", [holed, coloured])).n_features == 2


@pytest.mark.parametrize("position", [1, _BATCH_SIZE - 1, _BATCH_SIZE, 2 * _BATCH_SIZE])
def test_the_feature_at_fault_is_named(tmp_path, position):
    features = [feature(i) for i in range(2 * _BATCH_SIZE + 1)]
    features[position]["id"] = features[0]["id"]

    with pytest.raises(StorageError, match=f"feature {position}: id .* occurs twice"):
        validate_qupath_file(write(tmp_path / "f.geojson", features))


def test_numbers_that_are_none_are_named(tmp_path):
    spoilt = spoil(feature(), ("properties", "measurements", "Area"), np.nan)

    with pytest.raises(StorageError, match="measurement 'Area' is nan"):
        validate_qupath_file(write(tmp_path / "f.geojson", [spoilt]))
