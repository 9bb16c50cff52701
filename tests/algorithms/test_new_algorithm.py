"""An algorithm that somebody writes in a file of their own, registered nowhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor

from algorithms import Algorithm, Network, Sample, State
from algorithms.checks import check
from tests.algorithms.helpers import ALL, Array, dense, least_squares, network_of, run, starts
from topologies import Schedule


@dataclass(frozen=True)
class DecayingGossip(Algorithm):
    """DGD with a weight on the averaging that decays: x <- x + a_t (W - I) x - lr g, a_t = (t + 1)^-power."""

    needs: ClassVar[tuple[str, ...]] = ("doubly_stochastic",)

    lr: float = 0.05
    power: float = 0.5

    def __post_init__(self) -> None:
        check(self.power >= 0, self, "power", ">= 0")

    def step(self, state: State, sample: Sample, network: Network) -> None:
        a = (state.step + 1) ** -self.power
        state.x = state.x + a * (network.mix(state.x) - state.x) - self.lr * sample.gradient


@dataclass
class AveragedState(State):
    """With the sum of all iterates, (k, d)."""

    total: Tensor


@dataclass(frozen=True)
class PairwiseGossip(Algorithm[AveragedState]):
    """The same from the neighbours' rows one by one, and it outputs the average of its iterates."""

    needs: ClassVar[tuple[str, ...]] = ("doubly_stochastic",)

    lr: float = 0.05
    power: float = 0.5

    def start(self, x: Tensor, network: Network) -> AveragedState:
        return AveragedState(x.clone(), x.clone())

    def step(self, state: AveragedState, sample: Sample, network: Network) -> None:
        a = (state.step + 1) ** -self.power
        pulls = [
            (heard.weights[:, None] * (heard.rows - x)).sum(dim=0)
            for x, heard in zip(state.x, network.neighbors(state.x), strict=True)
        ]
        state.x = state.x + a * torch.stack(pulls) - self.lr * sample.gradient
        state.total = state.total + state.x

    def model(self, state: AveragedState) -> Tensor:
        return state.total / (state.step + 1)


def transcription(topology: Schedule, power: float, steps: int) -> Array:
    problem = least_squares(topology.n)
    X = starts(problem)
    models = [X]
    for t in range(steps):
        step = (dense(topology[t]) - np.eye(topology.n)) / (t + 1) ** power
        X = X + step @ X - 0.05 * problem.gradient(X)
        models.append(X)
    return np.stack(models)


@pytest.mark.parametrize("topology", ALL.values(), ids=ALL)
@pytest.mark.parametrize("power", [0.0, 0.5])
@pytest.mark.parametrize("kind", [DecayingGossip, PairwiseGossip])
def test_it_just_works(kind: type[DecayingGossip | PairwiseGossip], power: float, topology: Schedule) -> None:
    problem = least_squares(topology.n)
    result = run(kind(power=power), topology, problem, starts(problem), 60)
    wanted = transcription(topology, power, 60)
    assert np.abs(result.points - wanted).max() <= 1e-12
    if kind is PairwiseGossip:
        wanted = np.cumsum(wanted, axis=0) / np.arange(1, 62)[:, None, None]
    assert np.abs(result.models - wanted).max() <= 1e-12
    assert result.rounds == 60
    degrees = [np.count_nonzero(column) - 1 for column in dense(topology[0]).T]  # alike in all rounds
    assert result.messages.tolist() == [60 * degree for degree in degrees]


@pytest.mark.parametrize("topology", ALL.values(), ids=ALL)
def test_neighbors_are_the_off_diagonal_of_w(topology: Schedule) -> None:
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(topology.n, 3)))
    for i, heard in enumerate(network_of(topology).neighbors(x)):
        weights = dense(topology[0])[i]
        senders = [j for j in np.flatnonzero(weights) if j != i]
        assert list(heard.nodes) == senders
        np.testing.assert_array_equal(heard.weights, weights[senders])
        np.testing.assert_array_equal(heard.rows, x[senders])


def test_its_hyperparameters_are_checked_like_all_others() -> None:
    with pytest.raises(ValueError, match=r"^DecayingGossip: power = -1 .* >= 0$"):
        DecayingGossip(power=-1)
