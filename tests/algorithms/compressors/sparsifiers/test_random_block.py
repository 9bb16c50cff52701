"""Globally-randomized blockwise sparsification."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch

from algorithms import RandomBlock
from algorithms.compressors.wire import frames
from algorithms.randomness import Draw
from tests.algorithms.compressors.helpers import HEADER, compress
from tests.algorithms.helpers import Array


def blocks_of(d: int, blocks: int) -> list[Array]:
    """The entries of each block."""
    bounds = [b * d // blocks for b in range(blocks + 1)]
    return [np.arange(first, end) for first, end in pairwise(bounds)]


@pytest.mark.parametrize(
    ("ratio", "blocks", "d", "drawn"),
    [
        (1, 4, 12, 4),
        (2, 4, 12, 2),
        (2, 5, 13, 2),
        (3, 256, 13, 4),
        (100, 7, 30, 1),
        (1.5, 6, 12, 4),
        (16, 256, 4096, 16),
    ],
)
def test_random_block(ratio: float, blocks: int, d: int, drawn: int) -> None:
    x = np.random.default_rng(0).normal(size=(3, d))
    operator = RandomBlock(ratio, blocks)
    parts = blocks_of(d, min(blocks, d))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    for round in range(5):
        key = Draw(0, "compression", range(3), round).key(2)
        random = np.random.Generator(np.random.Philox(key=key.common))
        chosen = random.choice(len(parts), drawn, replace=False, shuffle=False)
        kept = np.concatenate([parts[b] for b in chosen])
        expected = np.zeros((3, d))
        expected[:, kept] = x[:, kept]
        message = compress(operator, x, round)
        np.testing.assert_array_equal(message.dense(), expected)
        assert message.nbytes.tolist() == [HEADER + 8 + 8 * len(kept)] * 3
        assert len(kept) in operator.sizes(d)
    assert operator.alpha(d) == drawn / len(parts)
    assert operator.paper_bits(d, 8) == pytest.approx(64 * d * drawn / len(parts))
    sums = [sum(sorted(map(len, parts), reverse=largest)[:drawn]) for largest in (False, True)]
    assert [operator.sizes(d)[0], operator.sizes(d)[-1]] == sums


def test_it_commutes_with_averaging() -> None:
    x = np.random.default_rng(0).normal(size=(8, 40))
    mean = compress(RandomBlock(4, 8), x).dense().mean(dim=0)
    of_mean = compress(RandomBlock(4, 8), torch.from_numpy(x).mean(dim=0)[None]).dense()[0]
    assert torch.equal(mean, of_mean) and mean.any()


def test_blocks_are_drawn_alike() -> None:
    draws, d = 3000, 10
    x = np.arange(1.0, d + 1)[None]
    found = np.concatenate([compress(RandomBlock(2, 4), x, round).dense().numpy() for round in range(draws)])
    assert (np.abs((found != 0).mean(axis=0) - 0.5) <= 5 * 0.5 / math.sqrt(draws)).all()
    squares = (found**2).sum(1)
    assert abs(squares.mean() - 0.5 * (x**2).sum()) <= 5 * squares.std() / math.sqrt(draws)


@pytest.mark.parametrize(("ratio", "blocks", "name"), [(0.5, 4, "ratio"), (math.inf, 4, "ratio"), (2, 0, "blocks")])
def test_ranges(ratio: float, blocks: int, name: str) -> None:
    with pytest.raises(ValueError, match=f"^RandomBlock: {name} = .* is not allowed; it must be >= 1"):
        RandomBlock(ratio, blocks)


def test_the_common_bits_travel() -> None:
    common = Draw(0, "compression", [0], 0).key(0).common
    assert frames.read_word(RandomBlock(2, 4).encode(torch.ones(8), Draw(0, "compression", [0], 0).key(0)))[0] == common
