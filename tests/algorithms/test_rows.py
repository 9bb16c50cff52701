"""Parts of states that belong to some of the local nodes, and samples of these."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from algorithms import Adam, AdamW, Block, LocalOptimizer, ResidualSGD, Sample
from algorithms.layout import Layout
from algorithms.numerics.rows import LAZY, placed
from algorithms.optimizers import SGD, Clipped, Lamb, Lars
from algorithms.sample import SampleOfSome
from algorithms.state import Rows, as_rows, put_rows, rows_of


@dataclass
class Part(Block):
    stack: Tensor
    items: list[Tensor]
    pair: tuple[Tensor, int]
    named: dict[str, Tensor]
    count: int


def part(k: int) -> Part:
    stack = torch.arange(2.0 * k).reshape(k, 2)
    return Part(stack, [row.clone() for row in stack], (stack + 10, 5), {"a": stack + 20}, 3)


@pytest.mark.parametrize("rows", [[], [0], [1, 2], [0, 2, 3], [0, 1, 2, 3]])
def test_some_rows_are_taken_changed_and_put_back(rows: list[int]) -> None:
    whole, before, some = part(4), part(4), as_rows(rows)
    assert isinstance(some, slice) == (rows != [0, 2, 3])
    own = rows_of(whole, some)
    for stack, all_ in (
        (own.stack, before.stack),
        (own.pair[0], before.stack + 10),
        (own.named["a"], before.stack + 20),
    ):
        assert torch.equal(stack, all_[rows])
    assert [item.tolist() for item in own.items] == [before.items[row].tolist() for row in rows]
    changed = Part(-own.stack, [-item for item in own.items], (-own.pair[0], 6), {"a": -own.named["a"]}, 7)
    put_rows(whole, some, changed)
    sign = torch.ones(4, 1)
    sign[rows] = -1
    assert torch.equal(whole.stack, sign * before.stack) and whole.count == 7
    assert torch.equal(torch.stack(whole.items), sign * before.stack)
    assert torch.equal(whole.pair[0], sign * (before.stack + 10)) and whole.pair[1] == 6
    assert torch.equal(whole.named["a"], sign * (before.stack + 20))


@pytest.mark.parametrize("d", [3, LAZY // 8], ids=["made at once", "made where it is touched"])
def test_rows_among_zeros(d: int) -> None:
    rows = torch.arange(2 * d, dtype=torch.float64).reshape(2, d) + 1
    stack = placed(rows, [0, 3], 4)
    assert torch.equal(stack[[0, 3]], rows) and not stack[1:3].any()
    stack[1] = 5.0
    assert not placed(rows, [0, 3], 4)[1].any()
    assert placed(rows, slice(0, 2), 2) is rows


def test_a_sample_of_some_nodes_says_0_of_the_others() -> None:
    some = Sample(torch.ones(2, 3), torch.ones(2), torch.ones(2, 1))
    sample = SampleOfSome(some, as_rows([0, 2]), 3)
    assert sample.of([0, 2]) is some.gradient
    assert sample.gradient.tolist() == [[1.0] * 3, [0.0] * 3, [1.0] * 3]
    assert torch.equal(sample.of(slice(1, 3)), sample.gradient[1:])
    assert sample.loss.tolist() == [1.0, 0.0, 1.0]
    assert sample.norms is not None and sample.norms.tolist() == [[1.0], [0.0], [1.0]]


OPTIMIZERS: list[LocalOptimizer[Any]] = [
    SGD(0.9, weight_decay=0.1),
    Adam(),
    AdamW(),
    ResidualSGD(0.5, momentum=0.5),
    Lars(0.9),
    Lamb(),
    Clipped(0.1, Adam()),
]


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
@pytest.mark.parametrize("rows", [[], [1], [0, 2], [0, 1, 2]], ids=str)
def test_optimizers_move_some_rows_as_they_move_all(optimizer: LocalOptimizer[Any], rows: list[int]) -> None:
    optimizer = optimizer.for_layout(Layout({"a": (2, 2), "b": (3,)}))
    random = torch.Generator().manual_seed(1)
    gradients = torch.randn(3, 3, 7, generator=random, dtype=torch.float64)
    x = torch.randn(3, 7, generator=random, dtype=torch.float64)

    def moved(some: Rows, x: Tensor) -> Tensor:
        memory = optimizer.start(x)
        for gradient in gradients:
            own = rows_of(memory, some)
            scale, direction = optimizer.update(x[some], own, gradient[some], 0.1)
            x[some] = x[some] + scale * direction
            memory = put_rows(memory, some, own)
        return x

    everywhere = moved(slice(0, 3), x.clone())
    found = moved(as_rows(rows), x.clone())
    rest = [row for row in range(3) if row not in rows]
    assert torch.equal(found[rows], everywhere[rows]) and torch.equal(found[rest], x[rest])
