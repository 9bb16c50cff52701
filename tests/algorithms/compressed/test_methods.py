"""What all methods of this family have in common: special cases, bytes, refusals."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from algorithms import (
    L1,
    QSGD,
    Algorithm,
    Beer,
    Cedas,
    Constant,
    Contraction,
    DcdPSGD,
    DeepSqueeze,
    EcdPSGD,
    Identity,
    Induced,
    InfinityNorm,
    Lead,
    ProxLead,
    RandomK,
    ScaledSign,
    TopK,
)
from tests.algorithms.helpers import fixed, least_squares, run, starts
from topologies import Topology, complete, ring, star

D = 11
HEADER = 24
DENSE = HEADER + 8 * D
QUANTIZER = InfinityNorm(bits=2, bucket=4)
QUANTIZED = HEADER + 4 + 3 * 8  # 11 symbols of 5, in 4 bytes, and a number for each of three buckets
LEADS = (Lead(compressor=Identity()), ProxLead(compressor=Identity(), prox=L1(0.0)), Cedas(compressor=Identity()))
METHODS: tuple[Algorithm, ...] = (*LEADS, DcdPSGD(), EcdPSGD(), DeepSqueeze(), Beer())
UNBIASED_ONLY = (Lead, ProxLead, Cedas, DcdPSGD, EcdPSGD)
DEGREES: list[tuple[Topology, int | list[int]]] = [
    (ring(1), 0),
    (ring(2), 1),
    (ring(13), 2),
    (complete(7), 6),
    (star(8), [7] + 7 * [1]),
]


@pytest.mark.parametrize("algorithm", METHODS, ids=str)
def test_without_edges_the_nodes_descend_on_their_own(algorithm: Algorithm) -> None:
    problem = least_squares(4)
    wanted = [starts(problem)]
    for _ in range(60):
        wanted.append(wanted[-1] - 0.05 * problem.gradient(wanted[-1]))
    for W in (np.eye(4), np.eye(1)):
        alone = problem.relabelled(np.arange(len(W)))
        models = run(replace(algorithm, lr=0.05), fixed(W), alone, starts(problem)[: len(W)], 60).models
        assert np.abs(models - np.stack(wanted)[:, : len(W)]).max() <= 1e-12


@pytest.mark.parametrize("algorithm", METHODS, ids=str)
def test_single_precision_stays_single_and_close_to_double(algorithm: Algorithm) -> None:
    problem = least_squares(13)
    tuned = replace(algorithm, lr=0.02)
    double = run(tuned, ring(13), problem, starts(problem), 60)
    single = run(tuned, ring(13), problem, starts(problem), 60, torch.float32)
    assert single.models.dtype == single.points.dtype == np.float32
    assert np.abs(single.final - double.final).max() <= 1e-4


@pytest.mark.parametrize(("topology", "degree"), DEGREES, ids=str)
@pytest.mark.parametrize(
    ("algorithm", "first", "rounds", "messages", "size"),
    [
        *((replace(each, compressor=QUANTIZER), 0, 4, 1, QUANTIZED) for each in LEADS),
        *((replace(each, compressor=QUANTIZER), DENSE, 6, 1, QUANTIZED) for each in (DcdPSGD(), EcdPSGD())),
        (DeepSqueeze(compressor=TopK(k=1)), 0, 5, 1, HEADER + 8 + 1 + 2),
        (DeepSqueeze(compressor=Contraction(QUANTIZER)), 0, 5, 1, QUANTIZED),
        (Beer(compressor=ScaledSign()), HEADER + 8 + 2, 5, 2, HEADER + 8 + 2),
    ],
    ids=str,
)
def test_bytes_and_messages(
    algorithm: Algorithm,
    first: int,
    rounds: int,
    messages: int,
    size: int,
    topology: Topology,
    degree: int | list[int],
) -> None:
    """Five steps; what the first round sends that differs from the others is `first`."""
    problem = least_squares(topology.n, D)
    result = run(replace(algorithm, lr=1e-3), topology, problem, starts(problem), 5)
    degrees = np.broadcast_to(np.array(degree), topology.n)
    later = (rounds - (first > 0)) * messages
    assert result.rounds == rounds
    assert result.messages.tolist() == (degrees * (later + (first > 0))).tolist()
    assert result.bytes.tolist() == (degrees * (later * size + first)).tolist()


@pytest.mark.parametrize("kind", UNBIASED_ONLY)
def test_biased_operators_are_refused_where_they_must_be_unbiased(kind: type[Algorithm]) -> None:
    problem = least_squares(4)
    for biased in (TopK(k=2), RandomK(k=2), ScaledSign(), Contraction(QSGD())):
        with pytest.raises(ValueError) as raised:
            run(kind(compressor=biased), ring(4), problem, starts(problem), 1)  # type: ignore[call-arg]
        message = str(raised.value)
        assert message.startswith(f"{kind.__name__}: compressor = {biased} is no unbiased operator of 5 numbers")
        assert message.endswith("Induced(compressor, unbiased) makes one of it")
        assert "\n" not in message
    for unbiased in (RandomK(k=2, unbiased=True), Induced(TopK(k=2), QSGD(levels=2))):
        run(kind(lr=0.01, compressor=unbiased), ring(4), problem, starts(problem), 2)  # type: ignore[call-arg]


@pytest.mark.parametrize("kind", [DeepSqueeze, Beer])
def test_operators_that_do_not_contract_are_refused(kind: type[Algorithm]) -> None:
    problem = least_squares(4)
    with pytest.raises(ValueError, match=rf"^{kind.__name__}: compressor = .* is no contraction of 5 numbers"):
        run(kind(compressor=RandomK(k=2, unbiased=True)), ring(4), problem, starts(problem), 1)  # type: ignore[call-arg]


RANGES: list[tuple[type, str, list[Any], list[Any]]] = [
    *((type(each), "lr", [0, -0.1, np.nan, np.inf], [1e-300, 7, Constant()]) for each in METHODS),
    *((type(each), "gamma", [0, -0.1, np.nan, np.inf], [1e-9, 1.5]) for each in LEADS),
    *((type(each), "alpha", [0, -0.1, 1.1, np.nan], [1e-9, 1]) for each in LEADS),
    *((kind, "gamma", [0, -0.1, 1.1, np.nan], [1e-9, 1]) for kind in (DeepSqueeze, Beer)),
]


@pytest.mark.parametrize(("kind", "name", "bad", "good"), RANGES)
def test_hyperparameters_out_of_range(kind: type, name: str, bad: list[Any], good: list[Any]) -> None:
    for value in bad:
        with pytest.raises(ValueError) as raised:
            kind(**{name: value})
        assert str(raised.value).startswith(f"{kind.__name__}: {name} = {value!r} is not allowed; it must be ")
    for value in good:
        assert getattr(kind(**{name: value}), name) == value
