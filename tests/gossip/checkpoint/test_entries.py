"""What belongs to nodes follows from the kinds of entries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor

from algorithms import Algorithm, Block, Compressor, Message, State, TopK
from algorithms.randomness import Draw
from gossip.checkpoint.entries import StateRows, StatesFromRows


@dataclass(frozen=True)
class Compressing(Algorithm):
    compressor: Compressor = field(default_factory=lambda: TopK(k=1))


@dataclass
class Numbered(State):
    """A state with a field of every kind."""

    same: Tensor
    counts: Tensor
    shares: list[float]
    draws: list[int]
    lists: list[Tensor]
    pairs: dict[int, Tensor]
    travelling: tuple[Tensor, Tensor]
    sent: Message
    searched: dict[float, float]
    nothing: None = None
    gamma: float = 0.1
    on: bool = True
    word: str = "x"


@dataclass
class Anything(Block):
    """A part of a state that is whatever a test wants to save."""

    y: Any


class Read:
    """The rows of several ranks."""

    def __init__(self, *ranks: tuple[Sequence[int], dict[str, Tensor]]) -> None:
        self.ranks = ranks

    def stack(self, name: str, nodes: Sequence[int]) -> Tensor:
        rows = {node: rows[name][i] for hosted, rows in self.ranks for i, node in enumerate(hosted)}
        return torch.stack([rows[node] for node in nodes])

    def item(self, name: str, node: int) -> Tensor:
        return next(rows[name] for hosted, rows in self.ranks if node in hosted)


def message(nodes: Sequence[int], x: Tensor, sent: Tensor | None = None) -> Message:
    return TopK(k=1).compress(x, Draw(0, "test", nodes, 0), sent=sent)


def state(nodes: Sequence[int]) -> State:
    """Of nodes i with numbers that tell i."""
    x = torch.tensor([[i, i + 0.5] for i in nodes])
    return Numbered(
        x=x,
        same=x,
        counts=torch.tensor([10 * i for i in nodes]),
        shares=[0.5 * i for i in nodes],
        draws=[100 * i for i in nodes],
        lists=[torch.full((i, 2), float(i)) for i in nodes],
        pairs={0: x + 1, 7: x + 2},
        travelling=(x + 3, torch.tensor([[1.0 * i] for i in nodes], dtype=torch.float64)),
        sent=message(nodes, x + 4, torch.tensor([i != 2 for i in nodes])),
        searched={0.25: 0.1, 0.5: float("nan")},
        step=3,
    )


def test_nodes_that_move() -> None:
    ranks, outlines = [], []
    for nodes in ([0, 1], [2, 3, 4]):
        parts = StateRows(Compressing())
        parts.take("algorithm", state(nodes), nodes)
        ranks.append((nodes, parts.rows))
        outlines.append(parts.outline)
    assert repr(outlines[0]) == repr(outlines[1])
    for nodes in ([0, 1, 2, 3, 4], [1, 2, 3], [4], [0, 4]):
        whole = StatesFromRows(Compressing(), Read(*ranks)).state("algorithm", outlines[0]["algorithm"], nodes)
        expected = state(nodes)
        assert list(vars(whole)) == list(vars(expected))
        assert whole.same is whole.x
        assert_equal(vars(whole), vars(expected))
    nobody = StatesFromRows(Compressing(), Read(*ranks)).state("algorithm", outlines[0]["algorithm"], [])
    assert nobody.x.shape == (0, 2)
    assert nobody.counts.dtype == torch.int64
    assert nobody.lists == nobody.shares == []
    assert nobody.step == 3


def assert_equal(one: Any, other: Any) -> None:
    assert type(one) is type(other)
    if isinstance(one, Message):
        one, other = (
            (one.compressor, one.d, one.dtype, one.packed),
            (other.compressor, other.d, other.dtype, other.packed),
        )
    if isinstance(one, Tensor):
        assert one.dtype == other.dtype
        assert torch.equal(one, other)
    elif isinstance(one, dict):
        assert list(one) == list(other)
        for key in one:
            assert_equal(one[key], other[key])
    elif isinstance(one, list | tuple):
        assert len(one) == len(other)
        for i in range(len(one)):
            assert_equal(one[i], other[i])
    else:
        assert repr(one) == repr(other)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (torch.zeros(3), "algorithm.y is of 3 nodes, and 2 are there"),
        ([torch.zeros(1)] * 3, "algorithm.y is of 3 nodes, and 2 are there"),
        ({"part": torch.zeros(4, 2)}, "algorithm.y.part is of 4 nodes, and 2 are there"),
        (torch.zeros(()), "algorithm.y is a Tensor of a kind that cannot be saved"),
        ([1, 2.0], "algorithm.y is a list of a kind that cannot be saved"),
        ([(), ()], "algorithm.y is a list of a kind that cannot be saved"),
        ({1, 2}, "algorithm.y is a set of a kind that cannot be saved"),
    ],
)
def test_what_cannot_be_saved(value: Any, says: str) -> None:
    with pytest.raises(ValueError, match="Compressing: what the state has as ") as refused:
        StateRows(Compressing()).take("algorithm", Anything(value), [4, 5])
    assert says in str(refused.value)


def test_messages_of_strange_compressors_and_strange_values_posted() -> None:
    parts = StateRows(Algorithm())
    with pytest.raises(ValueError, match="is a message of a compressor that the algorithm does not have"):
        parts.take("algorithm", Anything(message([0], torch.ones(1, 2))), [0])
    parts.take("algorithm", State(torch.ones(1, 2)), [0])
    with pytest.raises(ValueError, match="has posted what its state does not hold"):
        parts.name(torch.ones(1, 2))
