"""FedAvg by secure sums."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
import torch

from algorithms import FedAvg, SecureFedAvg
from algorithms.algorithm import Sample
from algorithms.federated.sampling import without
from algorithms.randomness import stream
from tests.algorithms.helpers import common, least_squares, network_of, run, starts, with_rows
from topologies import ring, with_servers

N = 6
FINE: dict[str, Any] = {"bits": 64, "levels": 2**45, "clip": 8.0}
SIZES = (3.0, 1.0, 4.0, 1.0, 5.0, 9.0)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"participation": 3, "weights": SIZES},
        {"participation": 4, "weights": SIZES, "sampling": "proportional", "weighting": "all"},
        {"participation": 5, "weights": SIZES, "weighting": "unbiased"},
    ],
    ids=["all", "some", "proportional", "unbiased"],
)
def test_with_many_levels_it_is_fed_avg(options: dict[str, Any]) -> None:
    problem = least_squares(N)
    x = starts(problem)
    ours = run(SecureFedAvg(0.05, 0.7, 3, **options, **FINE), ring(N), problem, x, 12).models
    theirs = run(FedAvg(0.05, 0.7, 3, **options), ring(N), problem, x, 12).models
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-10)


def rounds_of(algorithm: SecureFedAvg, rounds: int, seed: int = 0) -> tuple[Any, Any, list[Any], list[int]]:
    """The state and the network after these, the servers' models, and the number of the network's round at each end."""
    problem = least_squares(N)
    network = network_of(with_servers(ring(N), 1), seed)
    state = algorithm.start(torch.tensor(with_rows(common(problem), 1)), network)
    network.finish_step()
    models, ends = [state.server[-1].clone()], []
    for step in range(rounds * algorithm.local_steps):
        gradient = torch.zeros_like(state.x)
        gradient[:N] = torch.tensor(problem.gradient(state.x[:N].numpy()))
        ends.append(network.round)
        algorithm.step(state, Sample(gradient, torch.zeros(N + 1)), network)
        network.finish_step()
        state.step = step + 1
        if state.step % algorithm.local_steps == 0:
            models.append(state.server[-1].clone())
    return state, network, models, ends[algorithm.local_steps - 1 :: algorithm.local_steps]


@pytest.mark.parametrize("weighting", ["sampled", "all"])
def test_clients_that_vanish_do_not_count(weighting: Any) -> None:
    """With one local step w - u_k = lr grad f_k(w); an abandoned round leaves w."""
    problem, lr, chance, votes = least_squares(N), 0.05, 0.35, np.array(SIZES) * (N / sum(SIZES))
    algorithm = SecureFedAvg(
        lr, local_steps=1, weights=SIZES, weighting=weighting, vanishing=chance, threshold=0.5, **FINE
    )  # type: ignore[arg-type]
    state, network, models, ends = rounds_of(algorithm, 12)
    w, abandoned, vanished = models[0].numpy(), 0, 0
    for model, end in zip(models[1:], ends, strict=True):
        network.round = end
        draws = stream(network.draw("vanishing").key(0).common).random((2, N))
        survive = draws[0] >= chance
        answer = survive & (draws[1] >= chance)
        vanished += N - answer.sum()
        if answer.sum() < 3:
            abandoned += 1
        else:
            left = np.array(without(votes, survive, N, weighting))
            w = w - lr * left @ problem.gradient(np.tile(w, (N, 1))) / N
        np.testing.assert_allclose(model.numpy(), w, rtol=0, atol=1e-10)
        w = model.numpy()
    assert 0 < abandoned < 12
    report = algorithm.report(state)
    assert report["abandoned_rounds"].tolist() == [abandoned] * (N + 1)
    np.testing.assert_allclose(report["vanished_per_round"], vanished / 12)


def test_models_do_not_depend_on_the_keys_and_are_within_the_grid() -> None:
    algorithm = SecureFedAvg(0.05, local_steps=2, levels=100, clip=0.5, vanishing=0.2, threshold=0.5)
    first, second = (rounds_of(algorithm, 4)[2] for _ in range(2))
    assert all(map(torch.equal, first, second))
    exact = rounds_of(FedAvg(0.05, local_steps=2), 1)[2]  # type: ignore[arg-type]
    coarse = rounds_of(SecureFedAvg(0.05, local_steps=2, levels=100, clip=0.5), 1)[2]
    off = (coarse[1] - exact[1]).abs().max()
    assert 1e-6 < off <= 0.5 / 100


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bits": 24}, "Ring: bits = 24 .* one of 16, 32, 64"),
        ({"levels": 0}, "Ring: levels = 0 "),
        ({"clip": 0.0}, "Ring: clip = 0.0 "),
        ({"threshold": 0.0}, "threshold = 0.0 "),
        ({"vanishing": 1.0}, "vanishing = 1.0 "),
        ({"server": "replicated"}, "server = 'replicated' .* nothing is hidden"),
        ({"sampling": "power-of-choice", "participation": 2, "candidates": 4}, "sampling = .* without a mask"),
        ({"vanishing": 0.1, "weighting": "unbiased"}, "weighting = 'unbiased' "),
    ],
    ids="bits levels clip threshold vanishing server losses unbiased".split(),
)
def test_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SecureFedAvg(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"participation": 1}, "participation = 1 of 6 clients .* at least 2"),
        ({"bits": 16, "levels": 6000}, "levels = 6000 .* 6 clients .* take levels <= 5461"),
    ],
    ids=["one", "overflow"],
)
def test_refused_for_so_many_clients(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rounds_of(SecureFedAvg(**options), 1)


def test_without_its_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    module = import_module("algorithms.federated.secure_fed_avg")
    monkeypatch.setattr(module, "find_spec", lambda name: None if name == "Crypto" else find_spec(name))
    with pytest.raises(ValueError, match=r"pip install 'gossip-mpi\[secure\]'$"):
        SecureFedAvg()
