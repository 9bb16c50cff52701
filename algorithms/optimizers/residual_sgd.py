"""SGD that applies a part of what it has accumulated and keeps the rest as a residual: iterate-averaging SGD."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from algorithms.blocks.momentum import Momentum, check_momentum
from algorithms.checks import check
from algorithms.numerics.sums import add_scaled
from algorithms.optimizers.optimizer import LocalOptimizer
from algorithms.optimizers.weight_decay import check_weight_decay, with_weight_decay
from algorithms.state import Block


@dataclass
class Residual(Block):
    """What residual SGD remembers.

    Attributes:
        residual: e, (k, d), what has accumulated and is not applied.
        momentum: Of the gradients.
    """

    residual: Tensor
    momentum: Momentum


@dataclass(frozen=True)
class ResidualSGD(LocalOptimizer[Residual]):
    """SGD that applies a part of what it has accumulated and keeps the rest as a residual: iterate-averaging SGD.

    After Xu, Huo, Huang, "Exploit Where Optimizer Explores via Residuals", 2020, arXiv 2004.05298 v1 and v2 (version 3
    is a different paper). This is a RECONSTRUCTION of RSGD and RSGDm from the abstracts, which say that they keep the
    trajectory that SGD explores and exploit it by residuals; the paper's own equations were not at hand.

        g = gradient at x - lookahead e
        m <- momentum m + g
        q = e + lr m;   x <- x - share q;   e <- (1 - share) q

    share = 1 is SGD with momentum. With lookahead = 1, x - e is the trajectory y of SGD with momentum, whatever the
    share, and x its exponential average: x+ = (1 - share) x + share y+. The residual has the learning rate in it, which
    may vary.

    The gradient is wanted at z = x - lookahead e, which is what the algorithm holds, moves and mixes: z+ = z +
    lookahead e - (share + lookahead (1 - share)) q. The model that is output is x = z + lookahead e.

    Args:
        share: Of what has accumulated, how much is applied, in (0, 1].
        lookahead: Where gradients are taken, in [0, 1]: 0 at the model, 1 where all of the residual is applied.
        momentum: In [0, 1).
        weight_decay: Multiple of the parameters that is added to their gradient, >= 0.
    """

    share: float = 0.5
    lookahead: float = 1.0
    momentum: float = 0.0
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        check(0 < self.share <= 1, self, "share", "in (0, 1]")
        check(0 <= self.lookahead <= 1, self, "lookahead", "in [0, 1]")
        check_momentum(self, self.momentum)
        check_weight_decay(self, self.weight_decay)

    @property
    def proportional(self) -> bool:
        return not self.weight_decay

    def start(self, x: Tensor) -> Residual:
        return Residual(torch.zeros_like(x), Momentum.start(x, self.momentum))

    def update(self, x: Tensor, memory: Residual, gradient: Tensor, lr: float) -> tuple[float, Tensor]:
        gradient = with_weight_decay(gradient, self.weight_decay, x)
        accumulated = add_scaled(memory.residual, lr, memory.momentum.descend(gradient))
        applied = (self.share + self.lookahead * (1 - self.share)) * accumulated
        move = add_scaled(applied, -self.lookahead, memory.residual, out=applied)
        memory.residual = (1 - self.share) * accumulated
        return -1.0, move

    def model(self, x: Tensor, memory: Residual) -> Tensor:
        return add_scaled(x, self.lookahead, memory.residual)
