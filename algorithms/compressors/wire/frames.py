"""How a compressed row travels: a header that says what it is, and the operator's payload.

    bytes  0-1   "gs"
           2     version of this format
           3     0
           4-7   fingerprint of the operator with its parameters, the dimension and the precision
           8-15  length of the payload in bytes
          16-23  checksum of the payload (XXH3)

A node that sends nothing in a round sends the single byte "s" instead, its flag.

All numbers are little-endian. A buffer that is anything else raises an error, never a wrong vector.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from xxhash import xxh3_64_intdigest as xxh3

Bytes = NDArray[np.uint8]

MAGIC, VERSION = b"gs", 1
HEADER = struct.Struct("<2sBxIQQ")
SILENT = torch.tensor([ord("s")], dtype=torch.uint8)  # the whole row of a node that sends nothing


@lru_cache
def fingerprint(*described: object) -> int:
    """A number for what sender and receiver must agree on."""
    return zlib.crc32(repr(described).encode())


def seal(payload: Tensor, kind: int) -> Tensor:
    """A payload with its header; `kind` is the fingerprint."""
    content = payload.cpu().numpy()
    packed = np.empty(HEADER.size + content.size, np.uint8)
    packed[HEADER.size :] = content
    HEADER.pack_into(packed.data, 0, MAGIC, VERSION, kind, content.size, xxh3(packed[HEADER.size :].data))
    return torch.from_numpy(packed)


def is_silent(packed: Bytes) -> bool:
    """Whether this is the row of a node that sent nothing."""
    return len(packed) == 1 and packed[0] == ord("s")


def unseal(packed: Bytes, kind: int, owner: str) -> Tensor:
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
    return torch.from_numpy(payload)


def split(buffer: Bytes, owner: str, expected: int | None = None) -> list[Bytes]:
    """Packed rows that follow each other, one by one.

    Raises:
        ValueError: if the buffer is not a whole number of them, at least one, and as many as expected.
    """
    rows: list[Bytes] = []
    position = 0
    while position < len(buffer) or not rows:
        if is_silent(buffer[position : position + 1]):
            end = position + 1
        else:
            _, length, _ = _header(buffer[position:], owner)
            end = position + HEADER.size + length
        if end > len(buffer):
            raise ValueError(f"{owner}: truncated message of {len(buffer)} bytes")
        rows.append(buffer[position:end])
        position = end
    if expected not in (None, len(rows)):
        raise ValueError(f"{owner}: {len(rows)} rows where {expected} were expected")
    return rows


def join(parts: Sequence[Tensor], lengths: Sequence[int | None] | None = None) -> Tensor:
    """Payloads one after another, each behind its length.

    Args:
        parts: The payloads.
        lengths: What the receiver knows of their lengths, None for what it does not. With it, only those that are not
            known are sent, and not that of the last part, which is the rest.
    """
    sent = [True] * len(parts) if lengths is None else _sent(lengths)
    sections = []
    for part, with_length in zip(parts, sent, strict=True):
        sections += [varints([len(part)]).to(part.device), part] if with_length else [part]
    return torch.cat(sections)


def split_payload(payload: Tensor, parts: int | Sequence[int | None]) -> list[Tensor]:
    """What `join` has put together.

    Args:
        payload: All of it.
        parts: The number of payloads, or the lengths that are known of them, as in `join`.

    Raises:
        ValueError: if these are not so many payloads.
    """
    lengths: Sequence[int | None] = [None] * parts if isinstance(parts, int) else parts
    sent = [True] * parts if isinstance(parts, int) else _sent(parts)
    found = []
    for known, with_length in zip(lengths, sent, strict=True):
        if with_length:
            (size,), payload = read_varints(payload, 1)
        else:
            size = len(payload) if known is None else known
        if size > len(payload):
            raise ValueError("a payload of several parts is damaged")
        found.append(payload[:size])
        payload = payload[size:]
    if len(payload):
        raise ValueError("a payload of several parts is damaged")
    return found


def _sent(lengths: Sequence[int | None]) -> list[bool]:
    """Which parts stand behind their length."""
    return [known is None and i + 1 < len(lengths) for i, known in enumerate(lengths)]


def varints(numbers: Iterable[int]) -> Tensor:
    """Non-negative numbers, 7 bits a byte, lowest first, the highest bit set in all but a number's last (LEB128)."""
    packed = bytearray()
    for number in numbers:
        while number > 0x7F:
            packed.append(number & 0x7F | 0x80)
            number >>= 7
        packed.append(number)
    return torch.frombuffer(packed, dtype=torch.uint8)


