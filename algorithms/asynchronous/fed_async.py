"""FedAsync: the server mixes every client's model into its own as soon as it comes."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from algorithms.asynchronous.dispatching import DispatchingServer, at_work, check_concurrency
from algorithms.asynchronous.federated import AsynchronousFederated
from algorithms.checks import check
from algorithms.program import NodeProgram
from algorithms.schedules.staleness import PolynomialDiscount, StalenessDiscount


@dataclass(frozen=True)
class FedAsync(AsynchronousFederated):
    """Asynchronous federated optimization; for what clients do, what is sent and those options see
    `AsynchronousFederated`.

    Xie, Koyejo, Gupta, "Asynchronous Federated Optimization", 2019, arXiv 1903.03934. With each answer u of a client,
    from the server's model of tau updates ago,

        w <- (1 - a) w + a u        a = alpha s(tau)

    and a client gets the new w: the one that has answered, or with `concurrency` one that is drawn from those that are
    not at work. The proximal weight `mu` is the paper's rho.

    Faster clients answer more often, and count more in the limit. Staleness is counted by the server, so no number
    travels with the models. A compressor must be fine, since models and not differences are sent.

        >>> import torch
        >>> from topologies import complete, with_hubs
        >>> programs = FedAsync().programs(with_hubs(complete(3), 1, 1), range(4), torch.zeros(4, 2))
        >>> [type(program).__name__ for program in programs]
        ['Client', 'Client', 'Client', 'FedAsyncServer']

    Args:
        alpha: Weight of an answer that is not stale, in (0, 1].
        discount: s, a `PolynomialDiscount`, `HingeDiscount` or `NoDiscount`.
        concurrency: How many clients work at any time; all by default.
    """

    mu: float = 0.005
    alpha: float = 0.6
    discount: StalenessDiscount = field(default_factory=PolynomialDiscount)
    concurrency: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check(0 < self.alpha <= 1, self, "alpha", "in (0, 1]")
        check_concurrency(self, self.concurrency)

    def check_clients(self, clients: int) -> None:
        at_work(self, self.concurrency, clients)

    def server(self, x: Tensor, clients: int) -> NodeProgram:
        return FedAsyncServer(self, x, at_work(self, self.concurrency, clients))


@dataclass(eq=False)
class FedAsyncServer(DispatchingServer):
    """The server of `FedAsync`; for its attributes see `DispatchingServer`."""

    method: FedAsync

    def use(self, answer: Tensor, staleness: int) -> None:
        weight = self.method.alpha * self.method.discount(staleness)
        self.x = (1 - weight) * self.x + weight * answer
        self.version += 1
