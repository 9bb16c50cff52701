"""Orders of many nodes at once are those that NumPy's generators give to each alone."""

from __future__ import annotations

import numpy as np
import pytest

from algorithms import Minibatch, OracleState
from algorithms.numerics.orders import agree, batches
from algorithms.oracles.minibatch import MANY


@pytest.mark.parametrize("seed", [0, 7, 2**32 - 1, 2**32, 2**63, 2**70 + 5])
def test_each_order_is_numpys(seed: int) -> None:
    sizes = np.array([1, 2, 3, 4, 5, 8, 9, 16, 17, 64, 65, 100, 255, 256, 257, 1000])
    nodes = np.array([0, 1, 5, 10**4, 2**31, 2**32 - 1, 3, 4, 6, 7, 8, 9, 11, 12, 13, 14])
    for epoch in (0, 1, 12345):
        for node, size in zip(nodes, sizes, strict=True):
            order = batches(seed, 2**32 - 3, np.array([node]), np.array([size]), epoch * int(size), int(size))[0]
            theirs = np.random.default_rng([seed, 2**32 - 3, int(node), epoch]).permutation(size)
            assert np.array_equal(order, theirs)
    assert agree()


class Sizes:
    """A workload that says which examples it is asked for."""

    def examples(self, node: int) -> int:
        return 1 + node % 37

    def gradient(self, x: object, nodes: object, examples: object = None) -> object:
        return examples


@pytest.mark.parametrize("step", [0, 3, 40])
def test_many_nodes_use_the_examples_that_each_uses_alone(step: int) -> None:
    oracle, nodes = Minibatch(batch=8), range(3, MANY + 3)
    state = OracleState.start(len(nodes))
    together = oracle.sample(state, Sizes(), None, nodes, step, 11)  # type: ignore[arg-type]
    alone = [oracle.examples(Sizes().examples(node), node, step, 11) for node in nodes]
    assert np.array_equal(together, np.stack(alone))  # type: ignore[arg-type]
