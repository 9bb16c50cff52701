"""Matrix completion: formulas, what all nodes share, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import gossip
from algorithms import DecentralizedSGD, Minibatch
from gossip.workloads import MatrixCompletion
from topologies import ring

SIZE, RANK = 7, 2


def points(n: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(1).normal(size=(n, SIZE * RANK)))


def test_formulas() -> None:
    problem = MatrixCompletion(size=SIZE, rank=RANK, observed=1.0).shard(3, 0)
    assert problem.layout.d == SIZE * RANK
    held = SIZE * (SIZE + 1) // 2 // 5
    assert {problem.examples(node) for node in range(3)} == {SIZE * (SIZE + 1) // 2 - held}
    u = problem._u
    for examples in (None, torch.tensor([[0, 3, 3], [5, 1, 0]])):
        x = points(2).requires_grad_()
        losses = []
        for row, point in enumerate(x):
            matrix = point.reshape(SIZE, RANK)
            errors = matrix @ matrix.T - torch.from_numpy(u @ u.T)
            chosen = problem._places if examples is None else problem._places[examples[row]]
            losses.append((errors[chosen[:, 0], chosen[:, 1]] ** 2).mean() / 2)
        torch.stack(losses).sum().backward()
        sample = problem.gradient(x.detach(), [2, 0], examples)
        np.testing.assert_allclose(sample.loss, torch.stack(losses).detach(), rtol=1e-13)
        np.testing.assert_allclose(sample.gradient, x.grad, rtol=1e-12, atol=1e-14)
    at = problem.evaluate(x[0].detach())
    assert at["objective"] == pytest.approx(float(problem.gradient(x.detach()[:1], [0]).loss))
    everywhere = errors_of(x[0].detach().numpy(), u)
    total = 4 * (at["objective"] * 2 * problem.examples(0) + at["test_loss"] * 2 * held)
    assert total == pytest.approx(2 * (everywhere**2).sum() + 2 * (np.diag(everywhere) ** 2).sum())


def errors_of(point: np.ndarray, u: np.ndarray) -> np.ndarray:
    matrix = point.reshape(SIZE, RANK)
    return matrix @ matrix.T - u @ u.T


def test_rotations_of_the_factor_are_minima_and_their_average_is_none() -> None:
    problem = MatrixCompletion(size=SIZE, rank=RANK).shard(2, 0)
    rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(RANK, RANK)))[0]
    minima = [torch.from_numpy((problem._u @ q).ravel()) for q in (np.eye(RANK), rotation)]
    assert all(problem.evaluate(x)["objective"] < 1e-28 for x in minima)
    assert problem.evaluate((minima[0] + minima[1]) / 2)["objective"] > 1e-3


def test_bits_do_not_depend_on_the_other_nodes() -> None:
    problem = MatrixCompletion(size=SIZE, rank=RANK).shard(5, 3)
    together = problem.gradient(points(5), range(5))
    for node in range(5):
        alone = problem.gradient(points(5)[node : node + 1], [node])
        assert torch.equal(alone.gradient[0], together.gradient[node]) and alone.loss[0] == together.loss[node]


def test_nodes_start_apart_and_the_matrix_is_always_the_same() -> None:
    few, many, other = (MatrixCompletion().shard(n, seed) for n, seed in ((3, 1), (5, 1), (5, 2)))
    assert few.initial().shape == (3, few.layout.d) and few.initial().dtype == torch.float64
    assert torch.equal(few.initial(), many.initial()[:3]) and not torch.equal(many.initial(), other.initial())
    np.testing.assert_array_equal(few._places, other._places)
    np.testing.assert_array_equal(few._u, other._u)


def test_a_run_gets_to_the_bottom() -> None:
    problem = MatrixCompletion(size=SIZE, rank=RANK, observed=1.0)
    result = gossip.run(problem, ring(3), DecentralizedSGD(lr=1.0), steps=600, oracle=Minibatch(8), output=None)
    assert result.history[0]["objective"] > 0.1 and result.history[-1]["objective"] < 1e-6


def test_refusals() -> None:
    for options, message in (
        ({"size": 1}, "size = 1 is not allowed; it must be >= 2"),
        ({"rank": 0}, "rank = 0 is not allowed; it must be >= 1"),
        ({"observed": 1.5}, "observed = 1.5 is not allowed"),
        ({"size": 5, "observed": 0.2}, "observed = 0.2 is not allowed; it must be in .*enough for 5 entries"),
    ):
        with pytest.raises(ValueError, match=f"MatrixCompletion: {message}"):
            MatrixCompletion(**options)
    problem = MatrixCompletion(size=SIZE, rank=RANK).shard(2, 0)
    with pytest.raises(IndexError):
        problem.gradient(points(1), [0], torch.tensor([[problem.examples(0)]]))
