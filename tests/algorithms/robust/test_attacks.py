"""What attackers send in the place of what they should."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from algorithms import (
    Algorithm,
    ALittleIsEnough,
    Attack,
    Attacked,
    CompressedSGD,
    DecentralizedSGD,
    ErrorFeedbackSGD,
    GaussianNoise,
    Identity,
    Mimic,
    OverlapLocalSGD,
    SecureFedAvg,
    SignFlip,
    TopK,
    Zeno,
    Zeros,
)
from algorithms.randomness import generator
from tests.algorithms.helpers import Array, dense, least_squares, network_of, run, starts
from tests.algorithms.reference import top_k
from topologies import ring

N, STEPS = 7, 30
ATTACKERS = (5, 1, 4)
WHERE = sorted(ATTACKERS)
Forge = Callable[[Array, int], Array]


def noise(V: Array, t: int) -> Array:
    return 0.3 * np.stack([generator(0, "attack", node, t).standard_normal(V.shape[1]) for node in WHERE])


def a_little(V: Array, t: int) -> Array:
    return np.tile(V[WHERE].mean(axis=0) - 0.8 * V[WHERE].std(axis=0), (len(WHERE), 1))


LITERAL: dict[str, tuple[Attack, Forge]] = {
    "sign": (SignFlip(scale=0.4), lambda V, t: -0.4 * V[WHERE]),
    "noise": (GaussianNoise(deviation=0.3), noise),
    "zeros": (Zeros(), lambda V, t: 0 * V[WHERE]),
    "a-little": (ALittleIsEnough(deviations=0.8), a_little),
    "mimic": (Mimic(node=3), lambda V, t: V[[3, 3, 3]]),
}


def sent(V: Array, t: int, forge: Forge) -> Array:
    V = V.copy()
    V[WHERE] = forge(V, t)
    return V


def models(algorithm: Algorithm, steps: int = STEPS) -> Array:
    problem = least_squares(N)
    return run(algorithm, ring(N), problem, starts(problem), steps).models


def close(found: Array, wanted: Array) -> None:
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", LITERAL)
def test_on_what_neighbours_mix(name: str) -> None:
    attack, forge = LITERAL[name]
    problem, W = least_squares(N), dense(ring(N))
    X, wanted = starts(problem), [starts(problem)]
    for t in range(STEPS):
        X = W @ sent(X - 0.05 * problem.gradient(X), t, forge)  # the start sends nothing, so the rounds are 0, 1, ...
        wanted.append(X)
    close(models(Attacked(DecentralizedSGD(lr=0.05), attack, ATTACKERS)), np.stack(wanted))


@pytest.mark.parametrize("name", LITERAL)
def test_on_averages_of_all(name: str) -> None:
    attack, forge = LITERAL[name]
    problem = least_squares(N)
    X = np.tile(starts(problem).mean(axis=0), (N, 1))
    wanted = [starts(problem), X][1:]
    for t in range(STEPS):
        X = X - 0.05 * sent(problem.gradient(X), t + 1, forge).mean(axis=0)  # round 0 was the start
        wanted.append(X)
    algorithm = CompressedSGD(lr=0.05, compressor=Identity())
    close(models(Attacked(algorithm, attack, ATTACKERS)), np.stack(wanted))


@pytest.mark.parametrize("name", LITERAL)
def test_on_compressed_messages_which_keep_their_size(name: str) -> None:
    """Errors are those of the true messages."""
    attack, forge = LITERAL[name]
    problem = least_squares(N)
    X = np.tile(starts(problem).mean(axis=0), (N, 1))
    E, wanted = np.zeros_like(X), [X]
    for t in range(STEPS):
        P = E + 0.05 * problem.gradient(X)
        C = np.stack([top_k(p, 2) for p in P])
        E = P - C
        X = X - sent(C, t + 1, forge).mean(axis=0)
        wanted.append(X)
    algorithm = ErrorFeedbackSGD(lr=0.05, compressor=TopK(k=2))
    both = algorithm, Attacked(algorithm, attack, ATTACKERS)
    honest, attacked = (run(each, ring(N), problem, starts(problem), STEPS) for each in both)
    close(attacked.models, np.stack(wanted))
    assert attacked.bytes.tolist() == honest.bytes.tolist()
    assert attacked.messages.tolist() == honest.messages.tolist()


def test_they_begin_when_they_are_told_to() -> None:
    algorithm = DecentralizedSGD(lr=0.05)
    honest, attacked = models(algorithm), models(Attacked(algorithm, SignFlip(), ATTACKERS, since=10))
    np.testing.assert_array_equal(attacked[:11], honest[:11])
    assert np.abs(attacked[11] - honest[11]).max() > 0.01


def test_sending_ahead_changes_nothing() -> None:
    algorithm: Algorithm = Attacked(OverlapLocalSGD(lr=0.05, period=2), GaussianNoise(), ATTACKERS)
    consensus: Algorithm = Attacked(DecentralizedSGD(lr=0.05, order="consensus"), ALittleIsEnough(1.0), ATTACKERS)
    for each in (algorithm, consensus):
        np.testing.assert_array_equal(models(each), models(_Ahead(each)))


class _Ahead(Attacked):
    """Sends what it can ahead."""

    def __init__(self, attacked: Algorithm) -> None:
        self.__dict__.update(vars(attacked))

    def step(self, state, sample, network):  # type: ignore[no-untyped-def]
        self.post(state, network)
        super().step(state, sample, network)


def test_what_colluders_tell_each_other_is_not_counted() -> None:
    problem = least_squares(N)
    honest, attacked = (
        run(each, ring(N), problem, starts(problem), 5)
        for each in (DecentralizedSGD(), Attacked(DecentralizedSGD(), ALittleIsEnough(1.0), ATTACKERS))
    )
    assert attacked.bytes.tolist() == honest.bytes.tolist()
    assert attacked.rounds == honest.rounds


@pytest.mark.parametrize(("nodes", "attackers", "closer", "honest"), [(50, 24, 24, 26), (10, 4, 4, 6), (9, 4, 4, 5)])
def test_how_little_is_enough(nodes: int, attackers: int, closer: int, honest: int) -> None:
    """By the paper's formula; its own example is 50 nodes with 24 attackers."""
    z = torch.tensor(ALittleIsEnough().z(attackers, nodes), dtype=torch.float64)
    assert float(torch.special.ndtr(z)) == pytest.approx(closer / honest, abs=1e-12)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"attackers": ()}, "the numbers of one or more nodes, each once"),
        ({"attackers": (2, 2)}, "each once"),
        ({"attackers": (-1,)}, "numbers of nodes, from 0 on"),
        ({"attackers": (N,)}, "there are the nodes 0 to 6"),
        ({"attackers": tuple(range(N + 1))}, "there are the nodes 0 to 6"),
        ({"algorithm": Zeno(), "attackers": (N - 1,)}, "the nodes 0 to 5, and the nodes after it must be honest"),
        ({"algorithm": Attacked(Zeno())}, "a method that is not attacked already"),
        ({"algorithm": SecureFedAvg()}, "one that sends vectors as they are"),
        ({"since": -1}, "since"),
        ({"attack": ALittleIsEnough()}, "at least 2 attackers"),
        ({"attack": Mimic(), "attackers": (2, 0)}, r"Mimic: node = 0 .* none of the attackers \(0, 2\)"),
        ({"attack": Mimic(N)}, "Mimic: node = 7 is not allowed; it must be among 0 to 6"),
        ({"attack": ALittleIsEnough(), "attackers": (0, 1, 2, 3)}, "4 attackers among 7 nodes have no z > 0"),
    ],
)
def test_attackers_that_cannot_be_are_refused(options: dict[str, object], says: str) -> None:
    problem = least_squares(N)
    with pytest.raises(ValueError, match=says):
        given = {"algorithm": DecentralizedSGD()} | options
        Attacked(**given).start(torch.from_numpy(starts(problem)), network_of(ring(N)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("attack", "options"),
    [
        (SignFlip, {"scale": 0.0}),
        (SignFlip, {"scale": -1.0}),
        (GaussianNoise, {"deviation": 0.0}),
        (ALittleIsEnough, {"deviations": 0.0}),
    ],
)
def test_attacks_without_effect_are_refused(attack: type[Attack], options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"{attack.__name__}: {next(iter(options))}"):
        attack(**options)
