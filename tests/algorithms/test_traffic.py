"""Bytes and messages of a run, counted by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from algorithms import Algorithm, ChocoSGD, DecentralizedSGD, ExactDiffusion, ScaledSign, TopK
from tests.algorithms.helpers import least_squares, run, starts
from topologies import (
    Schedule,
    complete,
    exponential,
    hypercube,
    one_peer_exponential,
    ring,
    star,
    torus,
)

D = 11
DENSE = 11 * 8
HEADER = 24
# Header, k values of 8 bytes, a byte on how the indices are coded, and these: two bytes for 1 or 11 of 11 entries.
SPARSE = {k: HEADER + 8 * k + 1 + 2 for k in (1, 11)}

DEGREES: list[tuple[Schedule, int | list[int]]] = [
    (ring(1), 0),
    (ring(2), 1),
    (ring(16), 2),
    (ring(13), 2),
    (complete(7), 6),
    (star(13), [12] + 12 * [1]),
    (torus(16), 4),
    (hypercube(16), 4),
    (exponential(16), 4),
    (exponential(13), 4),
]
ONE_PEER: list[tuple[Schedule, int | list[int]]] = [
    (one_peer_exponential(16), 1),
    (one_peer_exponential(13), 1),
]


def assert_sent(
    algorithm: Algorithm,
    topology: Schedule,
    degree: int | list[int],
    size: int,
    steps: int,
    rounds: int | None = None,
    dtype: torch.dtype = torch.float64,
) -> None:
    rounds = steps if rounds is None else rounds
    problem = least_squares(topology.n, D)
    result = run(algorithm, topology, problem, starts(problem), steps, dtype)
    messages = np.broadcast_to(np.array(degree), topology.n) * rounds
    assert result.messages.tolist() == messages.tolist()
    assert result.bytes.tolist() == (messages * size).tolist()
    assert result.rounds == rounds


@pytest.mark.parametrize(("topology", "degree"), DEGREES + ONE_PEER, ids=str)
@pytest.mark.parametrize("order", ["adapt-then-combine", "consensus"])
def test_decentralized_sgd(order: str, topology: Schedule, degree: int | list[int]) -> None:
    assert_sent(DecentralizedSGD(order=order, momentum=0.9), topology, degree, DENSE, 9)


@pytest.mark.parametrize(("topology", "degree"), DEGREES + ONE_PEER, ids=str)
def test_combine_then_adapt_is_one_round_ahead(topology: Schedule, degree: int | list[int]) -> None:
    assert_sent(DecentralizedSGD(order="combine-then-adapt"), topology, degree, DENSE, 9, rounds=10)


@pytest.mark.parametrize(
    ("order", "steps", "rounds"),
    [
        ("adapt-then-combine", 11, 3),
        ("adapt-then-combine", 12, 4),
        ("consensus", 11, 3),
        ("consensus", 12, 4),
        ("combine-then-adapt", 10, 3),
        ("combine-then-adapt", 11, 4),
        ("combine-then-adapt", 12, 4),
    ],
)
def test_period(order: str, steps: int, rounds: int) -> None:
    assert_sent(DecentralizedSGD(order=order, period=3), ring(16), 2, DENSE, steps, rounds)
    assert_sent(DecentralizedSGD(order=order, period=3), one_peer_exponential(16), 1, DENSE, steps, rounds)


@pytest.mark.parametrize(("topology", "degree"), [each for each in DEGREES if each[0].symmetric], ids=str)
def test_exact_diffusion(topology: Schedule, degree: int | list[int]) -> None:
    assert_sent(ExactDiffusion(), topology, degree, DENSE, 9)


@pytest.mark.parametrize(("topology", "degree"), DEGREES, ids=str)
@pytest.mark.parametrize("order", ["icml", "overlapped"])
def test_choco_sgd(order: str, topology: Schedule, degree: int | list[int]) -> None:
    assert_sent(ChocoSGD(order=order, gamma="theory"), topology, degree, HEADER + DENSE, 9)
    for k, size in SPARSE.items():
        assert_sent(ChocoSGD(order=order, gamma="theory", compressor=TopK(k=k)), topology, degree, size, 9)
    assert_sent(ChocoSGD(order=order, gamma="theory", compressor=TopK(fraction=0.1)), topology, degree, SPARSE[1], 9)
    assert_sent(ChocoSGD(order=order, gamma="theory", compressor=ScaledSign()), topology, degree, HEADER + 8 + 2, 9)


def test_single_precision_is_half_the_size() -> None:
    single = torch.float32
    assert_sent(DecentralizedSGD(), star(13), [12] + 12 * [1], 11 * 4, 5, dtype=single)
    assert_sent(
        ChocoSGD(gamma="theory", compressor=TopK(k=1)), star(13), [12] + 12 * [1], HEADER + 4 + 1 + 2, 5, dtype=single
    )
