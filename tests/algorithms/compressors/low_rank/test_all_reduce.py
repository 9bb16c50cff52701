"""PowerSGD as its paper has it: factors averaged over all nodes, warm starts, and error feedback around them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from algorithms import Layout, PowerSGD
from algorithms.randomness import Draw, stream
from tests.algorithms.helpers import Array

SHAPES = {"wide": (4, 9), "bias": (5,), "conv": (8, 3, 2), "square": (6, 6), "short": (2, 2)}
LAYOUT = Layout(SHAPES)
N, RANK, LR = 5, 2, 0.1


class OneProcess:
    """All nodes are here; what their average carries is counted."""

    def __init__(self) -> None:
        self.carried: list[tuple[int, torch.dtype]] = []

    def mean(self, value: torch.Tensor) -> torch.Tensor:
        self.carried.append((value.shape[1], value.dtype))
        return value.mean(dim=0)


def draw(round: int, k: int = N) -> Draw:
    return Draw(seed=3, purpose="compression", nodes=range(k), round=round)


def gradients(rounds: int, n: int = N) -> Array:
    return np.random.default_rng(1).normal(size=(rounds, n, LAYOUT.d))


def gram_schmidt(P: Array) -> Array:
    """The orthogonalization of the authors' code."""
    P = P.copy()
    for i in range(P.shape[1]):
        P[:, i] /= np.linalg.norm(P[:, i])
        P[:, i + 1 :] -= P[:, i : i + 1] * (P[:, i] @ P[:, i + 1 :])
    return P


def literal(G: Array, rank: int, warm: bool, iterations: int = 1) -> list[Array]:
    """Algorithms 1 and 2 of the paper without momentum, tensor by tensor: what each round subtracts."""
    errors, Q, updates = np.zeros(G.shape[1:]), {}, []
    for t, gradient in enumerate(G):
        delta, random = gradient + errors, stream(draw(t).common)
        update, at = np.empty(LAYOUT.d), 0
        for name, shape in SHAPES.items():
            place = slice(at, at + int(np.prod(shape)))
            at = place.stop
            M = delta[:, place].reshape(len(delta), shape[0], -1)
            if M.shape[1] < M.shape[2]:
                M = M.transpose(0, 2, 1)
            if len(shape) == 1 or rank * (M.shape[1] + M.shape[2]) >= M[0].size:
                update[place] = delta[:, place].mean(axis=0)
                continue
            if not warm or name not in Q:
                Q[name] = random.standard_normal((M.shape[2], rank))
            for _ in range(iterations):
                P = gram_schmidt(np.mean([each @ Q[name] for each in M], axis=0))
                Q[name] = np.mean([each.T @ P for each in M], axis=0)
            product = P @ Q[name].T
            update[place] = (product if shape[0] >= np.prod(shape[1:]) else product.T).flatten()
        errors = delta - update
        updates.append(update)
    return updates


@pytest.mark.parametrize("iterations", [1, 2])
@pytest.mark.parametrize("warm", [True, False])
@pytest.mark.parametrize("rank", [1, 2])
def test_error_feedback_around_it_is_the_papers_algorithm(rank: int, warm: bool, iterations: int) -> None:
    G = gradients(12)
    compressor = PowerSGD(rank, iterations, warm_start=warm).for_layout(LAYOUT)
    memory = compressor.start_like(torch.from_numpy(G[0]))
    assert (memory is not None) == warm
    errors, network = torch.zeros(N, LAYOUT.d, dtype=torch.float64), OneProcess()
    for t, wanted in enumerate(literal(G, rank, warm, iterations)):
        delta = torch.from_numpy(G[t]) + errors
        update = compressor.mean(delta, network, draw(t), memory)
        errors = delta - update
        np.testing.assert_allclose(update, wanted, rtol=1e-9, atol=1e-11)


