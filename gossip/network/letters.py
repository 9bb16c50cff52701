"""Letters as they travel from process to process."""

from __future__ import annotations

import pickle
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray

from algorithms.compressors.message import Decoder, Message
from gossip.network.mail import Letter

LETTER = 0  # the first number of one
HEADER = 8  # numbers of 64 bits
ALIGNED = 16  # bytes: where a row begins
DTYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16)

Packed = NDArray[np.uint8]


def packed(letter: Letter) -> Packed:
    """A letter in one piece, which begins with a number that says that it is one: a message is as its sender made it.

    After the header come the label, the operator of a message, and the row or message.
    """
    sender, to, value, label, cause = letter
    words = label.encode()
    operator = b""
    if isinstance(value, Message):
        operator, content = _saved(value.compressor), value.pack(0)
    else:
        content = value.cpu().contiguous().view(torch.uint8).numpy().reshape(-1)
    d, dtype = value.d if isinstance(value, Message) else value.shape[1], DTYPES.index(value.dtype)
    before = 8 * HEADER + len(words) + len(operator)
    begin = before + -before % ALIGNED
    buffer = np.empty(begin + len(content), np.uint8)
    buffer[: 8 * HEADER].view(np.int64)[:] = LETTER, sender, to, cause, d, dtype, len(words), len(operator)
    buffer[8 * HEADER : before] = np.frombuffer(words + operator, np.uint8)
    buffer[begin:] = content
    return buffer


def unpacked(buffer: Packed) -> Letter:
    """The letter that travelled so; its row lies in the buffer."""
    _, sender, to, cause, d, number, words, operator = buffer[: 8 * HEADER].view(np.int64).tolist()
    middle = 8 * HEADER + words
    before = middle + operator
    label, dtype = buffer[8 * HEADER : middle].tobytes().decode(), DTYPES[number]
    content = torch.from_numpy(buffer[before + -before % ALIGNED :])
    if not operator:
        return Letter(sender, to, content.view(dtype)[None], label, cause)
    decoder = _loaded(buffer[middle:before].tobytes())
    return Letter(sender, to, Message(decoder, d, dtype, torch.device("cpu"), (content,)), label, cause)


@lru_cache(64)
def _saved(operator: Decoder) -> bytes:
    return pickle.dumps(operator)


@lru_cache(64)
def _loaded(saved: bytes) -> Decoder:
    decoder: Decoder = pickle.loads(saved)
    return decoder
