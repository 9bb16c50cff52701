"""What the transcriptions of these methods share: operators, literally or with their draws, and plain SGD."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from algorithms import Algorithm, Compressor, Identity, RandomK, ScaledSign, StepDecay, TopK
from algorithms.randomness import Draw
from tests.algorithms.compressors.helpers import decoded
from tests.algorithms.helpers import Array, LeastSquares, Run, least_squares, run, starts
from tests.algorithms.reference import top_k
from topologies import ring

N, STEPS = 5, 60
DECAY = StepDecay(lr=0.05, milestones=(20, 21, 40), factor=0.4)
Operator = Callable[[Array, int], Array]  # what (n, d) vectors become in an iteration


def decay(t: int) -> float:
    """DECAY, in closed form."""
    return 0.05 if t < 20 else 0.02 if t < 21 else 0.008 if t < 40 else 0.0032


def row_by_row(function: Callable[[Array], Array]) -> Operator:
    return lambda Z, t: np.stack([function(z) for z in Z])


def drawn(compressor: Compressor, purpose: str, nodes: Sequence[int] = range(N)) -> Operator:
    """An operator with the draws of a run with seed 0, whose round 0 is its start."""

    def compress(Z: Array, t: int) -> Array:
        draw = Draw(0, purpose, nodes, t + 1)
        return np.stack([decoded(compressor, z, draw.key(i))[0] for i, z in enumerate(Z)])

    return compress


def sign(z: Array) -> Array:
    """(|z|_1 / d) sign(z), with sign(0) = 1."""
    return np.abs(z).mean() * np.where(z < 0, -1.0, 1.0)


LITERAL: dict[str, tuple[Compressor, Operator]] = {
    "identity": (Identity(), lambda Z, t: Z),
    "top-2": (TopK(k=2), row_by_row(lambda z: top_k(z, 2))),
    "sign": (ScaledSign(), row_by_row(sign)),
}


def pairs(*purposes: str) -> dict[str, tuple[Compressor, tuple[Operator, ...]]]:
    """Operators that draw nothing, and some that do, each as it is for these purposes: the last one is the server's if
    that is "down"."""
    known = {name: (compressor, (literal,) * len(purposes)) for name, (compressor, literal) in LITERAL.items()}
    random = {"random": RandomK(k=2), "common": RandomK(k=2, common=True)}
    nodes = {"down": [N]}
    return known | {
        name: (compressor, tuple(drawn(compressor, purpose, nodes.get(purpose, range(N))) for purpose in purposes))
        for name, compressor in random.items()
    }


def problem_and_start() -> tuple[LeastSquares, Array, Array]:
    """(the problem, where the nodes start, where they are then: at the mean of that)."""
    problem = least_squares(N)
    X = starts(problem)
    return problem, X, np.tile(X.mean(axis=0), (N, 1))


def trained(algorithm: Algorithm, steps: int = STEPS) -> Run:
    problem, X, _ = problem_and_start()
    return run(algorithm, ring(N), problem, X, steps)


def models(algorithm: Algorithm, steps: int = STEPS) -> Array:
    """(steps + 1, n, d)."""
    return trained(algorithm, steps).models


def momentum_sgd(rate: Callable[[int], float], momentum: float = 0.0, nesterov: bool = False) -> Array:
    """(STEPS + 1, n, d): plain parallel SGD."""
    problem, _, X = problem_and_start()
    v, found = np.zeros_like(X), [X]
    for t in range(STEPS):
        G = np.tile(problem.gradient(X).mean(axis=0), (N, 1))
        v = momentum * v + G
        X = X - rate(t) * (G + momentum * v if nesterov else v)
        found.append(X)
    return np.stack(found)


def close(first: Array, second: Array) -> None:
    np.testing.assert_allclose(first, second, rtol=0, atol=1e-10)
