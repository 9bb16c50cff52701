"""Which examples the oracles use."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from algorithms import Full, Minibatch, Sample

SIZES = [12, 7, 30, 1]  # examples of each node


class Recorder:
    """A workload that tells which examples it is asked for."""

    def examples(self, node: int) -> int:
        return SIZES[node]

    def gradient(self, x: Tensor, nodes: Sequence[int], examples: Tensor | None = None) -> Sample:
        self.x, self.nodes, self.asked = x, list(nodes), examples
        return Sample(torch.zeros_like(x), torch.zeros(len(x)))


def asked(oracle: Minibatch | Full, nodes: Sequence[int], step: int, seed: int) -> Tensor | None:
    workload = Recorder()
    x = torch.zeros(len(nodes), 2)
    state = oracle.start(workload, x, nodes, seed)
    sample = oracle.sample(state, workload, x, nodes, step, seed)
    used = torch.tensor([getattr(oracle, "batch", SIZES[node]) for node in nodes])
    assert torch.equal(state.gradients, used) and not state.queries.any()
    assert sample.gradient.shape == (len(nodes), 2)
    assert workload.x is x
    assert workload.nodes == list(nodes)
    return workload.asked


def sequence(batch: int, node: int, seed: int, steps: int) -> list[int]:
    """All examples that a node uses, in order."""
    batches = [asked(Minibatch(batch=batch), [node], step, seed) for step in range(steps)]
    assert all(each.shape == (1, batch) and each.dtype == torch.int64 for each in batches)
    return torch.cat(batches, dim=1)[0].tolist()


@pytest.mark.parametrize("batch", [1, 4, 5, 12, 13, 40])
@pytest.mark.parametrize("node", range(4))
def test_every_epoch_uses_each_example_once(node: int, batch: int) -> None:
    size = SIZES[node]
    steps = -(-6 * size // batch)
    used = sequence(batch, node, 3, steps)
    assert len(used) == steps * batch
    epochs = [used[start : start + size] for start in range(0, 6 * size, size)]
    for epoch in epochs:
        assert sorted(epoch) == list(range(size))
    if size >= 7:
        assert len({tuple(epoch) for epoch in epochs}) == 6  # each in an order of its own


def test_a_batch_larger_than_the_shard_goes_round_it() -> None:
    counts = Counter(sequence(20, 1, 0, 1))
    assert sorted(counts) == list(range(7))
    assert set(counts.values()) == {2, 3}


def test_examples_depend_on_node_step_and_seed_alone() -> None:
    oracle = Minibatch(batch=5)
    alone = {node: asked(oracle, [node], 7, 11) for node in range(4)}
    for nodes in ([0, 1, 2, 3], [3, 1], [2], range(1, 3)):
        together = asked(oracle, nodes, 7, 11)
        for row, node in enumerate(nodes):
            assert torch.equal(together[row], alone[node][0])
    for step in (9, 2, 30):  # a later call does not depend on the earlier ones
        asked(oracle, [2], step, 11)
    assert torch.equal(asked(oracle, [2], 7, 11), alone[2])
    assert torch.equal(asked(Minibatch(batch=5), [2], 7, 11), alone[2])


def test_nodes_and_seeds_have_orders_of_their_own() -> None:
    oracle = Minibatch(batch=30)
    orders = {tuple(oracle.examples(30, node, 0, seed)) for node in range(4) for seed in range(5)}
    assert len(orders) == 20


def test_every_example_is_as_likely_in_every_place() -> None:
    first = Counter(int(Minibatch(batch=1).examples(6, node, 0, 0)[0]) for node in range(3000))
    assert sorted(first) == list(range(6))
    assert np.abs(np.array(list(first.values())) - 500).max() < 5 * np.sqrt(500 * 5 / 6)


def test_full_takes_everything() -> None:
    assert asked(Full(), [2, 0], 5, 1) is None


def test_gradients_are_refused_where_there_are_none() -> None:
    class BlackBox:
        def examples(self, node: int) -> int:
            return 3

    for oracle in (Full(), Minibatch()):
        with pytest.raises(ValueError, match=f"{type(oracle).__name__} needs gradients, and BlackBox gives") as raised:
            oracle.start(BlackBox(), torch.zeros(1, 2), [0], 0)
        assert "\n" not in str(raised.value)
