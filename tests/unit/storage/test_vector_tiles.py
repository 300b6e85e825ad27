"""Vector tiles are read back by a decoder of the format's own rules."""

import numpy as np
import pytest

from hoverfast_platform.storage.vector_tiles import EXTENT, encode_tile


def varint(content, at):
    value = shift = 0
    while True:
        value |= (content[at] & 127) << shift
        at, shift = at + 1, shift + 7
        if content[at - 1] < 128:
            return value, at


def fields(content):
    at = 0
    while at < len(content):
        tag, at = varint(content, at)
        value, at = varint(content, at)
        if tag & 7 == 2:
            value, at = content[at : at + value], at + value
        yield tag >> 3, value


def numbers(content):
    at, found = 0, []
    while at < len(content):
        value, at = varint(content, at)
        found.append(value)
    return found


def decode(tile):
    """[(id, value, ring)] of the layer."""
    ((_, layer),) = fields(tile)
    parts = list(fields(layer))
    assert dict(parts)[15] == 2
    assert dict(parts)[5] == EXTENT
    values = [dict(fields(v))[5] for k, v in parts if k == 4]
    found = []
    for kind, feature in parts:
        if kind != 2:
            continue
        of = dict(fields(feature))
        assert of[3] == 3, "a polygon"
        commands, x, y, ring = numbers(of[4]), 0, 0, []
        while commands:
            head = commands.pop(0)
            for _ in range(head >> 3 if head & 7 != 7 else 0):
                dx, dy = commands.pop(0), commands.pop(0)
                x, y = x + ((dx >> 1) ^ -(dx & 1)), y + ((dy >> 1) ^ -(dy & 1))
                ring.append((x, y))
        found.append((of[1], values[numbers(of[2])[1]], ring))
    return found


def area(ring):
    x, y = np.array([*ring, ring[0]]).T
    return (x[:-1] * y[1:] - x[1:] * y[:-1]).sum() / 2


TRIANGLE = [[10, 20], [300, 20], [10, 90], [10, 20]]
FAR_LEFT = [[-500, 4000], [-500, 5000.4], [2000, 5000.4], [2000, 4000], [-500, 4000]]


def test_outlines_come_back_with_their_numbers_and_values():
    rings = np.array(TRIANGLE + FAR_LEFT, float)
    tile = encode_tile(rings, np.array([0, 4, 9]), np.array([7, 1_000_000]), np.array([64, 0]))
    (first, second) = decode(tile)
    assert first[:2] == (7, 64)
    assert sorted(first[2]) == sorted(map(tuple, TRIANGLE[:3]))
    assert second[:2] == (1_000_000, 0)
    assert (-500, 5000) in second[2]


@pytest.mark.parametrize("order", [1, -1])
def test_every_ring_is_wound_as_an_outer_ring_must_be(order):
    rings = np.array(TRIANGLE[::order] + FAR_LEFT[::-order], float)
    found = decode(encode_tile(rings, np.array([0, 4, 9]), np.array([0, 1]), np.array([1, 1])))
    assert all(area(ring) > 0 for _, _, ring in found)


def test_no_nuclei_are_a_valid_tile():
    none = np.empty(0, np.int64)
    assert encode_tile(np.empty((0, 2)), np.zeros(1, np.int64), none, none) == b""