def read_varints(packed: Tensor, count: int) -> tuple[list[int], Tensor]:
    """(so many numbers, the bytes that follow them).

    Raises:
        ValueError: if there are less.
    """
    numbers: list[int] = []
    position = number = shift = 0
    while len(numbers) < count:
        if position == len(packed) or shift > 63:
            raise ValueError("the numbers of a message are damaged")
        byte = int(packed[position])
        position += 1
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            numbers.append(number)
            number = shift = 0
    return numbers, packed[position:]


def number_bytes(bound: int) -> int:
    """Whole bytes that a number below `bound` takes: the bits of the largest one, rounded up."""
    return -(-(bound - 1).bit_length() // 8)


def from_number(number: int, bound: int) -> Tensor:
    """A number below `bound`."""
    return torch.tensor([*number.to_bytes(number_bytes(bound), "little")], dtype=torch.uint8)


def read_number(packed: Tensor, bound: int) -> tuple[int, Tensor]:
    """(a number below `bound`, the bytes that follow it).

    Raises:
        ValueError: if it is none.
    """
    size = number_bytes(bound)
    if len(packed) < size:
        raise ValueError(f"a payload of {len(packed)} bytes instead of at least {size}")
    number = int.from_bytes(packed[:size].numpy().tobytes(), "little")
    if number >= bound:
        raise ValueError(f"a payload with the number {number}, which must be below {bound}")
    return number, packed[size:]


def from_word(word: int) -> Tensor:
    """64 bits."""
    return from_number(word, 1 << 64)


def read_word(packed: Tensor) -> tuple[int, Tensor]:
    """(64 bits, the bytes that follow them).

    Raises:
        ValueError: if there are less.
    """
    return read_number(packed, 1 << 64)


def as_bytes(values: Tensor) -> Tensor:
    """The memory of numbers."""
    if not values.numel():  # which torch cannot view where they come from NumPy
        return torch.empty(0, dtype=torch.uint8, device=values.device)
    return values.contiguous().view(torch.uint8)


def from_buffer(content: bytes | bytearray) -> Tensor:
    """Bytes as a tensor of its own."""
    return torch.frombuffer(bytearray(content), dtype=torch.uint8) if content else torch.empty(0, dtype=torch.uint8)


def read_values(packed: Tensor, count: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """(so many numbers of this type, the bytes that follow them).

    Raises:
        ValueError: if there are less.
    """
    size = count * dtype.itemsize
    if len(packed) < size:
        raise ValueError(f"a payload of {len(packed)} bytes instead of at least {size}")
    return from_bytes(packed[:size], dtype), packed[size:]


def from_bytes(packed: Tensor, dtype: torch.dtype) -> Tensor:
    """Numbers from their memory, wherever it begins."""
    return packed.clone().view(dtype)


def finite(values: Tensor) -> Tensor:
    """These numbers, which a payload tells.

    Raises:
        ValueError: if NaN or infinity is among them: only finite vectors are packed, and none becomes that.
    """
    if values.numel() and not all(bool(each.isfinite()) for each in torch.aminmax(values)):
        raise ValueError("a payload with NaN or infinity, which stands for no vector")
    return values


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
