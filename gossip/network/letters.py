"""Letters as they travel from process to process."""

from __future__ import annotations

import pickle
from functools import lru_cache
from struct import Struct
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from algorithms.compressors.message import Decoder, Message
from gossip.network.mail import Letter

LETTER = 0  # the first number of one
HEADER = Struct("8q")
ALIGNED = 16  # bytes: where a row begins
DTYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16)

Packed = NDArray[np.uint8]


def packed(letter: Letter) -> Packed:
    """A letter in one piece, which begins with a number that says that it is one: a message is as its sender made it.

    After the header come the label, the operator of a message, and the row or message.
    """
    sender, to, value, label, cause = letter
    words, operator = label.encode(), b""
    if isinstance(value, Message):
        operator, content, d = _saved(value.compressor), value.pack(0), value.d
    else:
        content, d = _values(value), value.shape[1]
    header = HEADER.pack(LETTER, sender, to, cause, d, DTYPES.index(value.dtype), len(words), len(operator))
    gap = bytes(-(len(header) + len(words) + len(operator)) % ALIGNED)
    return np.frombuffer(b"".join((header, words, operator, gap, content.data)), np.uint8)


def unpacked(buffer: Packed) -> Letter:
    """The letter that travelled so; its row lies in the buffer."""
    _, sender, to, cause, d, number, words, operator = HEADER.unpack_from(buffer.data)
    middle = HEADER.size + words
    before = middle + operator
    begin = before + -before % ALIGNED
    label, dtype = buffer[HEADER.size : middle].tobytes().decode(), DTYPES[number]
    if not operator:
        return Letter(sender, to, torch.frombuffer(buffer, dtype=dtype, offset=begin)[None], label, cause)
    content = torch.from_numpy(buffer[begin:])
    decoder = _loaded(buffer[middle:before].tobytes())
    return Letter(sender, to, Message(decoder, d, dtype, torch.device("cpu"), (content,)), label, cause)


def _values(row: Tensor) -> NDArray[Any]:
    row = row.cpu().contiguous()
    values: NDArray[Any] = (row.view(torch.int16) if row.dtype == torch.bfloat16 else row).numpy()
    return values


@lru_cache(64)
def _saved(operator: Decoder) -> bytes:
    return pickle.dumps(operator)


@lru_cache(64)
def _loaded(saved: bytes) -> Decoder:
    decoder: Decoder = pickle.loads(saved)
    return decoder
