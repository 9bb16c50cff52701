"""What the transcriptions of compressed methods share: operators with their draws, and LEAD's equations."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch

from algorithms import Algorithm, Compressor, Identity, InfinityNorm, RandomK, Sample, State, StepDecay
from algorithms.randomness import Draw
from tests.algorithms.compressors.helpers import buckets_of, decoded, uniforms
from tests.algorithms.helpers import UNDIRECTED, Array, LeastSquares, network_of
from tests.algorithms.reference import Gradient, Rate
from topologies import Schedule, Topology, ring

Operator = Callable[[Array, int], Array]  # what (n, d) vectors of all nodes become in a round
Prox = Callable[[Array, float], Array]

DECAY = StepDecay(lr=0.05, milestones=(30, 31, 90), factor=0.4)


def decay(t: int) -> float:
    """DECAY, in closed form."""
    return 0.05 if t < 30 else 0.02 if t < 31 else 0.008 if t < 90 else 0.0032


def operator(compressor: Compressor, purpose: str = "compression") -> Operator:
    """An operator on the vectors of all nodes, one by one, with the draws of a run with seed 0."""

    def compress(Z: Array, round: int) -> Array:
        draw = Draw(0, purpose, range(len(Z)), round)
        return np.stack([decoded(compressor, z, draw.key(i))[0] for i, z in enumerate(Z)])

    return compress


def infinity_norm(bits: int, bucket: int) -> Operator:
    """Delta sign(z) floor(|z| / Delta + u) in buckets, literally."""

    def compress(Z: Array, round: int) -> Array:
        draw, result = Draw(0, "compression", range(len(Z)), round), np.empty_like(Z)
        for i, z in enumerate(Z):
            u = buckets_of(1 - uniforms(draw.key(i).own, len(z), np.float64), bucket)
            for part, v, out in zip(buckets_of(z, bucket), u, buckets_of(result[i], bucket), strict=True):
                delta = np.abs(part).max() / 2 ** (bits - 1)
                out[:] = delta * np.sign(part) * np.floor(np.abs(part) / (delta or 1) + v)
        return result

    return compress


UNBIASED: dict[str, tuple[Compressor, Operator]] = {
    "identity": (Identity(), lambda Z, round: Z),
    "2 bits": (InfinityNorm(bits=2, bucket=3), infinity_norm(2, 3)),
    "random": (RandomK(k=3, unbiased=True), operator(RandomK(k=3, unbiased=True))),
}
# (topology, operator, the same in the transcription, gamma, alpha, steps). For given draws, but for jumps, what the
# quantizer gives follows from the largest entry of each bucket alone. So rounding errors grow from step to step, and
# quickly so for the authors' gamma and alpha.
LEAD: dict[str, tuple[Topology, Compressor, Operator, float, float, int]] = {
    **{f"identity on {name}": (each, *UNBIASED["identity"], 0.9, 0.4, 200) for name, each in UNDIRECTED.items()},
    "random on erdos_renyi-13": (UNDIRECTED["erdos_renyi-13"], *UNBIASED["random"], 0.9, 0.4, 200),
    "2 bits on ring-5": (ring(5), *UNBIASED["2 bits"], 0.1, 0.05, 200),
    "2 bits on erdos_renyi-13": (UNDIRECTED["erdos_renyi-13"], *UNBIASED["2 bits"], 1.0, 0.5, 35),
}


def no_prox(Z: Array, step: float) -> Array:
    return Z


def soft_threshold(weight: float) -> Prox:
    return lambda Z, step: np.where(np.abs(Z) > step * weight, Z - step * weight * np.sign(Z), 0.0)


def lead(
    X: Array,
    gradient: Gradient,
    W: Array,
    rate: Rate,
    steps: int,
    gamma: float,
    alpha: float,
    compress: Operator,
    prox: Prox = no_prox,
) -> Array:
    """Algorithm 1 of the LEAD paper, with the prox of Prox-LEAD."""
    D = H = np.zeros_like(X)
    H_w = W @ H
    models = [X]
    X = prox(X - rate(0) * gradient(X), rate(0))
    models.append(X)
    for k in range(1, steps):
        eta, G = rate(k), gradient(X)
        Y = X - eta * G - eta * D
        Q = compress(Y - H, k - 1)
        Y_hat, Y_hat_w = H + Q, H_w + W @ Q
        H, H_w = (1 - alpha) * H + alpha * Y_hat, (1 - alpha) * H_w + alpha * Y_hat_w
        D = D + gamma / (2 * eta) * (Y_hat - Y_hat_w)
        V = X - eta * G - eta * D
        X = prox(V, eta)
        models.append(X)
    return np.stack(models)


def states(algorithm: Algorithm, topology: Schedule, problem: LeastSquares, x: Array, steps: int) -> Iterator[State]:
    """The state at the start and after each step, the same object each time."""
    network = network_of(topology)
    state = algorithm.start(torch.from_numpy(x), network)
    network.finish_step()
    yield state
    for _ in range(steps):
        gradient = torch.from_numpy(problem.gradient(state.x.numpy()))
        algorithm.advance(state, Sample(gradient, torch.zeros(problem.n, dtype=torch.float64)), network)
        yield state
