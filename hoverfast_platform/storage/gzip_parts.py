"""One gzip file of parts that were compressed apart: in other processes, at other times.

A part ends on a byte and refers to nothing before it (a flush of deflate), so that parts
joined are one stream; the file's checksum is computed from theirs. Readers see an ordinary gzip
file with one member.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import BinaryIO, cast

from isal import igzip_lib, isal_zlib

from hoverfast_platform.errors import StorageError

DEFLATE_ERROR: type[Exception] = cast(type[Exception], igzip_lib.IsalError)
"""What isal raises for bytes that are not deflate; its stubs hide that it is an exception."""

_LEVEL = 2
_HEADER = b"\x1f\x8b\x08\x00" + bytes(4) + b"\x00\xff"  # no name, no time: equal text, equal bytes
_END = b"\x03\x00"  # a last block that holds nothing
_STORED = struct.Struct("<IQ")
_POLYNOMIAL = 0xEDB88320


@dataclass(frozen=True)
class GzipPart:
    """Compressed bytes, and what the file's trailer needs to know of the plain ones."""

    deflated: bytes
    crc32: int
    n_bytes: int

    def stored(self) -> bytes:
        """The part as bytes for a file; :meth:`read` takes them."""
        return _STORED.pack(self.crc32, self.n_bytes) + self.deflated

    @classmethod
    def read(cls, stored: bytes) -> GzipPart:
        """What :meth:`stored` gave."""
        crc32, n_bytes = _STORED.unpack_from(stored)
        return cls(stored[_STORED.size :], crc32, n_bytes)

    def text(self) -> bytes:
        """The plain bytes.

        Raises:
            StorageError: If they are not those that were compressed.
        """
        try:
            text = isal_zlib.decompressobj(wbits=-15).decompress(self.deflated)
        except DEFLATE_ERROR as error:
            raise _not_whole(str(error)) from error
        if len(text) != self.n_bytes or isal_zlib.crc32(text) != self.crc32:
            raise _not_whole("its checksum is another")
        return text


def _not_whole(why: str) -> StorageError:
    return StorageError(f"A part of a gzip file is damaged: {why}.", "Run again.")


def deflate(chunks: Iterable[bytes]) -> GzipPart:
    """Compress bytes as a part."""
    compressor = isal_zlib.compressobj(level=_LEVEL, wbits=-15)
    deflated, crc32, n_bytes = [], 0, 0
    for chunk in chunks:
        deflated.append(compressor.compress(chunk))
        crc32, n_bytes = isal_zlib.crc32(chunk, crc32), n_bytes + len(chunk)
    deflated.append(compressor.flush(isal_zlib.Z_SYNC_FLUSH))
    return GzipPart(b"".join(deflated), crc32, n_bytes)


def write_gzip(file: BinaryIO, parts: Iterable[GzipPart]) -> None:
    """Write parts, in their order, as a gzip file."""
    file.write(_HEADER)
    crc32, n_bytes = write_deflated(file, parts)
    file.write(struct.pack("<II", crc32, n_bytes & 0xFFFFFFFF))


def write_deflated(file: BinaryIO, parts: Iterable[GzipPart]) -> tuple[int, int]:
    """Write parts, in their order, as one stream of deflate.

    Returns:
        The checksum of the plain bytes, and how many they are.
    """
    crc32 = n_bytes = 0
    for part in parts:
        file.write(part.deflated)
        crc32 = joined_crc32(crc32, part.crc32, part.n_bytes)
        n_bytes += part.n_bytes
    file.write(_END)
    return crc32, n_bytes


def joined_crc32(first: int, second: int, n_bytes_second: int) -> int:
    """The CRC-32 of two texts one after the other, from theirs (as zlib's ``crc32_combine``).

    A CRC is linear over GF(2): ``first`` is carried through as many zero bytes as the second
    text has, by squaring the operator of one zero bit.
    """
    operator = [_POLYNOMIAL, *(1 << bit for bit in range(31))]  # one zero bit
    for _ in range(3):
        operator = [_applied(operator, column) for column in operator]  # to one zero byte
    while n_bytes_second:
        if n_bytes_second & 1:
            first = _applied(operator, first)
        operator = [_applied(operator, column) for column in operator]
        n_bytes_second >>= 1
    return first ^ second


def _applied(operator: list[int], vector: int) -> int:
    total, column = 0, 0
    while vector:
        if vector & 1:
            total ^= operator[column]
        vector >>= 1
        column += 1
    return total
