"""Regions come in any order; blocks are added in the slide's, and failures end it at once."""

from concurrent.futures import Future

import numpy as np
import pytest

from hoverfast_platform.errors import StorageError
from hoverfast_platform.inference.block_writer import BlockWriter


class Slide:
    """Ten tiles in blocks of four; features come when a test lets them."""

    def __init__(self, fails_at=None):
        self.fails_at = fails_at
        self.written, self.added, self.features = {}, [], {}

    def write_block(self, block, regions):
        if block == self.fails_at:
            raise StorageError("the disk is full")
        self.written[block] = sorted(regions)

    def make_features(self, block):
        self.features[block] = Future()
        return self.features[block]

    def add_block(self, block, ids):
        self.added.append((block, len(ids)))

    def writer(self):
        return BlockWriter(
            10,
            4,
            write_block=self.write_block,
            make_features=self.make_features,
            add_block=self.add_block,
        )


def ids(n):
    return np.zeros((n, 16), np.uint8)


def settled(writer):
    """Everything the writer's thread was given is done."""
    writer._thread.submit(int).result()
    writer._advance()
    writer._thread.submit(int).result()


def full(writer, tile):
    """The tile that completes a block, and the time to write it."""
    writer.take(tile, None)
    settled(writer)


def test_blocks_are_added_in_the_order_of_the_slide():
    slide = Slide()
    with slide.writer() as writer:
        for tile in (9, 8, 1, 0, 3, 7, 2, 4, 5, 6):
            writer.take(tile, None)
        settled(writer)
        assert slide.written == {0: [0, 1, 2, 3], 1: [4, 5, 6, 7], 2: [8, 9]}
        slide.features[2].set_result(ids(3))
        settled(writer)
        assert slide.added == []
        slide.features[0].set_result(ids(1))
        settled(writer)
        assert slide.added == [(0, 1)]
        slide.features[1].set_result(ids(2))
        writer.finish()

    assert slide.added == [(0, 1), (1, 2), (2, 3)]


def test_blocks_of_an_earlier_run_are_not_written_again():
    slide = Slide()
    with slide.writer() as writer:
        writer.take_finished(0)
        writer.take_finished(1)
        for tile in (8, 9):
            writer.take(tile, None)
        settled(writer)
        for block in range(3):
            slide.features[block].set_result(ids(block))
        writer.finish()

    assert slide.written == {2: [8, 9]}
    assert slide.added == [(0, 0), (1, 1), (2, 2)]


def test_a_block_that_cannot_be_written_ends_the_slide_before_its_last_tile():
    slide = Slide(fails_at=0)
    with slide.writer() as writer:
        for tile in range(3):
            writer.take(tile, None)
        with pytest.raises(StorageError, match="full"):
            full(writer, 3)


def test_features_that_fail_end_the_slide():
    slide = Slide()
    with slide.writer() as writer:
        for tile in range(10):
            writer.take(tile, None)
        settled(writer)
        slide.features[0].set_exception(StorageError("not what QuPath imports"))
        with pytest.raises(StorageError, match="QuPath"):
            writer.finish()


def test_what_the_thread_was_asked_to_do_fails_the_slide():
    def job():
        raise StorageError("no room for the table")

    slide = Slide()
    with slide.writer() as writer:
        for block in range(3):
            writer.take_finished(block)
            slide.features[block].set_result(ids(0))
        writer.run(job)
        with pytest.raises(StorageError, match="table"):
            writer.finish()
