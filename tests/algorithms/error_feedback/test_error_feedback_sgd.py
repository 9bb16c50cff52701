"""EF-SGD: its equations, what it is without compression, its virtual iterates, and what happens without the memory."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from algorithms import CompressedSGD, Compressor, Ef21, ErrorFeedbackSGD, Identity, PowerSGD, Sample, TopK
from tests.algorithms.error_feedback.literal import (
    DECAY,
    STEPS,
    N,
    Operator,
    close,
    decay,
    models,
    momentum_sgd,
    pairs,
    problem_and_start,
    trained,
)
from tests.algorithms.helpers import Array, network_of
from topologies import ring

OPERATORS = pairs("compression")


@pytest.mark.parametrize("momentum_of", ["gradient", "average"])
@pytest.mark.parametrize("momentum", [0.0, 0.6])
@pytest.mark.parametrize(("compressor", "literal"), OPERATORS.values(), ids=OPERATORS)
def test_the_equations_of_the_papers(
    compressor: Compressor, literal: tuple[Operator], momentum: float, momentum_of: str
) -> None:
    problem, _, X = problem_and_start()
    e, v, wanted = np.zeros_like(X), np.zeros_like(X), [X]
    for t in range(STEPS):
        G = problem.gradient(X)
        if momentum_of == "gradient":
            v = momentum * v + G
            p = decay(t) * v + e
        else:
            p = decay(t) * G + e
        c = literal[0](p, t)
        e = p - c
        if momentum_of == "average":
            v = momentum * v + c.mean(axis=0)
            X = X - v
        else:
            X = X - c.mean(axis=0)
        wanted.append(X)
    algorithm = ErrorFeedbackSGD(lr=DECAY, compressor=compressor, momentum=momentum, momentum_of=momentum_of)  # type: ignore[arg-type]
    close(models(algorithm), np.stack(wanted))


@pytest.mark.parametrize("compressor", [TopK(k=1), OPERATORS["random"][0], OPERATORS["common"][0]])
def test_what_was_lost_is_all_that_is_missing(compressor: Compressor) -> None:
    """x - mean e moves as SGD would with the same gradients."""
    problem, _, X = problem_and_start()
    found = trained(ErrorFeedbackSGD(lr=0.05, compressor=compressor))
    moved = 0.05 * sum(problem.gradient(points).mean(axis=0) for points in found.points[:-1])
    close(found.final[0] - found.state.error.lost.numpy().mean(axis=0), X[0] - moved)  # type: ignore[attr-defined]


def test_without_compression_it_is_sgd() -> None:
    close(models(ErrorFeedbackSGD(lr=DECAY, compressor=Identity())), momentum_sgd(decay))


def test_power_sgd_loses_the_difference_to_the_common_result() -> None:
    """A matrix of rank 1 at all nodes is exact after the warm start; what is lost is the difference to the average."""
    problem, _, _ = problem_and_start()
    algorithm = ErrorFeedbackSGD(lr=0.05, compressor=PowerSGD(rank=1, warm_start=True))
    found = trained(algorithm)
    close(found.final, np.tile(found.final[0], (N, 1)))
    lost = found.state.error.lost.numpy()  # type: ignore[attr-defined]
    moved = 0.05 * sum(problem.gradient(points).mean(axis=0) for points in found.points[:-1])
    close(found.final[0] - lost.mean(axis=0), found.points[0, 0] - moved)


def counterexample(algorithm: ErrorFeedbackSGD | CompressedSGD | Ef21, steps: int) -> Array:
    """(steps + 1,): the first entry of the model, where Top-1 always finds the wrong direction."""
    a = np.array([[-3.0, 2, 2], [2, -3, 2], [2, 2, -3]])
    network = network_of(ring(3))
    state = algorithm.start(torch.ones(3, 3, dtype=torch.float64), network)
    network.finish_step()
    found = [1.0]
    for _ in range(steps):
        x = state.x.numpy()
        gradient = 2 * np.einsum("nd,nd->n", a, x)[:, None] * a + x / 2
        algorithm.advance(state, Sample(torch.from_numpy(gradient), torch.zeros(3)), network)
        found.append(float(state.x[0, 0]))
    return np.array(found)


@pytest.mark.parametrize("lr", [0.005, 0.02])
def test_top_1_diverges_without_the_memory(lr: float) -> None:
    found = counterexample(CompressedSGD(lr=lr, compressor=TopK(k=1)), 20)
    np.testing.assert_allclose(found, (1 + 11 * lr / 6) ** np.arange(21), rtol=1e-12)


@pytest.mark.parametrize("kind", [ErrorFeedbackSGD, Ef21])
def test_with_a_memory_it_converges(kind: type[ErrorFeedbackSGD] | type[Ef21]) -> None:
    assert abs(counterexample(kind(lr=0.02, compressor=TopK(k=1)), 400)[-1]) < 1e-4
