"""Distributed averaging: formulas, where it starts, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import gossip
from algorithms import DecentralizedSGD, GossipAveraging, Minibatch, PushSumAveraging
from gossip.workloads import Averaging
from topologies import random_out, randomized_gossip, ring

VALUES = np.random.default_rng(0).normal(size=(4, 3))


def test_formulas() -> None:
    workload = Averaging(values=VALUES).shard(4, 0)
    x = torch.from_numpy(np.random.default_rng(1).normal(size=(2, 3)))
    nodes = [3, 1]
    for examples in (None, torch.zeros(2, 5, dtype=torch.int64)):
        sample = workload.gradient(x, nodes, examples)
        np.testing.assert_allclose(sample.gradient, x.numpy() - VALUES[nodes], rtol=1e-15)
        np.testing.assert_allclose(sample.loss, ((x.numpy() - VALUES[nodes]) ** 2).sum(axis=1) / 2, rtol=1e-14)
    evaluated = workload.evaluate(x[0])
    distances = np.linalg.norm(x[0].numpy() - VALUES, axis=1)
    assert evaluated["test_loss"] == pytest.approx((distances**2).mean() / 2, rel=1e-14)
    assert evaluated["distance_to_optimum"] == pytest.approx(np.linalg.norm(x[0].numpy() - VALUES.mean(axis=0)))
    np.testing.assert_allclose(workload.optimum, VALUES.mean(axis=0), rtol=1e-15)
    assert workload.examples(2) == 1 and workload.layout.d == 3
    np.testing.assert_array_equal(workload.initial(), VALUES)


def test_bits_do_not_depend_on_the_other_nodes() -> None:
    workload = Averaging(dimension=37).shard(5, 3)
    x = torch.from_numpy(np.random.default_rng(1).normal(size=(5, 37)))
    together = workload.gradient(x, range(5))
    for node in range(5):
        alone = workload.gradient(x[node : node + 1], [node])
        assert torch.equal(alone.gradient[0], together.gradient[node]) and alone.loss[0] == together.loss[node]


def test_drawn_values_follow_from_the_seed_and_the_node() -> None:
    few, many, other = (Averaging(dimension=6).shard(n, seed).initial() for n, seed in ((3, 1), (5, 1), (5, 2)))
    assert few.shape == (3, 6) and few.dtype == torch.float64
    assert torch.equal(few, many[:3]) and not torch.equal(many, other)


def test_the_nodes_start_at_their_values_and_agree_on_the_average() -> None:
    for topology, algorithm in ((randomized_gossip(4), GossipAveraging()), (random_out(4), PushSumAveraging())):
        result = gossip.run(
            Averaging(values=VALUES),
            topology,
            algorithm,
            steps=300,
            oracle=Minibatch(2),
            evaluate_every=150,
            output=None,
        )
        assert np.abs(result.model.numpy() - VALUES.mean(axis=0)).max() < 1e-12
        first, *_, last = result.history
        away = np.linalg.norm(VALUES - VALUES.mean(axis=0), axis=1)
        assert first["node_distance_to_optimum"] == pytest.approx(away.mean())
        assert first["consensus_distance"] == pytest.approx(np.sqrt((away**2).mean()))
        assert first["train_loss"] == 0 and last["node_distance_to_optimum"] < 1e-12


def test_with_gradients_it_is_the_simplest_heterogeneous_problem() -> None:
    result = gossip.run(Averaging(values=VALUES), ring(4), DecentralizedSGD(lr=0.1), steps=300, output=None)
    # W of 4 nodes on a ring: fixed point x = W (x - lr (x - v)).
    W = ring(4).matrix.toarray()
    fixed = np.linalg.solve(np.eye(4) - 0.9 * W, 0.1 * W @ VALUES)
    np.testing.assert_allclose(result.model, fixed, atol=1e-10)


def test_refusals() -> None:
    for arguments, says in (
        ({"dimension": 0}, "dimension = 0"),
        ({"values": np.ones(3)}, r"values must be \(n, d\)"),
        ({"values": np.ones((0, 3))}, r"values must be \(n, d\)"),
        ({"values": [[np.nan]]}, "finite"),
    ):
        with pytest.raises(ValueError, match=says):
            Averaging(**arguments)
    with pytest.raises(ValueError, match="values are for 4 nodes, the topology has 5"):
        Averaging(values=VALUES).shard(5, 0)
