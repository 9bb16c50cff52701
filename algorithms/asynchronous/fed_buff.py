"""FedBuff: the server gathers the updates of some clients, whichever come first, before it moves."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import ClassVar

from torch import Tensor

from algorithms.asynchronous.dispatching import DispatchingServer, at_work, check_concurrency
from algorithms.asynchronous.federated import AsynchronousFederated
from algorithms.checks import check
from algorithms.numerics.sums import add_scaled
from algorithms.program import NodeProgram
from algorithms.schedules.learning_rate import LearningRate, learning_rate
from algorithms.schedules.staleness import PolynomialDiscount, StalenessDiscount


@dataclass(frozen=True)
class FedBuff(AsynchronousFederated):
    """Federated learning with buffered asynchronous aggregation; for what clients do, what is sent and those options
    see `AsynchronousFederated`.

    Nguyen, Malik, Zhan, Yousefpour, Rabbat, Malek, Huba, "Federated Learning with Buffered Asynchronous Aggregation",
    AISTATS 2022, arXiv 2106.06639. Clients answer with u - w. With each K = `buffer` answers, from the server's models
    of tau_i moves ago,

        w <- w + server_lr / K sum_i s(tau_i) (u_i - w_i)

    Whenever a client has answered, another one gets the w of that moment: the same one if all are at work, or with
    `concurrency` one that is drawn from those that are not. So a fast client may be in a sum several times, and the
    first move, of all clients once, is the first round of FedAvg. The paper's clients have no proximal term: mu = 0.

        >>> FedBuff(buffer=3).answers_difference
        True

    Args:
        buffer: K, >= 1.
        server_lr: Learning rate of the server, > 0, or a schedule of it over its moves.
        discount: s, a `PolynomialDiscount`, `HingeDiscount` or `NoDiscount`; the paper's is 1 / sqrt(1 + tau).
        concurrency: How many clients work at any time; all by default.
    """

    answers_difference: ClassVar[bool] = True

    buffer: int = 10
    server_lr: float | LearningRate = 1.0
    discount: StalenessDiscount = field(default_factory=PolynomialDiscount)
    concurrency: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self.buffer >= 1, self, "buffer", ">= 1")
        valid = isinstance(self.server_lr, LearningRate) or 0 < self.server_lr < math.inf
        check(valid, self, "server_lr", "> 0, or a schedule of the server's moves")
        check_concurrency(self, self.concurrency)

    def check_clients(self, clients: int) -> None:
        at_work(self, self.concurrency, clients)

    def server(self, x: Tensor, clients: int) -> NodeProgram:
        return FedBuffServer(self, x, at_work(self, self.concurrency, clients))


@dataclass(eq=False)
class FedBuffServer(DispatchingServer):
    """The server of `FedBuff`; for its other attributes see `DispatchingServer`.

    Attributes:
        gathered: (1, d), the sum in the buffer.
        held: How many answers that is of.
    """

    method: FedBuff
    gathered: Tensor | None = None
    held: int = 0

    def use(self, answer: Tensor, staleness: int) -> None:
        update = self.method.discount(staleness) * answer
        self.gathered = update if self.gathered is None else self.gathered + update
        self.held += 1
        if self.held == self.method.buffer:
            lr = learning_rate(self.method.server_lr, self.version)
            self.x = add_scaled(self.x, lr / self.held, self.gathered)
            self.version += 1
            self.gathered, self.held = None, 0
