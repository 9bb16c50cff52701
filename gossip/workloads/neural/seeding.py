"""Torch's global generator, set for what is drawn in a block."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from algorithms.randomness import generator


@contextmanager
def seeded(seed: int, purpose: str, *numbers: int) -> Iterator[None]:
    """Torch's global generator set to this seed, purpose and numbers within the block, and as before after it.

    It draws in float32 there, whatever torch's default type.
    """
    dtype = torch.get_default_dtype()
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(int(generator(seed, purpose, *numbers).integers(2**63)))
        torch.set_default_dtype(torch.float32)
        try:
            yield
        finally:
            torch.set_default_dtype(dtype)
