"""The consensus step size gamma of CHOCO and its relatives: a number, from theory, or from a measured search.

Koloskova, Stich, Jaggi, "Decentralized Stochastic Optimization and Gossip Algorithms with Compressed Communication",
ICML 2019, arXiv 1902.00340: with the spectral gap rho of W, beta = |I - W|_2, and a compression with
E|C(x) - x|^2 <= (1 - omega) |x|^2,

    gamma = rho^2 omega / (16 rho + rho^2 + 4 beta^2 + 2 rho beta^2 - 8 rho omega)

makes E sum_i |x_i - average|^2 + |x_i - h_i|^2 shrink by 1 - rho^2 omega / 82 or faster in every round of CHOCO-Gossip.
The proof needs no symmetric W if rho is read as 1 - |W - J|_2, which for a symmetric one is the spectral gap. This is a
guarantee, 100 to 1000 times below what works.

The search measures that sum over `ROUNDS` rounds of CHOCO-Gossip on random vectors, with this compressor and this W,
for gamma = 1, 1/2, 1/4, ... until smaller ones only get worse. What it sends counts as traffic of the first round.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor

from algorithms.checks import check
from algorithms.compressors import Compressor
from algorithms.network import Network, Spectrum
from algorithms.numerics.sums import squared_norms
from algorithms.state import State

Gamma = float | Literal["theory", "auto"]
Theory = Callable[[Spectrum, float], float]

ROUNDS = 50  # of gossip that the search measures for each gamma
LEAST = 2.0**-12  # gamma that it tries
HOPELESS = 4.0  # growth of the sum at which a gamma is given up


def check_gamma(owner: object, gamma: Gamma) -> None:
    """Refuse a gamma outside (0, 1] that is no way to choose one."""
    valid = gamma in ("theory", "auto") or (isinstance(gamma, int | float) and 0 < gamma <= 1)
    check(valid, owner, "gamma", 'in (0, 1], or "theory" or "auto"')


def choco_theory(spectrum: Spectrum, omega: float) -> float:
    """The gamma above."""
    rho, beta2 = spectrum.gap, spectrum.laplacian_norm**2
    return rho**2 * omega / (16 * rho + rho**2 + 4 * beta2 + 2 * rho * beta2 - 8 * rho * omega)


def start_gamma(
    owner: object, state: State, gamma: Gamma, compressor: Compressor, network: Network, theory: Theory = choco_theory
) -> None:
    """Add gamma, and with "auto" the `searched` ones with the factor by which the sum shrank per round. Collective.

    Args:
        owner: The algorithm, for errors.
        state: With the stack x of the run.
        gamma: A number, or how to choose one.
        compressor: A contraction of such vectors.
        network: Links the nodes.
        theory: gamma from the spectrum of W and omega.

    Raises:
        ValueError: if gamma is to be chosen but W varies, or does not average.
    """
    if isinstance(gamma, int | float):
        state.gamma = float(gamma)
        return
    name = type(owner).__name__
    if network.period != 1:
        raise ValueError(f"{name}: gamma = {gamma!r} needs a topology that is static; where W varies give a number")
    if gamma == "auto":
        state.searched = search(state.x, compressor, network)
        state.gamma = min(state.searched, key=lambda tried: state.searched[tried])
        return
    spectrum = network.spectrum
    if spectrum.gap <= 0:
        raise ValueError(
            f"{name}: gamma = 'theory' needs a mixing matrix W with |W - J|_2 < 1, where it is {1 - spectrum.gap:.6g}; "
            f"give a number"
        )
    state.gamma = theory(spectrum, compressor.alpha(state.x.shape[1]))


def chosen_gamma(state: State) -> dict[str, Any]:
    """What to say of it in a run's summary."""
    searched = getattr(state, "searched", {})
    return {"gamma": state.gamma} | {f"contraction_with_gamma_{tried:g}": each for tried, each in searched.items()}


def search(like: Tensor, compressor: Compressor, network: Network) -> dict[float, float]:
    """The gammas tried, with the factor by which the sum over all nodes shrank per round. Collective.

    The same on every rank and on any number of them. The vectors are Gaussian, the public copies start there.

    Args:
        like: A stack (k, d) of the run.
    """
    draw = network.draw("gamma search")
    vectors = [draw.generator(row).standard_normal(like.shape[1]) for row in range(len(like))]
    start = torch.stack([torch.from_numpy(vector) for vector in vectors]).to(like)
    average, mixed = network.mean(start), network.mix(start)

    def error(x: Tensor, public: Tensor) -> float:
        """The sum, divided by n; the average stays what it is."""
        errors = squared_norms(x - average) + squared_norms(x - public)
        return float(network.mean(errors[:, None]))

    def contraction(gamma: float) -> float:
        x, public, mixed_public = start, start, mixed
        for r in range(1, ROUNDS + 1):
            x = x + gamma * (mixed_public - public)
            sent = compressor.compress(x - public, network.draw(f"gamma search {r}"))
            public = public + sent.dense()
            mixed_public = mixed_public + network.mix(sent)
            now = error(x, public)
            if not 0 < now <= HOPELESS * before:
                break
        return float((now / before) ** (1 / r))

    before = error(start, start)
    if not before:  # a single node
        return {1.0: 0.0}
    searched: dict[float, float] = {}
    gamma, worse = 1.0, 0
    while gamma >= LEAST and worse < 2:
        searched[gamma] = contraction(gamma)
        best = min(searched.values())
        worse = worse + 1 if best < 1 and searched[gamma] > best else 0
        gamma /= 2
    return searched
