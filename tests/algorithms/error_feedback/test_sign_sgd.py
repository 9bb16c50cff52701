"""signSGD and Signum with majority vote."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from algorithms import Sample, SignSGD
from tests.algorithms.error_feedback.literal import DECAY, STEPS, N, close, decay, models, problem_and_start, trained
from tests.algorithms.helpers import Array, network_of
from topologies import ring, with_servers

SERVERS = ["node", "replicated"]


def voted(votes: Array, t: int) -> Array:
    """(d,): the majority of (n, d) numbers, where 0 is 1 and -1 in turn."""
    count = np.zeros(votes.shape[1])
    for i, row in enumerate(votes):
        count += [np.sign(value) if value else (-1.0) ** (i + t) for value in row]
    return np.array([np.sign(value) if value else (-1.0) ** t for value in count])


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
@pytest.mark.parametrize("momentum", [0.0, 0.6])
def test_the_equations_of_the_paper(momentum: float, weight_decay: float, server: Any) -> None:
    problem, _, X = problem_and_start()
    v, wanted = np.zeros_like(X), [X]
    for t in range(STEPS):
        v = momentum * v + (1 - momentum) * problem.gradient(X)
        X = X - decay(t) * (voted(v, t) + weight_decay * X)
        wanted.append(X)
    algorithm = SignSGD(lr=DECAY, momentum=momentum, weight_decay=weight_decay, server=server)
    close(models(algorithm), np.stack(wanted))


def stepped(algorithm: SignSGD, gradients: list[list[float]], steps: int = 1) -> Array:
    """(n, d): where steps with these gradients lead from 0, without the server."""
    network = network_of(with_servers(ring(len(gradients)), algorithm.servers))
    gradient = torch.tensor(gradients + [[0.0] * len(gradients[0])] * algorithm.servers, dtype=torch.float64)
    state = algorithm.start(torch.zeros_like(gradient), network)
    for _ in range(steps):
        algorithm.advance(state, Sample(gradient, torch.zeros(len(gradient))), network)
    return state.x[: len(gradients)].numpy()


@pytest.mark.parametrize("server", SERVERS)
def test_most_nodes_decide_and_not_the_mean(server: Any) -> None:
    found = stepped(SignSGD(lr=0.5, server=server), [[9.0, -1.0], [-1.0, -1.0], [-1.0, 9.0]])
    np.testing.assert_array_equal(found, [[0.5, 0.5]] * 3)


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("n", [1, 3, 4])
def test_equal_gradients_are_those_of_a_single_node(n: int, server: Any) -> None:
    gradient = [0.1, -7.0, 3.0]
    found = stepped(SignSGD(lr=0.5, momentum=0.9, server=server), [gradient] * n, steps=3)
    np.testing.assert_array_equal(found, [[-1.5, 1.5, -1.5]] * n)


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("gradients", [[[1.0], [-1.0]], [[0.0], [0.0]], [[0.0]] * 3], ids=str)
def test_ties_and_nothing_lead_nowhere(gradients: list[list[float]], server: Any) -> None:
    algorithm = SignSGD(lr=0.5, server=server)
    assert np.abs(stepped(algorithm, gradients)).tolist() == [[0.5]] * len(gradients)
    assert stepped(algorithm, gradients, steps=4).tolist() == [[0.0]] * len(gradients)


def test_what_is_sent() -> None:
    """A header and a bit for each of the 5 numbers, up and down; at the start a vector."""
    found = trained(SignSGD(lr=0.05), steps=12)
    assert found.bytes.tolist() == [12 * 25 + 40] * N + [N * (12 * 25 + 40)]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"lr": 0.0}, "lr"),
        ({"momentum": 1.0}, "momentum"),
        ({"weight_decay": -1.0}, "weight_decay"),
        ({"server": "x"}, "server"),
    ],
)
def test_what_is_out_of_range_is_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        SignSGD(**options)
