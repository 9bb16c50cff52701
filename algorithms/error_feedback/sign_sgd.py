"""signSGD and Signum with majority vote: one bit of each entry in both directions, without error feedback."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from algorithms.algorithm import Algorithm, Sample
from algorithms.blocks.momentum import Momentum, check_momentum
from algorithms.blocks.server import HasServer, ServerForm
from algorithms.blocks.two_way import average_at_server, packed_average
from algorithms.compressors import Sign
from algorithms.compressors.message import Message
from algorithms.network import Network
from algorithms.numerics.sums import add_scaled
from algorithms.optimizers.weight_decay import check_weight_decay, with_weight_decay
from algorithms.randomness import Draw
from algorithms.schedules.learning_rate import LearningRate, check_learning_rate, learning_rate
from algorithms.state import State


@dataclass
class SignSGDState(State):
    """What signSGD carries on; all rows of `x` are equal.

    Attributes:
        momentum: Of each node's gradients.
    """

    past: ClassVar[tuple[str, ...]] = ("momentum",)

    momentum: Momentum


@dataclass(frozen=True)
class SignSGD(HasServer, Algorithm[SignSGDState]):
    """signSGD with majority vote, and with momentum Signum: nodes vote on the sign of each entry of the step.

    Bernstein, Wang, Azizzadenesheli, Anandkumar, "signSGD: Compressed Optimisation for Non-Convex Problems", ICML 2018,
    arXiv 1802.04434; Bernstein, Zhao, Azizzadenesheli, Anandkumar, "signSGD with Majority Vote is Communication
    Efficient and Fault Tolerant", ICLR 2019, arXiv 1810.05291, Algorithm 1.

    With v_i, 0 at the start:

        v_i <- momentum v_i + g_i(x);   s_i = sign(v_i) goes up
        s = sign(sum_i s_i) goes down;   x <- x - lr (s + weight_decay x)

    The paper's v_i is (1 - momentum) times this one, with the same signs. Every entry moves by lr, so the learning rate
    is much smaller than that of SGD, and has to vanish for x to come to rest.

    A bit knows no 0: the sign of 0, of an entry without a gradient or of a tie at the server, is 1 and -1 in turn, in
    iteration t of node i that of (-1)^(i + t), at the server (-1)^t. So such entries move to and fro, and not away.

    Without error feedback it does not converge in general: where few nodes have large gradients, most may outvote the
    mean. `ErrorFeedbackSGD` with `ScaledSign` mends that.

    Sent: a bit for each entry up by each node and one down to each; with a replicated server each node's to all others,
    each of which counts. All nodes start from the mean of their parameters, which is sent up and down uncompressed.
    W is not used.

    Args:
        lr: Learning rate, > 0, or a schedule of it; the paper's by default.
        momentum: Momentum of each node's gradients before the vote, in [0, 1); 0.9 in the paper's Signum.
        weight_decay: The multiple of x that the step contains beside the vote, >= 0.
        server: Whether the server is a "node" of its own, after the others, or "replicated" at all of them.
    """

    compresses: ClassVar[bool] = True

    needs: ClassVar[tuple[str, ...]] = ()

    lr: float | LearningRate = 1e-4
    momentum: float = 0.0
    weight_decay: float = 0.0
    server: ServerForm = field(default="node", kw_only=True)

    def __post_init__(self) -> None:
        check_learning_rate(self, self.lr)
        check_momentum(self, self.momentum)
        check_weight_decay(self, self.weight_decay)
        self.check_server()

    @property
    def proportional(self) -> bool:
        return False

    def start(self, x: Tensor, network: Network) -> SignSGDState:
        return SignSGDState(average_at_server(x, network, self.server), Momentum.start(x, self.momentum))

    def step(self, state: SignSGDState, sample: Sample, network: Network) -> None:
        in_turn = 1 - 2 * (state.step % 2)

        def count(value: Tensor, /, *, draw: Draw, sent: Tensor | None = None) -> Message:
            return Sign().compress(_decided(value, [in_turn]), draw, sent=sent)

        votes = _decided(state.momentum.descend(sample.gradient), [in_turn * (1 - 2 * (i % 2)) for i in network.nodes])
        majority = packed_average(votes, Sign().compress, count, network, self.server)
        direction = with_weight_decay(majority, self.weight_decay, state.x)
        state.x = add_scaled(state.x, -learning_rate(self.lr, state.step), direction)


def _decided(value: Tensor, otherwise: Sequence[int]) -> Tensor:
    """A stack (k, d) with these numbers, of each row or one for all, where it is 0."""
    return torch.where(value == 0, torch.tensor(otherwise).to(value)[:, None], value)
