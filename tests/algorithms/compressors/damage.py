"""Messages as nobody sends them, and what becomes of them: shared by the tests and by `tests/fuzz/messages.py`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import numpy as np
import torch

from algorithms import Compressor, Message
from algorithms.compressors.wire import frames
from algorithms.numerics.compiled import COMPILED, parts_of
from tests.algorithms.compressors.helpers import compress, same_bits
from tests.algorithms.helpers import Array

SPECIAL = tuple(map(bytes.fromhex, ("ff" * 8, "00" * 8, "7fc0", "c07f", "807f", "f07f", "ffffffff0f", "80" * 9)))


def payload_of(message: Message, row: int = 0) -> Array:
    """The payload of a row, without its header, as bytes."""
    return message.pack(row)[frames.HEADER.size :].copy()


def damaged(payload: Array, random: np.random.Generator) -> Array:
    """A payload that is shorter, longer, partly or wholly random, has some bits flipped, or odd numbers in it."""
    kind, size = random.integers(8), len(payload)
    changed = payload.copy()
    if kind == 0:
        return changed[: random.integers(size + 1)]
    if kind == 1:
        return np.concatenate([changed, random.integers(0, 256, random.integers(1, 12), np.uint8)])
    if kind == 2:
        return random.integers(0, 256, size, np.uint8)
    if kind == 3:
        return random.integers(0, 256, random.integers(2 * size + 4), np.uint8)
    if not size:
        return changed
    if kind == 4:
        start = random.integers(size)
        return np.delete(changed, slice(start, start + random.integers(1, 9)))
    if kind == 5:
        special = np.frombuffer(SPECIAL[random.integers(len(SPECIAL))], np.uint8)
        start = random.integers(size)
        changed[start : start + len(special)] = special[: size - start]
        return changed
    if kind == 6:
        return np.full(size, random.choice([0, 255, 1, 128]), np.uint8)
    for position in random.integers(0, 8 * size, random.integers(1, 5)):
        changed[position // 8] ^= 1 << position % 8
    return changed


def sealed(message: Message, payload: Array) -> Array:
    """The payload as it would travel: with a header and a checksum that are right."""
    kind = frames.fingerprint(message.compressor, message.d, message.dtype)
    return frames.seal(torch.from_numpy(payload), kind).numpy()


def outcomes(message: Message, packed: Array) -> Iterator[tuple[str, torch.Tensor | None]]:
    """What becomes of a packed row, decoded and added, by torch operations and by compiled loops.

    Yields an error or "", and the vector or None. Anything but a ValueError is a fault, and raised as it is.
    """
    for whole in (0, COMPILED):
        with parts_of(whole):
            try:
                yield "", message.unpack(packed)[0]
            except ValueError as error:
                yield str(error), None
            total = torch.ones(message.d, dtype=message.dtype)
            error_of_sum = ""
            try:
                message.add_to(total, packed, 1.0)
            except ValueError as error:
                error_of_sum = str(error)
            yield error_of_sum, None if error_of_sum else total


def fault(message: Message, packed: Array) -> str | None:
    """What is wrong with how a packed row is treated: or None: one clear error or one finite vector."""
    owner = type(message.compressor).__name__
    try:
        (plain, vector), (_, total), (compiled, same), (_, compiled_total) = outcomes(message, packed)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    if plain or compiled:
        if bool(plain) != bool(compiled):
            return f"torch operations say {plain!r}, compiled loops {compiled!r}"
        if not plain.startswith(f"{owner}: ") or "\n" in plain:
            return f"an unclear error: {plain!r}"
        return "an error when decoded, none when added" if total is not None or compiled_total is not None else None
    assert vector is not None and same is not None
    if total is None or compiled_total is None:
        return "an error when added, none when decoded"
    if not vector.isfinite().all():
        return "NaN or infinity"
    if not same_bits(vector, same):
        return "torch operations and compiled loops decode other vectors"
    with suppress(ValueError):
        if not same_bits(total, 1.0 + vector) or not same_bits(compiled_total, total):
            return "what is added is not what is decoded"
    return None


def sample(compressor: Compressor, d: int, dtype: type) -> Message:
    """The message of a vector that is like others."""
    return compress(compressor, np.random.default_rng(d).normal(size=(1, d)).astype(dtype))
