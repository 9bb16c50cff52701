"""DP-FTRL: federated averaging with noise on sums over rounds, private without random samples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from algorithms.blocks.momentum import check_momentum
from algorithms.checks import check
from algorithms.federated.federated import Federated
from algorithms.network import Network
from algorithms.optimizers import SGD, LocalOptimizer
from algorithms.privacy.clients import (
    ACCOUNTED,
    BOUND,
    PrivateFederatedState,
    first_state,
    total_of,
    with_noise,
)
from algorithms.privacy.clipping import clipped
from algorithms.privacy.spending import Spending, check_mechanism
from algorithms.privacy.tree import prefix_noise
from algorithms.randomness import generator


@dataclass(frozen=True)
class DPFTRL(Federated[PrivateFederatedState]):
    """DP-FTRL at the server of a federated method; for rounds and the other options see `Federated`.

    Kairouz, McMahan, Song, Thakkar, Thakurta, Xu, "Practical and Private (Deep) Learning without Sampling or
    Shuffling", ICML 2021, arXiv 2103.00039. With the clipped Delta_k of `DPFedAvg`, and P(t) the noise of a prefix of t
    rounds, a sum over the vertices of a binary tree that cover it (see `algorithms.privacy.tree`):

        G_t = sum_{s <= t} sum_k Delta_k + clip z P(t)
        w_t = w_0 - (server_lr / M) G_t

    computed as w <- w - (server_lr / M) (G_t - G_{t-1}), with heavy-ball momentum of these differences if wanted.

    Each epoch goes through the clients once, M in a round, in an order that need not be secret: by seed. Of K clients
    those that are left over when M does not divide K have a rest. With each epoch a new tree starts (the restarts of
    the paper, its appendix D), so that a client counts once in each tree. Neighbours: one client's vectors are 0.

    Args:
        clip: The norm to clip to, > 0, and infinite only without noise.
        noise_multiplier: z, of each vertex, >= 0.
        delta: For which a run tells epsilon, in (0, 1): far below 1 over the number of clients.
        momentum: Of the server, in [0, 1).
    """

    clip: float = 1.0
    noise_multiplier: float = 1.0
    delta: float = 1e-5
    momentum: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self.sampling == "uniform", self, "sampling", "left out: an epoch goes through all clients")
        check(self.weighting == "sampled", self, "weighting", "left out: the denominator is fixed")
        check(self.weights == "equal", self, "weights", "equal")
        check_momentum(self, self.momentum)
        self.check_even(ACCOUNTED)
        check_mechanism(self, self.clip, self.noise_multiplier, self.delta)
        check(self.compressor is None, self, "compressor", BOUND)

    @property
    def server_rule(self) -> LocalOptimizer:
        return SGD(self.momentum)

    def first_state(self, server: Tensor) -> PrivateFederatedState:
        return first_state(super().first_state(server), self.clip)

    def drawn(self, state: PrivateFederatedState, random: np.random.Generator, network: Network) -> NDArray[np.float64]:
        clients, size = self.clients(network), self.taking_part(network)
        epoch, place = divmod(state.rounds, self._steps(network))
        order = generator(network.draw("clients").seed, "clients of an epoch", epoch).permutation(clients)
        votes: NDArray[np.float64] = np.zeros(clients)
        votes[order[place * size : (place + 1) * size]] = 1.0
        return votes

    def end_round(self, state: PrivateFederatedState, server_lr: float, network: Network) -> Tensor:
        rows = clipped(self.travelled(state, network), self.clip)
        total = total_of(self, rows, state.clients, state.votes, network)
        if self.noise_multiplier:
            total = with_noise(total, lambda row: self._noised(row, state.rounds, network))
        state.rounds += 1
        return self.moved(state, total / self.taking_part(network), server_lr, network)

    def spent(self, state: PrivateFederatedState, network: Network) -> set[Spending]:
        """See `PrivateMethod`; a tree that has begun counts as a whole one."""
        steps = self._steps(network)
        return {Spending(self.noise_multiplier, -(-state.rounds // steps), "zero", steps=steps)}

    def _steps(self, network: Network) -> int:
        """Rounds of an epoch."""
        return self.clients(network) // self.taking_part(network)

    def _noised(self, row: Tensor, rounds: int, network: Network) -> Tensor:
        """The sum (d,) of the next round, and how the prefix's noise changes with it."""
        tree, before = divmod(rounds, self._steps(network))
        seed = network.draw("clients").seed
        after, known = (prefix_noise(t, len(row), seed, tree) for t in (before + 1, before))
        return (row.double() + self.clip * self.noise_multiplier * torch.from_numpy(after - known)).to(row.dtype)
