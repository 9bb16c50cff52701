"""TiFL: rounds of clients of one tier, which are about as fast, one after the other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, Self

from torch import Tensor

from algorithms.asynchronous.federated import AsynchronousFederated
from algorithms.asynchronous.tiers import Tiered, TieredServer
from algorithms.checks import check
from algorithms.program import NodeContext, NodeProgram
from algorithms.randomness import stream


@dataclass(frozen=True)
class TiFL(AsynchronousFederated, Tiered):
    """Tier-based federated learning; for what clients do, what is sent and those options see `AsynchronousFederated`,
    for how tiers are found `Tiered`.

    Chai, Ali, Zawad, Truex, Anwar, Baracaldo, Zhou, Ludwig, Yan, Cheng, "TiFL: A Tier-based Federated Learning System",
    HPDC 2020, arXiv 2001.09249. When all tiers are known, rounds follow each other:

        a tier m is drawn by the `probabilities`; some of its clients train from w; when all have answered,
        w <- sum_k p_k u_k            their mean

    So nobody waits for a slower tier's client in a round of faster ones. These are the paper's static policies; its
    adaptive one draws by the accuracies of the tiers, which are not known here. Tiers with small probabilities have
    little say in the limit. With one tier it is FedAvg, or FedProx, whose rounds wait for the slowest client.

        >>> TiFL(tiers=(0, 1, 1), probabilities=(0.7, 0.3)).sizes(3)
        [1, 2]

    Args:
        probabilities: (M,) of the tiers, from the fastest on, >= 0, which are divided by their sum; or "equal".
    """

    probabilities: tuple[float, ...] | Literal["equal"] = "equal"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_tiers()
        if isinstance(self.probabilities, str):
            check(self.probabilities == "equal", self, "probabilities", '"equal", or a number for each tier')
        else:
            tiers = self.tiers if isinstance(self.tiers, int) else len({*self.tiers})
            valid = all(0 <= each < math.inf for each in self.probabilities) and any(self.probabilities)
            valid = valid and len(self.probabilities) == tiers
            check(valid, self, "probabilities", f"numbers >= 0 for each of {tiers} tiers, not all 0")

    def for_examples(self, examples: Sequence[int]) -> Self:
        return replace(self, weights=tuple(map(float, examples))) if self.weights == "examples" else self

    def check_clients(self, clients: int) -> None:
        self.sizes(clients)

    def server(self, x: Tensor, clients: int) -> NodeProgram:
        return TiFLServer(self, x, self.grouped(clients))


@dataclass(eq=False)
class TiFLServer(TieredServer):
    """The server of `TiFL`; for its attributes see `TieredServer`."""

    method: TiFL

    def known(self, tier: int, context: NodeContext) -> None:
        if not self.tiers.left and not self.rounds:
            self.go_on(tier, context)

    def end(self, tier: int, mean: Tensor) -> None:
        self.x = mean

    def go_on(self, tier: int, context: NodeContext) -> None:
        given = self.method.probabilities
        probabilities = (1.0,) * len(self.ended) if isinstance(given, str) else given
        there = [each if members else 0.0 for each, members in zip(probabilities, self.tiers.members, strict=True)]
        if any(there):
            random = stream(context.draw("tier").key(0).own)
            shares = [each / math.fsum(there) for each in there]
            self.begin(int(random.choice(len(shares), p=shares)), context)
