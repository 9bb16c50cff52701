"""The consensus step size gamma of CHOCO and its relatives: a number, from theory, or from a measured search."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, Self

import torch
from torch import Tensor

from algorithms.blocks.replica import Replica
from algorithms.checks import check
from algorithms.compressors import Compressor, Identity
from algorithms.network import Network, Spectrum
from algorithms.numerics.sums import squared_norms
from algorithms.state import Block

GammaChoice = float | Literal["auto", "theory"]
"""What an algorithm's field `gamma` may be: a number in (0, 1], or how to choose one; see `Gamma`."""

Theory = Callable[[Spectrum, float], float]

ROUNDS = 50  # of gossip that the search measures for each gamma
UNCOMPRESSED = 64  # numbers a vector, at most, where nothing is lost: the rate does not depend on them
LEAST = 2.0**-12  # gamma that it tries
HOPELESS = 4.0  # growth of the error at which a gamma is given up
PRECISION = 8.0  # units of rounding, squared, below which the error says nothing of a gamma


class HasGamma(Protocol):
    """The fields of an algorithm with a consensus step size."""

    @property
    def gamma(self) -> GammaChoice:
        """A number, or how to choose one."""

    @property
    def compressor(self) -> Compressor:
        """The compression operator, a contraction."""


@dataclass
class Gamma(Block):
    """The consensus step size of a run, the same at all nodes.

    Attributes:
        value: The number itself.
        tried: What a search has tried: gamma -> the factor by which the error shrank per round. Empty without one.
    """

    value: float
    tried: dict[float, float] = field(default_factory=dict)

    @classmethod
    def start(cls, owner: HasGamma, x: Tensor, network: Network, theory: Theory | None = None) -> Self:
        """The gamma that an algorithm asks for. Collective.

        "theory": Koloskova, Stich, Jaggi, "Decentralized Stochastic Optimization and Gossip Algorithms with Compressed
        Communication", ICML 2019, arXiv 1902.00340, see `choco_theory`, or what is given. It is a guarantee, 100 to
        1000 times below what works.

        "auto": the best one of a short measured search, see `search`. What this sends counts as traffic of the first
        round.

        Args:
            owner: The algorithm, whose fields say how.
            x: The stack (k, d) of the run.
            network: Links the nodes.
            theory: gamma from the spectrum of W and the contraction omega of the compressor; CHOCO's by default.

        Raises:
            ValueError: gamma is to be chosen but W varies, or, for the theory, does not average.
        """
        gamma, name = owner.gamma, type(owner).__name__
        if isinstance(gamma, int | float):
            return cls(float(gamma))
        if network.period != 1:
            raise ValueError(f"{name}: gamma = {gamma!r} needs a topology that is static; where W varies give a number")
        if gamma == "auto":
            tried = search(x, owner.compressor, network)
            return cls(min(tried, key=lambda each: tried[each]), tried)
        spectrum = network.spectrum
        if spectrum.gap <= 0:
            raise ValueError(
                f"{name}: gamma = 'theory' needs a mixing matrix W with |W - J|_2 < 1, where it is "
                f"{1 - spectrum.gap:.6g}; give a number"
            )
        return cls((theory or choco_theory)(spectrum, owner.compressor.alpha(x.shape[1])))

    def chosen(self) -> dict[str, Any]:
        """What to say of it in a run's summary."""
        return {"gamma": self.value} | {f"contraction_with_gamma_{each:g}": by for each, by in self.tried.items()}


def check_gamma(owner: object, gamma: GammaChoice) -> None:
    """Refuse a gamma outside (0, 1] that is no way to choose one."""
    valid = gamma in ("theory", "auto") or (isinstance(gamma, int | float) and 0 < gamma <= 1)
    check(valid, owner, "gamma", 'in (0, 1], or "theory" or "auto"')


def choco_theory(spectrum: Spectrum, omega: float) -> float:
    """The gamma for which CHOCO-Gossip is proven to converge, arXiv 1902.00340, Theorem 2.

    With the spectral gap rho of W, beta = |I - W|_2, and a compression with E|C(x) - x|^2 <= (1 - omega) |x|^2,

        gamma = rho^2 omega / (16 rho + rho^2 + 4 beta^2 + 2 rho beta^2 - 8 rho omega)

    makes E sum_i |x_i - average|^2 + |x_i - h_i|^2 shrink by 1 - rho^2 omega / 82 or faster in every round. The proof
    needs no symmetric W if rho is read as 1 - |W - J|_2, which for a symmetric one is the spectral gap.
    """
    rho, beta2 = spectrum.gap, spectrum.laplacian_norm**2
    return rho**2 * omega / (16 * rho + rho**2 + 4 * beta2 + 2 * rho * beta2 - 8 * rho * omega)


def search(like: Tensor, compressor: Compressor, network: Network) -> dict[float, float]:
    """The gammas tried, 1, 1/2, 1/4, ..., with the factor by which the error shrank per round. Collective.

    The error is sum_i |x_i - average|^2 + |x_i - h_i|^2 over up to `ROUNDS` rounds of CHOCO-Gossip with this compressor
    and this W, from Gaussian vectors x_i and public copies h_i that start there. Smaller gammas are tried until two in
    a row are worse than the best one. The same on every rank and on any number of them.

    Args:
        like: A stack (k, d) of the run. The vectors have d entries too, but few if nothing is compressed.
        compressor: The compression operator, a contraction.
        network: Links the nodes by a W that is static.
    """
    d = min(like.shape[1], UNCOMPRESSED) if isinstance(compressor, Identity) else like.shape[1]
    draw = network.draw("gamma search")
    vectors = [draw.generator(row).standard_normal(d) for row in range(len(like))]
    start = torch.stack([torch.from_numpy(vector) for vector in vectors]).to(like)
    average, mixed = network.mean(start), network.mix(start)

    def error(x: Tensor, public: Tensor) -> float:
        """The error, divided by n; the average stays what it is."""
        errors = squared_norms(x - average) + squared_norms(x - public)
        return float(network.mean(errors[:, None]))

    def contraction(gamma: float) -> float:
        x, replica = start, Replica(start.clone(), mixed.clone(), remembered=compressor.start_like(start))
        for r in range(1, ROUNDS + 1):
            x = x + gamma * replica.disagreement()
            replica.publish(x, compressor, network, purpose=f"gamma search {r}")
            replica.hear(network)
            now = error(x, replica.public)
            if not exact < now <= HOPELESS * before:
                break
        return float((now / before) ** (1 / r))

    before = error(start, start)
    if not before:  # a single node
        return {1.0: 0.0}
    exact = (PRECISION * torch.finfo(start.dtype).eps) ** 2 * before
    searched: dict[float, float] = {}
    gamma, worse = 1.0, 0
    while gamma >= LEAST and worse < 2:
        searched[gamma] = contraction(gamma)
        best = min(searched.values())
        worse = worse + 1 if best < 1 and searched[gamma] > best else 0
        gamma /= 2
    return searched
