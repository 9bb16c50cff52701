"""Operators on parts of a vector: tensor by tensor, block by block."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from algorithms import (
    QSGD,
    Blocks,
    ChocoSGD,
    Composed,
    Compressor,
    Contraction,
    DecentralizedSGD,
    Identity,
    Induced,
    Layout,
    PerTensor,
    RandomK,
    ScaledSign,
    TopK,
)
from algorithms.randomness import Draw
from tests.algorithms.compressors.helpers import HEADER, NODES, compress, same_bits
from tests.algorithms.helpers import Array

LAYOUT = Layout({"weight": (3, 4), "empty": (0, 2), "bias": (3,), "scale": ()})  # 12, 0, 3 and 1 numbers


def by_hand(compressor: Compressor, x: Array, sizes: list[int]) -> Array:
    """Each part compressed by itself, with a key of its own."""
    out = np.zeros_like(x)
    for row in range(len(x)):
        key = Draw(0, "compression", [row % NODES], 0).key(0)
        first = 0
        for part, size in enumerate(sizes):
            piece = torch.from_numpy(x[row, first : first + size].copy())
            target = torch.from_numpy(out[row, first : first + size])
            compressor.decode(compressor.encode(piece, key.part(part)), target)
            first += size
    return out


@pytest.mark.parametrize("compressor", [TopK(fraction=0.4), QSGD(levels=2), ScaledSign(), Identity()], ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_each_part_by_itself(compressor: Compressor, dtype: type) -> None:
    x = np.random.default_rng(0).normal(size=(5, 16)).astype(dtype)
    tensors = compress(PerTensor(compressor).for_layout(LAYOUT), x)
    np.testing.assert_array_equal(tensors.dense(), by_hand(compressor, x, [12, 3, 1]))
    np.testing.assert_array_equal(compress(Blocks(compressor, 7), x).dense(), by_hand(compressor, x, [7, 7, 2]))
    np.testing.assert_array_equal(compress(PerTensor(compressor), x).dense(), by_hand(compressor, x, [16]))
    np.testing.assert_array_equal(compress(Blocks(compressor), x).dense(), by_hand(compressor, x, [16]))


def test_blocks_of_signs_are_buckets() -> None:
    x = torch.randn(3, 50, generator=torch.Generator().manual_seed(0))
    assert same_bits(compress(Blocks(ScaledSign(), 8), x).dense(), compress(ScaledSign(bucket=8), x).dense())


def test_lengths() -> None:
    x = np.random.default_rng(0).normal(size=(2, 16)).astype(np.float32)
    signs = compress(PerTensor(ScaledSign()).for_layout(LAYOUT), x)
    assert signs.nbytes.tolist() == [HEADER + (4 + 2) + (4 + 1) + (4 + 1)] * 2
    assert signs.paper_bits == 3 * 32 + 16
    sparse = compress(PerTensor(TopK(k=1)).for_layout(LAYOUT), x)
    alone = [compress(TopK(k=1), x[:, a:b]).nbytes - HEADER for a, b in ((0, 12), (12, 15), (15, 16))]
    assert sparse.nbytes.tolist() == (HEADER + alone[0] + 1 + alone[1] + 1 + alone[2]).tolist()
    assert sparse.entropy_bits.tolist() == pytest.approx([3 * 32 + math.log2(12) + math.log2(3)] * 2)
    assert PerTensor(Identity()).for_layout(LAYOUT).payload_bytes(16, 4) == 64
    assert PerTensor(TopK(k=1)).for_layout(LAYOUT).payload_bytes(16, 4) is None


def test_vectors_by_an_operator_of_their_own() -> None:
    x = np.random.default_rng(0).normal(size=(5, 16)).astype(np.float32)
    operator = PerTensor(TopK(k=2), vectors=Identity()).for_layout(LAYOUT)
    sent = compress(operator, x).dense().numpy()
    np.testing.assert_array_equal(sent[:, :12], compress(TopK(k=2), x[:, :12]).dense())
    np.testing.assert_array_equal(sent[:, 12:], x[:, 12:])
    assert operator.alpha(16) == 2 / 12
    assert operator.biased
    assert PerTensor(Identity(), vectors=QSGD(levels=2)).random
    assert not PerTensor(Identity(), vectors=ScaledSign()).random


def test_constants() -> None:
    """alpha is the least one, omega the largest one."""
    top = PerTensor(TopK(fraction=0.5)).for_layout(LAYOUT)
    assert top.alpha(16) == 1 / 3  # one of the three of the bias
    assert PerTensor(TopK(fraction=0.5)).alpha(16) == 1 / 2
    assert top.b1(16) == (1 / 3, 1) and top.b2(16) == (1 / 3, 1)
    assert PerTensor(QSGD(levels=2)).for_layout(LAYOUT).omega(16) == QSGD(levels=2).omega(12) == 12 / 16
    assert Blocks(QSGD(levels=1), 10).omega(16) == QSGD(levels=1).omega(10)
    assert Blocks(TopK(k=2), 5).alpha(14) == 2 / 5
    assert not PerTensor(QSGD()).biased and Blocks(TopK(k=1)).biased
    assert Blocks(QSGD()).random and not Blocks(ScaledSign()).random
    worst = np.concatenate([np.zeros(12), np.ones(3), np.zeros(1)])[None]
    lost = ((compress(top, worst).dense().numpy() - worst) ** 2).sum()
    assert lost == pytest.approx((1 - 1 / 3) * 3)


def test_layouts_reach_the_operators_that_care() -> None:
    shapes = tuple(LAYOUT.shapes.values())
    assert PerTensor(TopK(k=1)).for_layout(LAYOUT) == PerTensor(TopK(k=1), shapes)
    assert Contraction(PerTensor(QSGD())).for_layout(LAYOUT) == Contraction(PerTensor(QSGD(), shapes))
    for deaf in (TopK(k=1), Blocks(PerTensor(QSGD())), Composed(TopK(k=1), PerTensor(QSGD()))):
        assert deaf.for_layout(LAYOUT) is deaf
    algorithm = ChocoSGD(lr=0.3, compressor=Induced(PerTensor(TopK(k=1)), QSGD()))
    bound = Induced(PerTensor(TopK(k=1), shapes), QSGD())
    assert algorithm.for_layout(LAYOUT) == ChocoSGD(lr=0.3, compressor=bound)
    assert algorithm.for_layout(LAYOUT).for_layout(LAYOUT) == algorithm.for_layout(LAYOUT)
    assert DecentralizedSGD().for_layout(LAYOUT) == DecentralizedSGD()
    inner = PerTensor(PerTensor(QSGD())).for_layout(LAYOUT)
    assert [piece.compressor for piece in inner.pieces(16)] == [PerTensor(QSGD(), ((3, 4),)), *(
        PerTensor(QSGD(), (shape,)) for shape in ((3,), ())
    )]  # fmt: skip


def test_refusals() -> None:
    with pytest.raises(ValueError, match=r"^PerTensor: the tensors hold 16 numbers, the vector has 15$"):
        PerTensor(TopK(k=1)).for_layout(LAYOUT).check_dimension(15)
    with pytest.raises(ValueError, match="k = 2 is not allowed; it must be at most d = 1"):
        PerTensor(TopK(k=2)).for_layout(LAYOUT).check_dimension(16)
    for d in (1, 6):  # a last block of one
        with pytest.raises(ValueError, match="k = 2 is not allowed; it must be at most d = 1"):
            Blocks(TopK(k=2), 5).check_dimension(d)
    with pytest.raises(ValueError, match="k = 9 is not allowed; it must be at most d = 5"):
        Blocks(TopK(k=9), 5).check_dimension(9 * 5)
    with pytest.raises(ValueError, match=r"^Blocks: size = 0 is not allowed; it must be >= 1$"):
        Blocks(TopK(k=1), 0)
    for damaged in ([], [200], [3, 0]):
        with pytest.raises(ValueError, match="damaged"):
            Blocks(TopK(k=1), 5).decode(torch.tensor(damaged, dtype=torch.uint8), torch.empty(10))


def test_draws_of_the_parts_are_independent() -> None:
    x = np.tile(np.random.default_rng(0).normal(size=8), 2)[None]
    kept = compress(Blocks(RandomK(k=4), 8), x).dense().numpy()[0] != 0
    assert (kept[:8] != kept[8:]).any()
