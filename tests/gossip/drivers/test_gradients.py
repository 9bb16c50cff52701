"""The gradients of the local nodes: of those with data and not idle, at the right rows, counted once."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from algorithms import Full, Minibatch, Oracle, Saga, ZerothOrder
from gossip.drivers.gradients import Gradients, NodeGradients
from gossip.workloads import LeastSquares


@pytest.fixture
def workload() -> LeastSquares:
    random = np.random.default_rng(3)
    return LeastSquares(random.normal(size=(6, 8, 4)), random.normal(size=(6, 8)))


@pytest.fixture
def x() -> torch.Tensor:
    return torch.randn(5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def test_they_are_those_of_the_nodes_with_data(workload: LeastSquares, x: torch.Tensor) -> None:
    gradients = Gradients(Full(), workload, [1, 3, 4], seed=0)  # two of the five local nodes have no data
    sample = gradients.sample(gradients.start(x), x, step=0)
    expected = workload.gradient(x[:3], [1, 3, 4])
    assert torch.equal(sample.gradient[:3], expected.gradient)
    assert torch.equal(sample.loss[:3], expected.loss)
    assert not sample.gradient[3:].any() and not sample.loss[3:].any()
    assert sample.gradient.shape == x.shape


def test_a_rank_without_any_data_has_zeros(workload: LeastSquares, x: torch.Tensor) -> None:
    gradients = Gradients(Minibatch(2), workload, [], seed=0)
    state = gradients.start(x)
    sample, used, _ = gradients.look(state, x, 0, [])
    assert not sample.gradient.any() and not sample.loss.any()
    assert {name: count.tolist() for name, count in used.items()} == {"gradients": [0] * 5, "queries": [0] * 5}


def test_idle_rows_cost_nothing(workload: LeastSquares, x: torch.Tensor) -> None:
    gradients = Gradients(Minibatch(2), workload, range(5), seed=0)
    state, other = gradients.start(x), gradients.start(x)
    sample, everyone = gradients.sample(state, x, 0, idle=[1, 3]), gradients.sample(other, x, 0)
    assert torch.equal(sample.gradient[[0, 2, 4]], everyone.gradient[[0, 2, 4]])
    assert not sample.gradient[[1, 3]].any()
    assert state.gradients.tolist() == [2, 0, 2, 0, 2]
    assert not gradients.sample(state, x, 1, idle=range(5)).gradient.any()
    assert state.gradients.tolist() == [2, 0, 2, 0, 2]


def test_an_oracle_that_remembers_sees_the_idle_rows_too(workload: LeastSquares, x: torch.Tensor) -> None:
    gradients = Gradients(Saga(2), workload, range(5), seed=0)
    state, other = gradients.start(x), gradients.start(x)
    one, two = gradients.sample(state, x, 0, idle=[1]), gradients.sample(other, x, 0)
    assert torch.equal(one.gradient, two.gradient)


@pytest.mark.parametrize("oracle", [Full(), Minibatch(3), Saga(2)])
def test_a_look_is_what_the_step_would_have_taken(oracle: Oracle, workload: LeastSquares, x: torch.Tensor) -> None:
    gradients = Gradients(oracle, workload, range(5), seed=7)
    state, looked = gradients.start(x), gradients.start(x)
    before = state.gradients.clone()
    sample = gradients.sample(state, x, 0)
    look, used, _ = gradients.look(looked, x, 0, [])
    assert torch.equal(look.gradient, sample.gradient) and torch.equal(look.loss, sample.loss)
    assert torch.equal(used["gradients"], before)  # what the steps so far have used
    assert torch.equal(looked.gradients, state.gradients)


def test_looking_at_idle_rows_is_not_counted(workload: LeastSquares, x: torch.Tensor) -> None:
    gradients = Gradients(Minibatch(3), workload, range(5), seed=7)
    state = gradients.start(x)
    look, _, _ = gradients.look(state, x, 0, [0, 4])
    assert look.gradient[[0, 4]].any(dim=1).all()
    assert state.gradients.tolist() == [0, 3, 3, 3, 0]


@pytest.mark.parametrize(
    "oracle",
    [Full(), Minibatch(3), Minibatch(4, microbatch=2), ZerothOrder(), Saga(batch=2)],
    ids=["full", "minibatch", "norms", "by-default", "remembering"],
)
def test_nodes_in_steps_of_their_own_are_computed_together_as_they_are_alone(
    workload: LeastSquares, x: torch.Tensor, oracle: Oracle
) -> None:
    together, alone = (NodeGradients(oracle, workload, x, seed=7, nodes=[0, 1, 2, 4, 5]) for _ in range(2))
    counts = {0: 0, 2: 0, 4: 0, 5: 0}
    for nodes in ([0, 2, 4], [2, 5], [5, 4, 2]):
        rows, steps = x[: len(nodes)] + len(nodes), [counts[node] for node in nodes]
        sample = together(nodes, rows, steps)
        for place, node in enumerate(nodes):
            single = alone([node], rows[place : place + 1], [counts[node]])
            assert torch.equal(sample.gradient[place], single.gradient[0])
            assert torch.equal(sample.loss[place], single.loss[0])
            if single.norms is not None:
                assert sample.norms is not None and torch.equal(sample.norms[place], single.norms[0])
            counts[node] += 1
    used = [sum(int(state.gradients.sum()) for state in each.states) for each in (together, alone)]
    assert used[0] == used[1] and sample.gradient.any()


def test_a_single_node_of_an_oracle_that_remembers_goes_on_with_what_it_has(
    workload: LeastSquares, x: torch.Tensor
) -> None:
    one, two = (NodeGradients(Saga(2), workload, x[:k], seed=7, nodes=range(k)) for k in (1, 2))
    for step in range(3):
        sample = one([0], x[:1], [step])
        assert torch.equal(sample.gradient, two([0], x[:1], [step]).gradient)
