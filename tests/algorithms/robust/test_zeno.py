"""Zeno: the gradients that score best at a server with data of its own."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from algorithms import Attack, Attacked, GaussianNoise, SignFlip, StepDecay, Zeno, Zeros
from tests.algorithms.helpers import Array, LeastSquares, Run, least_squares, run, same_curvature, starts
from topologies import ring

N, STEPS = 8, 40
DECAY = StepDecay(lr=0.05, milestones=(20,), factor=0.4)


def losses_at(problem: LeastSquares, node: int, batch: int, X: Array) -> Array:
    """(r,): the mean loss over the first examples of a node at each point."""
    A, b = problem.A[node, :batch], problem.b[node, :batch]
    with np.errstate(over="ignore"):
        return ((X @ A.T - b) ** 2).mean(axis=1) / 2


def trained(algorithm: Zeno | Attacked, problem: LeastSquares, steps: int = STEPS) -> Run:
    def losses(x: Tensor, row: int, batch: int) -> Tensor:
        return torch.from_numpy(losses_at(problem, row, batch, x.numpy()))

    return run(algorithm, ring(problem.n), problem, starts(problem), steps, losses=losses)


def literal(problem: LeastSquares, algorithm: Zeno, attackers: list[int], scale: float, steps: int = STEPS) -> Array:
    """(steps + 1, n, d), with sign flips."""
    n, m = problem.n, problem.n - 1
    x = starts(problem).mean(axis=0)
    found = [x]
    for t in range(steps):
        lr = algorithm.lr if isinstance(algorithm.lr, float) else algorithm.lr(t)
        U = problem.gradient(np.tile(x, (n, 1)))[:m]
        U[attackers] *= -scale
        here = losses_at(problem, m, algorithm.batch, x[None])[0]
        scores = [
            here - losses_at(problem, m, algorithm.batch, (x - lr * u)[None])[0] - algorithm.rho * u @ u for u in U
        ]
        kept = sorted(range(m), key=lambda i: -scores[i])[: m - algorithm.trim]
        x = x - lr * U[kept].mean(axis=0)
        found.append(x)
    return np.tile(np.stack(found)[:, None], (1, n, 1))


@pytest.mark.parametrize("trim", [0, 1, 3, N - 2])
@pytest.mark.parametrize("rho", [0.0, 0.02])
def test_the_equations(trim: int, rho: float) -> None:
    problem, algorithm = least_squares(N), Zeno(lr=DECAY, trim=trim, rho=rho, batch=5)
    found = trained(Attacked(algorithm, SignFlip(0.7), attackers=(1, 4)), problem)
    np.testing.assert_allclose(found.models, literal(problem, algorithm, [1, 4], 0.7), rtol=0, atol=1e-10)


def test_without_attackers_and_trimming_it_is_plain_averaging() -> None:
    problem = least_squares(N)
    x = np.tile(starts(problem).mean(axis=0), (N, 1))
    models = trained(Zeno(lr=0.05, trim=0, rho=0.3), problem).models
    for found in models:
        np.testing.assert_allclose(found, x, rtol=0, atol=1e-10)
        x = x - 0.05 * problem.gradient(x)[:-1].mean(axis=0)


@pytest.mark.parametrize("attack", [SignFlip(), SignFlip(10.0), Zeros(), GaussianNoise(50.0), GaussianNoise(1e300)])
def test_a_majority_of_attackers_is_left_out(attack: Attack) -> None:
    """All honest nodes have the same gradient, so that of SGD is what is left; numbers may overflow."""
    problem = LeastSquares(*(np.repeat(part, N, axis=0) for part in (least_squares(1).A, least_squares(1).b)))
    attackers = (0, 2, 3, 5, 6)
    found = trained(Attacked(Zeno(lr=0.05, trim=len(attackers)), attack, attackers), problem)
    x = starts(problem).mean(axis=0, keepdims=True)
    for models in found.models:
        np.testing.assert_allclose(models, np.tile(x, (N, 1)), rtol=0, atol=1e-10)
        x = x - 0.05 * problem.gradient(np.tile(x, (N, 1)))[:1]
    assert np.abs(problem.gradient(found.final)).max() > 1e-3  # they have not all arrived, where 0 would be right


def test_one_attacker_more_than_are_left_out_does_harm() -> None:
    problem = same_curvature(N, 1.0)
    attackers = (0, 1, 2, 3)
    distances = [
        np.linalg.norm(trained(Attacked(Zeno(lr=0.1, trim=trim), SignFlip(20.0), attackers), problem).final[0])
        for trim in (3, 4)
    ]
    assert distances[0] > 100 * distances[1]


def test_a_large_rho_keeps_the_shortest_gradients() -> None:
    problem = least_squares(N)
    algorithm = Zeno(lr=0.01, trim=N - 2, rho=1e6)
    models = trained(algorithm, problem, steps=5).models
    for before, after in pairwise(models):
        gradients = problem.gradient(before)[:-1]
        shortest = gradients[np.linalg.norm(gradients, axis=1).argmin()]
        np.testing.assert_allclose(after[0], before[0] - 0.01 * shortest, rtol=0, atol=1e-12)


def test_of_equal_scores_the_first_count() -> None:
    problem = LeastSquares(np.zeros((4, 1, 2)), np.zeros((4, 1)))  # flat: all scores are 0

    class Numbered(Zeros):
        def forge(self, own: Tensor, known: Tensor, attackers: int, nodes: int, draw: object) -> Tensor:
            return torch.tensor([[1.0, 0.0], [0.0, 1.0], [7.0, 7.0]], dtype=own.dtype)

    found = trained(Attacked(Zeno(lr=0.5, trim=1, rho=0.0), Numbered(), (0, 1, 2)), problem, steps=1)
    np.testing.assert_allclose(found.models[1] - found.models[0], np.tile([-0.25, -0.25], (4, 1)), atol=1e-15)


def test_what_it_sends() -> None:
    """A gradient up by each node but the server, an average down to each; at the start what a mean takes."""
    problem, steps = least_squares(5), 6
    before = trained(Zeno(trim=0), problem, steps=0)
    found = trained(Zeno(trim=2), problem, steps=steps)
    assert (found.bytes - before.bytes).tolist() == [steps * 5 * 8] * 4 + [steps * 4 * 5 * 8]
    assert (found.messages - before.messages).tolist() == [steps] * 4 + [steps * 4]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"lr": 0.0}, "lr"),
        ({"trim": -1}, "trim"),
        ({"trim": N - 1}, "below 7, the number of nodes without the server, node 7"),
        ({"rho": -0.1}, "rho"),
        ({"batch": 0}, "batch"),
    ],
)
def test_what_is_out_of_range_is_refused(options: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        trained(Zeno(**options), least_squares(N), steps=0)  # type: ignore[arg-type]


def test_more_examples_than_the_server_has_are_refused() -> None:
    with pytest.raises(ValueError, match=r"batch = 4 .* at most 3, the number of examples of the server, node 2"):
        Zeno(batch=4).for_examples([9, 9, 3])
