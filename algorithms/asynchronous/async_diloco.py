"""Asynchronous DiLoCo: local steps at every worker's own pace, and Nesterov momentum that is applied with delay."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from torch import Tensor

from algorithms.asynchronous.dispatching import DispatchingServer
from algorithms.asynchronous.federated import AsynchronousFederated
from algorithms.checks import check
from algorithms.numerics.sums import add_scaled
from algorithms.optimizers import AdamW, LocalOptimizer
from algorithms.program import NodeProgram
from algorithms.schedules.learning_rate import LearningRate, learning_rate
from algorithms.schedules.staleness import NoDiscount, StalenessDiscount


@dataclass(frozen=True)
class AsynchronousDiLoCo(AsynchronousFederated):
    """Asynchronous DiLoCo: local steps at every worker's own pace, and Nesterov momentum that is applied with delay.

    Liu, Chhaparia, Douillard, Kale, Rusu, Shen, Szlam, Ranzato, "Asynchronous Local-SGD Training for Language
    Modeling", 2024, arXiv 2401.09135. A worker takes the server's parameters theta, makes H_i steps by its optimizer,
    which goes on from one answer to the next, and sends the way it has come, the pseudo-gradient g = theta - x_i of
    that theta, for which it gets the new one. Of N answers, with the momentum m, 0 at the start,

        1 to N - 1    theta <- theta - eta (c beta m + g / N)
        N             m <- beta m + (the sum of the N) / N
                      theta <- theta - eta ((1 - c N + c) beta m + g / N)

    With c = 0 the N together are one step of Nesterov's method on their mean; N = 1 applies the momentum with each. The
    paper's dynamic local updates let slower workers make fewer steps: H_i = max(1, floor(H v_i / max v)) with speeds v.

    Sent: one dense vector down and one up per answer; or what a compressor makes of both.

    Args:
        lr: Learning rate of the local steps, > 0, or a schedule of it, by the number of the worker's own gradients.
        local_steps: H, >= 1.
        optimizer: The workers' update rule.
        server_lr: eta, > 0, or a schedule of it, by the number of answers.
        server_momentum: beta, in [0, 1).
        buffer: N, >= 1.
        c: How much of the momentum the answers before the last apply, in [0, 1 / N].
        discount: Factor of an answer, by how many others have been applied since its worker got its theta.
        speeds: v, of each worker, > 0; all make H steps by default.
    """

    answers_difference: ClassVar[bool] = True
    keeps_memory: ClassVar[bool] = True

    lr: float | LearningRate = 4e-4
    optimizer: LocalOptimizer = field(default_factory=AdamW)
    server_lr: float | LearningRate = 0.07
    server_momentum: float = 0.9
    buffer: int = 4
    c: float = 0.0
    discount: StalenessDiscount = field(default_factory=NoDiscount)
    speeds: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        valid = isinstance(self.server_lr, LearningRate) or self.server_lr > 0
        check(valid, self, "server_lr", "> 0, or a schedule")
        check(0 <= self.server_momentum < 1, self, "server_momentum", "in [0, 1)")
        check(self.buffer >= 1, self, "buffer", ">= 1")
        check(0 <= self.c <= 1 / self.buffer, self, "c", f"in [0, 1 / buffer], which is {1 / self.buffer:.4g}")
        check(self.speeds is None or min(self.speeds, default=0.0) > 0, self, "speeds", "> 0 each, or None")

    def steps_of(self, client: int) -> int:
        if self.speeds is None:
            return self.local_steps
        return max(1, int(self.local_steps * self.speeds[client] / max(self.speeds)))

    def check_clients(self, clients: int) -> None:
        if self.speeds is not None and len(self.speeds) != clients:
            raise ValueError(f"AsynchronousDiLoCo: {len(self.speeds)} speeds of {clients} workers; give one for each")

    def server(self, x: Tensor, clients: int) -> NodeProgram:
        return DelayedNesterov(self, x, clients)


@dataclass(eq=False)
class DelayedNesterov(DispatchingServer):
    """The server of `AsynchronousDiLoCo`; for its other attributes see `DispatchingServer`.

    Attributes:
        momentum: (1, d), m; None before the first N answers, when it is 0.
        gathered: (1, d), the sum of the pseudo-gradients since; None if there are none.
        held: How many these are.
    """

    method: AsynchronousDiLoCo
    momentum: Tensor | None = None
    gathered: Tensor | None = None
    held: int = 0

    def use(self, answer: Tensor, staleness: int) -> None:
        method, n = self.method, self.method.buffer
        gradient = -method.discount(staleness) * answer
        self.gathered = gradient if self.gathered is None else self.gathered + gradient
        self.held += 1
        share = method.c
        if self.held == n:
            mean = self.gathered / n
            self.momentum = mean if self.momentum is None else method.server_momentum * self.momentum + mean
            self.gathered, self.held, share = None, 0, 1 - method.c * n + method.c
        direction = gradient / n
        if self.momentum is not None:
            direction = direction + share * method.server_momentum * self.momentum
        self.x = add_scaled(self.x, -learning_rate(method.server_lr, self.version), direction)
        self.version += 1
