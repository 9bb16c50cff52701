"""Operators that remember: each row its own, through operators that are made of them, and nothing of silent rows."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from algorithms import (
    QSGD,
    Block,
    Blocks,
    Composed,
    Compressor,
    Contraction,
    Identity,
    Induced,
    Layout,
    PerTensor,
    PowerSGD,
    RandomK,
    ScaledSign,
    TopK,
)
from algorithms.randomness import Draw, Key
from tests.algorithms.compressors.helpers import EVERY, compress, same_bits

K, D = 3, 12
LAYOUT = Layout({"a": (2, 3), "b": (4,), "c": (2,)})


@dataclass
class Held(Block):
    words: Tensor
    uses: Tensor
    names: list[str]


@dataclass(frozen=True)
class HeldK(RandomK):
    """Random-k whose entries are drawn anew for every third message only."""

    def start(self, layout: Layout, k: int, *, dtype: torch.dtype = torch.float32) -> Block:
        return Held(torch.zeros(k, dtype=torch.int64), torch.zeros(k, dtype=torch.int64), [""] * k)

    def select(self, x: Tensor, key: Key, memory: Block | None = None) -> tuple[Tensor, Tensor]:
        if memory is not None:
            assert isinstance(memory, Held)
            if int(memory.uses) % 3 == 0:
                memory.words.fill_(key.own >> 1)
            memory.uses.add_(1)
            key = key._replace(own=int(memory.words))
        return super().select(x, key, memory)


HELD = HeldK(k=1)
WRAPPED: list[Compressor] = [
    HELD,
    PerTensor(HELD).for_layout(LAYOUT),
    Blocks(HELD, 5),
    Contraction(HeldK(k=1, unbiased=True)),
    Induced(HELD, QSGD()),
    Induced(TopK(k=1), HeldK(k=3, unbiased=True)),
    Composed(HELD, ScaledSign()),
    Composed(TopK(k=6), HeldK(k=2)),
    PerTensor(Contraction(Blocks(HeldK(k=1, unbiased=True), 2))).for_layout(LAYOUT),
]


def draw(round: int, nodes: Any = range(K)) -> Draw:
    return Draw(seed=0, purpose="compression", nodes=list(nodes), round=round)


def stack() -> Tensor:
    return torch.randn(K, D, generator=torch.Generator().manual_seed(1)) + 3


def supports(message: Tensor) -> list[list[int]]:
    return [row.nonzero().flatten().tolist() for row in message]


@pytest.mark.parametrize("compressor", WRAPPED, ids=str)
def test_memories_go_through_operators_made_of_others(compressor: Compressor) -> None:
    x = stack()
    memory = compressor.start_like(x)
    assert memory is not None
    messages = [compressor.compress(x, draw(t), memory).dense() for t in range(4)]
    with_others = isinstance(compressor, Induced)  # which have something random, or dense, beside it
    if not with_others:
        assert supports(messages[0]) == supports(messages[1]) == supports(messages[2])
    assert any(not torch.equal(messages[0], each) for each in messages[1:])
    # Without a memory each message is by itself.
    assert same_bits(compressor.compress(x, draw(0)).dense(), compressor.compress(x, draw(0)).dense())
    if not with_others:
        assert supports(messages[0]) != supports(messages[3]) or compressor == WRAPPED[-1]


@pytest.mark.parametrize("compressor", [*WRAPPED, PowerSGD(rank=1, warm_start=True).for_layout(LAYOUT)], ids=str)
def test_a_row_remembers_alone(compressor: Compressor) -> None:
    """Together or one by one, in any split over processes."""
    x = stack()
    together = compressor.start_like(x)
    alone = [compressor.start_like(x[:1]) for _ in range(K)]
    for t in range(5):
        message = compressor.compress(x + t, draw(t), together)
        for row in range(K):
            single = compressor.compress(x[row : row + 1] + t, draw(t, [row]), alone[row])
            assert single.pack(0).tobytes() == message.pack(row).tobytes()


def test_nothing_is_remembered_of_silent_rows() -> None:
    memory = HELD.start_like(stack())
    assert isinstance(memory, Held)
    HELD.compress(stack(), draw(0), memory, sent=torch.tensor([True, False, True]))
    assert memory.uses.tolist() == [1, 0, 1]


def test_a_copy_of_a_memory_goes_on_alike() -> None:
    compressor, x = WRAPPED[1], stack()
    memory = compressor.start_like(x)
    compressor.compress(x, draw(0), memory)
    other = copy.deepcopy(memory)
    for t in range(1, 5):
        assert same_bits(
            compressor.compress(x, draw(t), memory).dense(), compressor.compress(x, draw(t), other).dense()
        )


@pytest.mark.parametrize("compressor", EVERY, ids=str)
def test_most_operators_remember_nothing(compressor: Compressor) -> None:
    assert compressor.start(Layout.vector(50), K) is None


def test_what_receivers_decode_needs_no_memory() -> None:
    compressor, x = PowerSGD(rank=1, warm_start=True).for_layout(LAYOUT), stack()
    memory = compressor.start_like(x)
    for t in range(3):
        message = compressor.compress(x, draw(t), memory)
        assert same_bits(compress(compressor, x).unpack(message.pack(1)), message.dense()[1:2])
    assert Identity().start_like(x) is None
