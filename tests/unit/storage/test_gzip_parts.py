"""Parts compressed apart and joined are an ordinary gzip file."""

import gzip
import io
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from isal import igzip

from hoverfast_platform.storage.gzip_parts import GzipPart, deflate, joined_crc32, write_gzip


def _file_of(texts):
    file = io.BytesIO()
    write_gzip(file, [deflate([text]) for text in texts])
    return file.getvalue()


@given(st.lists(st.binary(max_size=2000), max_size=5))
def test_every_reader_reads_the_texts_one_after_the_other(texts):
    written = _file_of(texts)

    assert gzip.decompress(written) == igzip.decompress(written) == b"".join(texts)
    one_member = zlib.decompressobj(wbits=31)
    assert one_member.decompress(written) == b"".join(texts)
    assert one_member.eof
    assert one_member.unused_data == b""


@given(st.binary(max_size=500), st.binary(max_size=500))
def test_checksum_of_both_comes_from_those_of_each(first, second):
    joined = joined_crc32(zlib.crc32(first), zlib.crc32(second), len(second))

    assert joined == zlib.crc32(first + second)


def test_checksum_of_a_long_text_is_joined_too():
    second = b"nucleus " * 1_000_000

    assert joined_crc32(zlib.crc32(b"a"), zlib.crc32(second), len(second)) == zlib.crc32(
        b"a" + second
    )


def test_a_part_keeps_its_bytes_whatever_follows_and_wherever_it_lay():
    part = deflate([b"one ", b"text"])

    assert part == deflate([b"one ", b"text"])
    assert GzipPart.read(part.stored()) == part
    assert part.deflated in _file_of([b"before", b"one text", b"after"])


def test_a_damaged_part_is_found_by_the_checksum():
    file = io.BytesIO()
    part = deflate([b"one text"])
    write_gzip(file, [GzipPart(part.deflated, part.crc32 ^ 1, part.n_bytes)])

    with pytest.raises(gzip.BadGzipFile, match="CRC"):
        gzip.decompress(file.getvalue())
