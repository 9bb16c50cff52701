"""Logistic regression on data that are made for any number of nodes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import gossip
from algorithms import DecentralizedSGD, Minibatch
from gossip.workloads import SyntheticLogisticRegression
from topologies import one_peer_exponential, ring


def gradients(n: int, **options: float) -> torch.Tensor:
    """Of all nodes, at a point that is not the start."""
    shards = SyntheticLogisticRegression(**options).shard(n, seed=3)  # type: ignore[arg-type]
    return shards.gradient(torch.full((n, shards.layout.d), 0.1, dtype=torch.float64), range(n)).gradient


def test_what_a_node_has_depends_on_nothing_but_itself() -> None:
    assert torch.equal(gradients(12)[:5], gradients(5))
    assert not torch.equal(gradients(5)[0], gradients(5)[1])


def test_labels_follow_the_nodes_own_models() -> None:
    alike, different = (gradients(40, examples=2000, heterogeneity=h) for h in (0.0, 3.0))
    spread = [float((each - each.mean(0)).square().sum(1).mean()) for each in (alike, different)]
    # With one distribution only the sampling of 2000 examples differs: E|a|^2 / 4 / 2000, or less.
    assert spread[0] < 20 / 4 / 2000 and spread[1] > 20 * spread[0]


@pytest.mark.parametrize("condition", [1.0, 100.0])
def test_the_condition_number_is_that_of_the_hessian_at_zero(condition: float) -> None:
    shards = SyntheticLogisticRegression(examples=20000, dimension=6, condition=condition, l2=0.0).shard(2, seed=0)
    eye, epsilon = torch.eye(6, dtype=torch.float64), 1e-4
    ends = [
        shards.gradient(torch.stack([sign * e] * 2), range(2)).gradient.mean(0)
        for e in eye * epsilon
        for sign in (1, -1)
    ]
    hessian = torch.stack([(up - down) / (2 * epsilon) for up, down in zip(ends[::2], ends[1::2], strict=True)])
    values = torch.linalg.eigvalsh((hessian + hessian.T) / 2)
    assert float(values[-1] / values[0]) == pytest.approx(condition, rel=0.1)
    assert float(values[-1]) == pytest.approx(1 / 4, rel=0.1)


@pytest.mark.parametrize("name", ["examples", "dimension", "test_examples", "heterogeneity", "condition", "l2"])
def test_values_that_make_no_data_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"^SyntheticLogisticRegression: {name} = -1 is not allowed; it must be >= "):
        SyntheticLogisticRegression(**{name: -1})


def test_thousands_of_nodes_train_and_evaluate() -> None:
    result = gossip.run(
        SyntheticLogisticRegression(examples=6, dimension=5, heterogeneity=0.2),
        one_peer_exponential(2048),
        DecentralizedSGD(lr=0.5),
        oracle=Minibatch(4),
        steps=22,
        output=None,
    )
    assert result.summary["test_accuracy"] > 0.7
    assert result.summary["bytes_sent_per_node"] == 22 * 5 * 8
    assert result.summary["consensus_distance"] < 0.2


def test_test_examples_are_those_of_nodes_all_over() -> None:
    few = SyntheticLogisticRegression(test_examples=3).shard(100, seed=0)
    many = SyntheticLogisticRegression(test_examples=300).shard(100, seed=0)
    x = torch.ones(20, dtype=torch.float64)
    assert np.isfinite(few.evaluate(x)["test_loss"])
    assert many.evaluate(x)["test_loss"] != few.evaluate(x)["test_loss"]
    result = gossip.run(SyntheticLogisticRegression(), ring(3), DecentralizedSGD(lr=0.5), steps=5, output=None)
    assert result.history[-1]["test_loss"] < result.history[0]["test_loss"]
