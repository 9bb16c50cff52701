"""Accordion for the batch size: when batches are large, and what the method makes of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import gossip
from algorithms import (
    Accordion,
    AccordionBatch,
    Algorithm,
    Clars,
    CompressedSGD,
    DecentralizedSGD,
    GossipAveraging,
    Identity,
    LocalSGD,
    Minibatch,
    Sample,
    StepDecay,
)
from gossip.workloads import LeastSquares
from tests.algorithms.error_feedback.literal import close, problem_and_start, trained
from tests.algorithms.helpers import network_of
from topologies import ring

RATE = StepDecay(lr=0.05, milestones=(23,), factor=0.5)


@pytest.mark.parametrize("threshold", [0.02, 0.5])
def test_the_rule_of_the_paper(threshold: float) -> None:
    problem, _, X = problem_and_start()
    small, before, total, v, wanted = True, None, np.zeros_like(X), np.zeros_like(X[0]), [X]
    gathered: list[Any] = []
    sizes = []
    for t in range(40):
        lr = 0.05 if t < 23 else 0.025
        if t == 23:
            small = True
        G = problem.gradient(X)
        gathered.append(G.mean(axis=0))
        if len(gathered) >= (1 if small else 4):
            v = 0.6 * v + np.mean(gathered, axis=0)
            X = X - lr * len(gathered) * v
            sizes.append(len(gathered))
            gathered = []
        if t // 3 % 2 == 0:  # epochs of 3 iterations, every other one is looked at
            total = total + G
            if (t + 1) % 3 == 0:
                norm = np.linalg.norm(total, axis=1).mean()
                if before is not None:
                    small &= abs(before - norm) >= threshold * before
                before, total = norm, np.zeros_like(X)
        wanted.append(X)
    method = CompressedSGD(lr=RATE, compressor=Identity(), momentum=0.6)
    close(
        trained(AccordionBatch(method, epoch=3, every=2, threshold=threshold, accumulate=4), 40).models,
        np.stack(wanted),
    )
    assert {1, 4} <= {*sizes}


def sizes_of(gradients: list[float], rates: list[float]) -> list[int]:
    """How many gradients the steps of the method take after each iteration, with epochs of one."""
    algorithm: Any = AccordionBatch(DecentralizedSGD(lr=1.0), epoch=1, every=1, accumulate=3)
    network = network_of(ring(2))
    state = algorithm.start(torch.zeros(2, 1, dtype=torch.float64), network)
    found = []
    for gradient, lr in zip(gradients, rates, strict=True):
        sample = Sample(torch.full((2, 1), gradient, dtype=torch.float64), torch.zeros(2, dtype=torch.float64))
        algorithm.with_learning_rate(lr).advance(state, sample, network)
        found.append(int(algorithm.report(state)["gradients_per_step"][0]))
    return found


def test_batches_stay_large_until_the_learning_rate_drops() -> None:
    """Halved gradients are critical, and do not make batches small again that have become large."""
    assert sizes_of([4.0, 2.0, 2.0, 1.0, 0.2], [1.0] * 5) == [1, 1, 3, 3, 3]
    assert sizes_of([4.0, 4.0, 4.0, 1.0, 1.0], [1.0, 1.0, 1.0, 0.5, 0.5]) == [1, 3, 3, 1, 3]


def test_as_long_as_all_is_critical_it_is_the_method() -> None:
    method = LocalSGD(lr=RATE, period=3, momentum=0.5)
    found = trained(AccordionBatch(method, epoch=1000), steps=30)
    np.testing.assert_array_equal(found.models, trained(method, steps=30).models)


def test_large_batches_are_those_of_the_oracle() -> None:
    """Gradients at the same point, one batch after the other, and all of them counted."""
    random = np.random.default_rng(0)
    workload = LeastSquares(random.normal(size=(3, 24, 4)), random.normal(size=(3, 24)))
    method = CompressedSGD(lr=0.05, compressor=Identity())
    always = AccordionBatch(method, epoch=1, every=1, threshold=1e9, accumulate=4)
    options: dict[str, Any] = {"output": None, "seed": 1}
    start = gossip.run(workload, ring(3), method, oracle=Minibatch(2), steps=2, **options).model
    large = gossip.run(workload, ring(3), always, oracle=Minibatch(2), steps=10, evaluate_every=10, **options)
    before = gossip.run(workload, ring(3), method, oracle=Minibatch(2), steps=2, evaluate_every=2, **options)
    shards = workload.shard(3, 1)
    x = start[0]
    for first in (2, 6):
        at = torch.stack([x] * 3)
        oracle = Minibatch(2)
        state = oracle.start(shards, at, range(3), 1)
        parts = [oracle.sample(state, shards, at, range(3), step, 1).gradient for step in range(first, first + 4)]
        x = x - 4 * 0.05 * torch.stack(parts).mean(dim=(0, 1))
    torch.testing.assert_close(large.model, torch.stack([x] * 3))
    (last,), (two,) = large.history[-1:], before.history[-1:]
    assert last["gradients_per_node"] == 5 * two["gradients_per_node"] == 20
    sent = {key for key in last if key.startswith("bytes_sent")}
    assert sent and all(last[key] < 3 * two[key] for key in sent)


@pytest.mark.parametrize(
    "method",
    [GossipAveraging(), LocalSGD(optimizer=Clars(over="samples")), Accordion()],
    ids=["no learning rate", "norms", "Accordion"],
)
def test_a_method_that_it_cannot_change_is_refused(method: Algorithm) -> None:
    with pytest.raises(ValueError, match=r"AccordionBatch: algorithm .* a method with a learning rate"):
        AccordionBatch(method)


@pytest.mark.parametrize("options", [{"epoch": 0}, {"every": 0}, {"threshold": 0.0}, {"accumulate": 1}])
def test_what_is_out_of_range_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        AccordionBatch(**options)


def test_in_ones_own_loop_it_is_refused_in_one_line() -> None:
    with pytest.raises(ValueError, match="sets the batch size, and in one's own loop you do") as raised:
        gossip.Optimizer(torch.nn.Linear(2, 1).parameters(), AccordionBatch())
    assert "\n" not in str(raised.value)
