"""DP-FedAvg: federated averaging whose models hide which clients have taken part."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from algorithms.blocks.server import server_of
from algorithms.checks import check
from algorithms.federated.federated import Federated
from algorithms.federated.sampling import Sampling, Weighting
from algorithms.network import Network
from algorithms.numerics.rows import placed
from algorithms.numerics.sums import squared_norms
from algorithms.privacy.clients import (
    ACCOUNTED,
    BOUND,
    PrivateFederatedState,
    first_state,
    total_of,
    with_noise,
)
from algorithms.privacy.clipping import clipped
from algorithms.privacy.mechanisms import GaussianMechanism, Mechanism
from algorithms.privacy.spending import Spending, check_mechanism
from algorithms.randomness import generator


@dataclass(frozen=True)
class AdaptiveClipping:
    """A norm to clip to that follows a quantile of the norms of what clients send, in a private way.

    Andrew, Thakkar, McMahan, Ramaswamy, "Differentially Private Learning with Adaptive Clipping", NeurIPS 2021, arXiv
    1905.03871, algorithm 1. With b_k = 1 if client k has not clipped, else 0, and M as in `DPFedAvg`:

        b = 1/2 + (1/M) (sum_k (b_k - 1/2) + N(0, deviation^2))
        clip <- clip exp(-rate (b - quantile))

    So that both sums together spend what the noise multiplier z says, that of the vectors is
    (z^-2 - (2 deviation)^-2)^(-1/2).

    Args:
        quantile: The share of clients that should not clip, in (0, 1).
        rate: How fast it follows, > 0.
        deviation: Of the noise of the count, > z / 2; None for M / 20.
    """

    quantile: float = 0.5
    rate: float = 0.2
    deviation: float | None = None

    def __post_init__(self) -> None:
        check(0 < self.quantile < 1, self, "quantile", "in (0, 1)")
        check(0 < self.rate < math.inf, self, "rate", "> 0")
        check(self.deviation is None or 0 < self.deviation < math.inf, self, "deviation", "> 0, or None")

    def noise(self, clients: int, noise_multiplier: float) -> tuple[float, float]:
        """The deviation of the count's noise, and the noise multiplier of the vectors, for M clients and z.

        Raises:
            ValueError: There is no such multiplier.
        """
        deviation = clients / 20 if self.deviation is None else self.deviation
        if not noise_multiplier:
            return deviation, 0.0
        if 2 * deviation <= noise_multiplier:
            raise ValueError(
                f"AdaptiveClipping: deviation = {deviation:.4g} is not allowed; it must be above noise_multiplier / 2 "
                f"= {noise_multiplier / 2:.4g}, or the count of clients that clip would spend everything"
            )
        return deviation, (noise_multiplier**-2 - (2 * deviation) ** -2) ** -0.5


@dataclass(frozen=True)
class DPFedAvg(Federated[PrivateFederatedState]):
    """DP-FedAvg: federated averaging, private for clients; for rounds and the other options see `Federated`.

        Delta_k = min(1, clip / |w - u_k|) (w - u_k)
        g = (1/M) (sum_k s_k Delta_k + N(0, (z clip max_k s_k)^2))    over the clients of the round
        w <- w - server_lr g

    with z = noise_multiplier, M the number of clients that are expected to take part, s_k = 1 or, with `weights`, how
    many times the average client k counts. The denominator is the same whoever takes part. The server adds the noise,
    and is trusted with what clients send; where it is not, put `NoisyMessages` around FedAvg.

    McMahan, Ramage, Talwar, Zhang, "Learning Differentially Private Recurrent Language Models", ICLR 2018, arXiv
    1710.06963 (flat clipping, the estimator with a fixed denominator).

    What is told is all models w of the server. Neighbours differ in all data of one client: with sampling =
    "independent" one of them has a client more, and each round is on a Poisson sample; with "uniform" one client has
    other data, so the sensitivity is 2 clip, and each round is on a sample without replacement. Others are refused:
    nothing is known of "power-of-choice", whose choice tells of the losses, and the accountant knows none of draws with
    replacement. Of discrete noise no amplification is claimed.

    Sent: what `Federated` says; with `adaptive` also a number up from each client, and one that all nodes are told.

    Args:
        clip: The norm to clip to, > 0, and infinite only without noise; with `adaptive` the first one.
        noise_multiplier: z, >= 0.
        delta: For which a run tells epsilon, in (0, 1): far below 1 over the number of clients.
        mechanism: What kind of noise.
        adaptive: How `clip` follows the norms.
    """

    sampling: Sampling = "independent"
    weighting: Weighting = "unbiased"
    clip: float = 1.0
    noise_multiplier: float = 1.0
    delta: float = 1e-5
    mechanism: Mechanism = field(default_factory=GaussianMechanism)
    adaptive: AdaptiveClipping | None = None

    def __post_init__(self) -> None:
        self.check_even(ACCOUNTED)  # first: otherwise they are refused for their weighting, which is the right one
        super().__post_init__()
        amplifies = "independent or uniform: of other samples it is not known how much they amplify privacy"
        check(self.sampling in ("independent", "uniform"), self, "sampling", amplifies)
        check(self.weighting == "unbiased", self, "weighting", "unbiased, which has a fixed denominator")
        check_mechanism(self, self.clip, self.noise_multiplier, self.delta)
        check(self.compressor is None, self, "compressor", BOUND)
        if self.noise_multiplier:
            self.mechanism.check_deviation(self.noise_multiplier * self.clip)
        equal = self.weights == "equal" or not self.mechanism.discrete
        check(equal, self, "weights", "equal with discrete noise, which is for sums of integers")

    def start(self, x: Tensor, network: Network) -> PrivateFederatedState:
        if self.adaptive is not None:
            self.adaptive.noise(self.taking_part(network), self.noise_multiplier)
        return super().start(x, network)

    def first_state(self, server: Tensor) -> PrivateFederatedState:
        return first_state(super().first_state(server), self.clip)

    def end_round(self, state: PrivateFederatedState, server_lr: float, network: Network) -> Tensor:
        shares, expected = self.shares(network), self.taking_part(network)
        travelled = self.travelled(state, network)
        rows = self.mechanism.prepared(clipped(travelled, state.clip))
        total = total_of(self, rows, state.clients, [shares[client] for client in state.clients], network)
        multiplier = self.noise_multiplier
        if self.adaptive is not None:
            multiplier = self.adaptive.noise(expected, multiplier)[1]
        deviation = multiplier * state.clip * max(shares) if multiplier else 0.0
        random = self._random("privacy noise", state, network)
        total = with_noise(total, lambda row: self.mechanism.noised(row, deviation, random()))
        if self.adaptive is not None:
            state.clip = self._followed(self.adaptive, state, travelled, network)
        state.rounds += 1
        return self.moved(state, total / expected, server_lr, network)

    def spent(self, state: PrivateFederatedState, network: Network) -> set[Spending]:
        """See `PrivateMethod`."""
        clients, expected, discrete = self.clients(network), self.taking_part(network), self.mechanism.discrete
        sample = None if discrete or expected == clients else (expected, clients)
        if self.sampling == "independent":
            return {Spending(self.noise_multiplier, state.rounds, "add or remove", sample, discrete)}
        return {Spending(self.noise_multiplier / 2, state.rounds, "replace", sample, discrete)}

    def _followed(
        self, adaptive: AdaptiveClipping, state: PrivateFederatedState, travelled: Tensor, network: Network
    ) -> float:
        """The norm to clip to in the next round, known to all nodes."""
        kept = (squared_norms(travelled).sqrt() <= state.clip).double()[:, None] - 0.5
        total = total_of(self, kept, state.clients, [1.0] * len(state.clients), network)
        expected = self.taking_part(network)
        deviation = adaptive.noise(expected, self.noise_multiplier)[0] if self.noise_multiplier else 0.0
        random = self._random("privacy noise of a count", state, network)
        total = with_noise(total, lambda row: GaussianMechanism().noised(row, deviation, random()))
        share = 0.5 + total / expected
        clip = state.clip * torch.exp(-adaptive.rate * (share - adaptive.quantile))
        if not self.servers:
            return float(clip[0])
        everywhere = placed(clip, self.keepers(network), len(network.nodes))
        return float(network.rows(everywhere, [server_of(network)])[0])

    def _random(
        self, purpose: str, state: PrivateFederatedState, network: Network
    ) -> Callable[[], np.random.Generator]:
        """Makes what the noise of this round follows from."""
        seed = network.draw("clients").seed
        return lambda: generator(seed, purpose, state.rounds)