def test_it_carries_both_factors_and_no_more() -> None:
    x = torch.from_numpy(gradients(1)[0]).float()
    network = OneProcess()
    assert PowerSGD(RANK).for_layout(LAYOUT).mean(x, network, draw(0)).dtype == torch.float32
    longer, shorter = 9 + 8 + 6, 4 + 6 + 6  # of the wide matrix, of the convolution, of the square one
    assert network.carried == [(RANK * longer + 5 + 4, torch.float32), (RANK * shorter, torch.float32)]
    network = OneProcess()
    PowerSGD(RANK).for_layout(Layout({"only": (5,), "vectors": (3,), "matrix": (2, 2)})).mean(
        x[:, :12], network, draw(0)
    )
    assert [numbers for numbers, _ in network.carried] == [12]


def test_a_single_node_gets_what_the_message_says() -> None:
    """Of equal draws: a single node draws the same Q in common, if told to, as for itself."""
    x = torch.from_numpy(gradients(1, 1)[0])
    compressor = PowerSGD(RANK, 30).for_layout(LAYOUT)
    message = compressor.compress(x, draw(0, 1))
    assert torch.allclose(message.dense()[0], compressor.mean(x, OneProcess(), draw(0, 1)), rtol=1e-4, atol=1e-6)


def best(M: Array, rank: int) -> Array:
    u, s, v = np.linalg.svd(M)
    return (u[:, :rank] * s[:rank]) @ v[:rank]


@pytest.mark.parametrize("shape", [(12, 7), (7, 12)])
@pytest.mark.parametrize("way", ["mean", "compress"])
def test_warm_starts_come_to_the_best_approximation(way: str, shape: tuple[int, int]) -> None:
    M = np.random.default_rng(0).normal(size=shape)
    compressor = PowerSGD(RANK, warm_start=True).for_layout(Layout({"M": shape}))
    x = torch.from_numpy(M).reshape(1, -1)
    memory, wanted, errors = compressor.start_like(x), best(M, RANK), []
    for t in range(400):
        if way == "mean":
            found = compressor.mean(x, OneProcess(), draw(t, 1), memory)
        else:
            found = compressor.compress(x, draw(t, 1), memory).dense()[0]
        errors.append(np.linalg.norm(found.reshape(shape).numpy() - M))
    np.testing.assert_allclose(found.reshape(shape), wanted, atol=1e-8)
    assert errors[-1] < errors[0]
    assert (np.diff(errors) < 1e-12).all()  # no round makes it worse
    cold = compressor.compress(x, draw(0, 1)).dense()[0]
    assert np.linalg.norm(cold.reshape(shape).numpy() - M) == pytest.approx(errors[0], rel=1e-6) or way == "mean"


def test_the_average_is_exact_where_its_rank_is_low() -> None:
    """Of matrices of high rank whose average has a low one."""
    random = np.random.default_rng(2)
    M = random.normal(size=(N, 9, 8))
    M[-1] = N * np.outer(random.normal(size=9), random.normal(size=8)) - M[:-1].sum(axis=0)
    compressor = PowerSGD(1).for_layout(Layout({"M": (9, 8)}))
    found = compressor.mean(torch.from_numpy(M.reshape(N, -1)), OneProcess(), draw(0))
    np.testing.assert_allclose(found, M.mean(axis=0).flatten(), atol=1e-12)


def test_rows_do_not_depend_on_how_many_there_are() -> None:
    """The products of each row have the same bits, alone or with others, and so have memories."""
    x = torch.from_numpy(gradients(1)[0])
    compressor = PowerSGD(RANK).for_layout(LAYOUT)
    together = compressor.project(x, draw(0))
    for row in range(N):
        assert torch.equal(compressor.project(x[row : row + 1], draw(0)), together[row : row + 1])


@pytest.mark.parametrize("scale", [0.0, 1e-30, 1e30])
def test_vectors_of_any_size_fit_into_single_precision(scale: float) -> None:
    x = (torch.from_numpy(gradients(1)[0]) * scale).float()
    compressor = PowerSGD(RANK, warm_start=True).for_layout(LAYOUT)
    memory = compressor.start_like(x)
    for t in range(3):
        found = compressor.mean(x, OneProcess(), draw(t), memory)
        assert found.isfinite().all()
        assert bool((found != 0).any()) == (scale > 0)
    y = torch.from_numpy(gradients(1)[0])
    assert compressor.mean(y, OneProcess(), draw(9), memory).any()  # a round of zeros leaves no trap behind
