"""How a compressed row travels: a header that says what it is, and the operator's payload.

    bytes  0-1   "gs"
           2     version of this format
           3     0
           4-7   fingerprint of the operator with its parameters, the dimension and the precision
           8-15  length of the payload in bytes
          16-23  checksum of the payload (XXH3)

All numbers are little-endian. A buffer that is anything else raises an error, never a wrong vector.
"""

from __future__ import annotations

import struct
import zlib

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest as xxh3

Bytes = NDArray[np.uint8]

MAGIC, VERSION = b"gs", 1
HEADER = struct.Struct("<2sBxIQQ")


def fingerprint(*described: object) -> int:
    """A number for what sender and receiver must agree on."""
    return zlib.crc32(repr(described).encode())


def seal(payload: Bytes, kind: int) -> Bytes:
    """A payload with its header; `kind` is the fingerprint."""
    packed = np.empty(HEADER.size + len(payload), np.uint8)
    packed[HEADER.size :] = payload
    HEADER.pack_into(packed.data, 0, MAGIC, VERSION, kind, len(payload), xxh3(packed[HEADER.size :].data))
    return packed


def unseal(packed: Bytes, kind: int, owner: str) -> Bytes:
    """The payload of a packed row.

    Args:
        packed: Header and payload, nothing more.
        kind: The fingerprint that it must have.
        owner: The name of the operator, for errors.

    Raises:
        ValueError: if this is no such row.
    """
    found, length, checksum = _header(packed, owner)
    if found != kind:
        raise ValueError(f"{owner}: a message of another operator, dimension or precision")
    payload = packed[HEADER.size :]
    if len(payload) != length:
        raise ValueError(f"{owner}: truncated message, {len(payload)} bytes of a payload of {length}")
    if xxh3(payload.data) != checksum:
        raise ValueError(f"{owner}: corrupted message, the checksum of its {length} bytes is wrong")
    return payload


def split(buffer: Bytes, owner: str) -> list[Bytes]:
    """Packed rows that follow each other, one by one.

    Raises:
        ValueError: if the buffer is not a whole number of them, at least one.
    """
    rows: list[Bytes] = []
    position = 0
    while position < len(buffer) or not rows:
        _, length, _ = _header(buffer[position:], owner)
        end = position + HEADER.size + length
        if end > len(buffer):
            raise ValueError(f"{owner}: truncated message of {len(buffer)} bytes")
        rows.append(buffer[position:end])
        position = end
    return rows


def _header(packed: Bytes, owner: str) -> tuple[int, int, int]:
    """(fingerprint, length of the payload, checksum)."""
    if len(packed) < HEADER.size:
        raise ValueError(f"{owner}: truncated message, {len(packed)} bytes are less than a header")
    magic, version, kind, length, checksum = HEADER.unpack_from(packed.data)
    if magic != MAGIC:
        raise ValueError(f"{owner}: not a message, it begins with {magic!r}")
    if version != VERSION:
        raise ValueError(f"{owner}: a message in version {version} of the format, this is version {VERSION}")
    return kind, length, checksum
