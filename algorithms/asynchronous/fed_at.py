"""FedAT: tiers of clients, synchronous inside and asynchronous to each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, Self, get_args

import torch
from torch import Tensor

from algorithms.asynchronous.federated import AsynchronousFederated
from algorithms.asynchronous.tiers import Tiered, TieredServer
from algorithms.checks import check
from algorithms.numerics.sums import add_scaled
from algorithms.program import NodeContext, NodeProgram

Across = Literal["mirrored", "ranked", "uniform"]


@dataclass(frozen=True)
class FedAT(AsynchronousFederated, Tiered):
    """Federated learning with asynchronous tiers; for what clients do, what is sent and those options see
    `AsynchronousFederated`, for how tiers are found `Tiered`.

    Chai, Chen, Anwar, Zhao, Cheng, Rangwala, "FedAT: A High-Performance and Communication-Efficient Federated Learning
    System with Asynchronous Tiers", SC 2021, arXiv 2010.05958. Clients are in M tiers by how fast they answer. Each
    tier m goes through rounds of its own: some of its clients train from the w of that moment; when all of them have
    answered,

        W_m <- sum_k p_k u_k            their mean; all W_m are what w is at the start
        c_m <- c_m + 1                  the rounds of this tier
        w <- sum_m (c_(M + 1 - m) / T) W_m        with T the sum of all c_m

    and the next round of this tier begins. So a slow tier, which has few rounds, counts as much as a fast one has more:
    the weights are the shares of the rounds in the reverse order. At first they are all the slowest tier's, and w stays
    where it is until the others have rounds. Tiers that are not in the order of their rounds get weights that make up
    for nothing; "ranked" gives the smallest count to the tier with the most rounds, and so on, whichever these are.

    The paper's clients have mu = 0.4, Adam, and models that travel as encoded polylines: compressor = `Polyline()`; its
    tiers are 5, of which 10 clients train in a round. With one tier it is FedAvg, or FedProx. A tier waits for all
    clients of a round that are not lost; one that has lost all of its clients no longer counts.

        >>> cross_tier_weights([5, 2, 1, 0, 0])
        [0.0, 0.0, 0.125, 0.25, 0.625]

    Args:
        mu: Weight of the proximal term mu/2 |u - w|^2, >= 0.
        across: Weights of the tiers: the paper's "mirrored" ones, "ranked", or "uniform", which are 1 / M.
    """

    mu: float = 0.4
    across: Across = "mirrored"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_tiers()
        check(self.across in get_args(Across), self, "across", f"one of {', '.join(get_args(Across))}")

    def for_examples(self, examples: Sequence[int]) -> Self:
        return replace(self, weights=tuple(map(float, examples))) if self.weights == "examples" else self

    def check_clients(self, clients: int) -> None:
        self.sizes(clients)

    def server(self, x: Tensor, clients: int) -> NodeProgram:
        tiers = self.grouped(clients)
        return FedATServer(self, x, tiers, models=[x] * len(tiers.sizes))


@dataclass(eq=False)
class FedATServer(TieredServer):
    """The server of `FedAT`; for its other attributes see `TieredServer`.

    Attributes:
        models: Tier -> (1, d), W_m.
    """

    method: FedAT
    models: list[Tensor] = field(kw_only=True)

    def known(self, tier: int, context: NodeContext) -> None:
        self.go_on(tier, context)

    def end(self, tier: int, mean: Tensor) -> None:
        self.models[tier] = mean
        there = [m for m, size in enumerate(self.tiers.sizes) if size or m == tier]
        weights = cross_tier_weights([self.ended[m] for m in there], self.method.across)
        self.x = torch.zeros_like(mean)
        for m, weight in zip(there, weights, strict=True):
            self.x = add_scaled(self.x, weight, self.models[m])

    def go_on(self, tier: int, context: NodeContext) -> None:
        if self.tiers.members[tier]:
            self.begin(tier, context)


def cross_tier_weights(rounds: Sequence[int], across: Across = "mirrored") -> list[float]:
    """(M,): how much each tier counts, given how many rounds each has had, not all none.

    Args:
        rounds: From the fastest tier on.
        across: Which weights, see `FedAT`.
    """
    tiers = range(len(rounds))
    if across == "uniform":
        return [1 / len(rounds) for _ in tiers]
    counts = list(reversed(rounds))
    if across == "ranked":
        most_first = sorted(tiers, key=lambda tier: (-rounds[tier], tier))
        for tier, count in zip(most_first, sorted(rounds), strict=True):
            counts[tier] = count
    return [count / sum(rounds) for count in counts]
