"""Losses at points of an algorithm's choice, as those who drive algorithms give them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import gossip
from algorithms import (
    AdditiveNoise,
    Attacked,
    DecentralizedSGD,
    Minibatch,
    Oracle,
    SignFlip,
    Svrg,
    Zeno,
    ZerothOrder,
    uniform_batch,
)
from gossip.drivers.gradients import Gradients
from gossip.workloads import Averaging, Digits, LeastSquares, Supervised
from tests.cases.workloads import least_squares
from topologies import ring

SEED, STEP, BATCH = 3, 5, 4


@pytest.mark.parametrize(
    "oracle", [Minibatch(3), Svrg(3), ZerothOrder(Minibatch(2))], ids=lambda oracle: type(oracle).__name__
)
def test_they_are_those_of_a_batch_of_the_node(oracle: Oracle) -> None:
    workload: Any = least_squares(6)
    nodes = [1, 2, 5]
    gradients = Gradients(oracle, workload, nodes, SEED, with_losses=True)
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(3, workload.layout.d)))
    state = gradients.start(x)
    sample = gradients.sample(state, x, STEP, idle=[2])
    counted, points = state.queries.clone(), torch.cat([x, -x])
    assert sample.losses is not None
    found = sample.losses(points, 2, BATCH)
    chosen = uniform_batch(workload.examples(5), BATCH, 5, STEP, SEED, "validation")
    A, b = workload.features[5][chosen], workload.targets[5][chosen]
    rows = points.numpy()
    wanted = ((rows @ A.T - b) ** 2).mean(axis=1) / 2 + workload.l2 / 2 * (rows**2).sum(axis=1)
    np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-12)
    assert (state.queries - counted).tolist() == [0, 0, len(points) * BATCH]
    assert torch.equal(sample.losses(points, 2, BATCH), found)  # the same examples in the whole iteration
    later = gradients.sample(state, x, STEP + 1).losses
    assert later is not None and not torch.equal(later(points, 2, BATCH), found)


def normalised(*layers: nn.Module, shape: tuple[int, ...]) -> Supervised:
    """A model with running statistics, on four nodes."""
    inputs, targets = torch.randn(12, *shape, generator=torch.Generator().manual_seed(0)), torch.arange(12) % 2
    return Supervised(
        nn.Sequential(*layers),
        nn.functional.cross_entropy,
        inputs,
        targets,
        test_inputs=inputs,
        test_targets=targets,
        shards=np.split(np.arange(12), 4),
        classification=True,
        running_statistics=True,
    )


def test_running_statistics_stay_as_they_are() -> None:
    workload = normalised(nn.BatchNorm2d(1), nn.Flatten(), nn.Linear(4, 2), shape=(1, 2, 2))
    gradients = Gradients(Minibatch(3), workload, [0, 1], SEED, with_losses=True)
    x = workload.initial().repeat(2, 1)
    state = gradients.start(x)
    sample = gradients.sample(state, x, 0)
    assert sample.losses is not None and state.buffers
    before = {name: stack.clone() for name, stack in state.buffers.items()}
    first, again = (sample.losses(torch.cat([x, -x]), 1, 3) for _ in range(2))
    assert torch.equal(first, again)
    assert all(torch.equal(stack, before[name]) for name, stack in state.buffers.items())


def test_where_nobody_trains_they_can_be_asked_for() -> None:
    workload: Any = least_squares(3)
    gradients = Gradients(Minibatch(2), workload, [2], SEED, with_losses=True)
    x = torch.zeros(1, workload.layout.d, dtype=torch.float64)
    sample = gradients.sample(gradients.start(x), x, 0, idle=[0])
    assert sample.losses is not None and sample.losses(x, 0, 2).shape == (1,)


def test_they_are_counted_in_a_run() -> None:
    """5 losses of 3 examples in each step, at one of 5 nodes; that one computes no gradient."""
    history = gossip.run(
        Digits(hidden=4), ring(5), Zeno(batch=3), oracle=Minibatch(8), steps=4, evaluate_every=2, output=None
    ).history
    assert [record["queries_per_node"] for record in history] == [0, 2 * 15 / 5, 4 * 15 / 5]
    assert [record["gradients_per_node"] for record in history] == [0, 2 * 8 * 4 / 5, 4 * 8 * 4 / 5]


def test_noise_of_gradients_leaves_them_alone() -> None:
    workload: LeastSquares = least_squares(3)  # type: ignore[assignment]
    x = torch.zeros(3, workload.layout.d, dtype=torch.float64)
    found = []
    for oracle in (Minibatch(2), AdditiveNoise(Minibatch(2), deviation=1.0)):
        gradients = Gradients(oracle, workload, range(3), SEED, with_losses=True)
        losses = gradients.sample(gradients.start(x), x, 0).losses
        assert losses is not None
        found.append(losses(x, 1, 2))
    assert torch.equal(*found)


@pytest.mark.parametrize(
    ("workload", "algorithm", "options", "says"),
    [
        (
            Averaging(),
            Zeno(),
            {},
            "Zeno asks for losses at other points, and .* does not give those of single examples",
        ),
        (Averaging(), Attacked(Zeno()), {}, "Attacked asks for losses at other points"),
        (
            normalised(nn.Flatten(), nn.BatchNorm1d(4), nn.Linear(4, 2), shape=(1, 2, 2)),
            Zeno(),
            {},
            "Zeno asks for losses of single examples, and BatchNorm needs batches of at least 2",
        ),
        (Digits(), Zeno(batch=10_000), {}, "batch = 10000 .* the number of examples of the server, node 3"),
        (
            Digits(),
            Attacked(DecentralizedSGD(), since=4),
            {},
            "since = 4 .* below the number of steps, 4: nobody would",
        ),
        (
            Digits(),
            Attacked(Zeno()),
            {"on_failure": "continue"},
            "does not go with Attacked, as nodes are numbered anew",
        ),
        (Digits(), Attacked(Zeno(), SignFlip(), (3,)), {}, "there are the nodes 0 to 2"),
    ],
)
def test_runs_that_cannot_ask_or_attack_are_refused(workload: Any, algorithm: Any, options: Any, says: str) -> None:
    with pytest.raises(gossip.errors.UsageError, match=says):
        gossip.run(workload, ring(4), algorithm, steps=4, output=None, **options)


def test_a_loop_of_ones_own_cannot_be_asked() -> None:
    parameter = torch.nn.Parameter(torch.zeros(2))
    with pytest.raises(
        gossip.errors.UsageError, match="Zeno asks for losses at points of its own, which a loop does not"
    ):
        gossip.Optimizer([parameter], Zeno(), ring(1))
