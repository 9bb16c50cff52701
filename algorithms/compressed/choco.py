"""CHOCO-SGD: gossip with arbitrary compression.

Koloskova, Stich, Jaggi, "Decentralized Stochastic Optimization and Gossip Algorithms with Compressed
Communication", ICML 2019, arXiv 1902.00340; Koloskova, Lin, Stich, Jaggi, "Decentralized Deep Learning with
Arbitrary Communication Compression", ICLR 2020, arXiv 1907.09356.

Every node keeps a public copy h_i of its model that its neighbours know too, and sends only the compressed
difference to it. With v_i the descent direction:

    icml         y = x - lr v(x);                      q = C(y - h);  h+ = h + q;  x+ = y + gamma (W - I) h+
    overlapped   y = x - lr v(x) + gamma (W - I) h;    q = C(y - h);  h+ = h + q;  x+ = y

"icml" is Algorithm 2 of the first paper; "overlapped" is the order of the authors' code, in which a round's
messages may travel while the next gradient is computed. They are different methods under compression. The public
copies start at 0.

This is the memory-efficient form, with the same iterates: instead of one copy per neighbour a node keeps
s_i = sum_j w_ij h_j, by adding sum_j w_ij q_j each round. That needs a W that is the same in all rounds. The
theory is for symmetric W; a directed doubly stochastic one keeps the average of the models as well.

Sent: one compressed vector to each out-neighbour, per round. The theory's gamma = O(delta^2 omega), for spectral
gap delta and contraction omega, is 100 to 1000 times below what works: tune it between omega and 1.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
from torch import Tensor

from algorithms.algorithm import Algorithm, Sample, State, check_momentum, descent_direction, start_momentum
from algorithms.arithmetic import add_scaled
from algorithms.checks import check
from algorithms.compressors import Compressor, Identity
from algorithms.compressors.contraction import check_contraction
from algorithms.learning_rate import LearningRate, check_learning_rate, learning_rate
from algorithms.network import Network

ORDERS = ("icml", "overlapped")


@dataclass(frozen=True)
class ChocoSGD(Algorithm):
    """CHOCO-SGD.

    Args:
        lr: Learning rate, > 0, or a schedule of it.
        gamma: Consensus step size, in (0, 1]; smaller for stronger compression.
        compressor: The compression operator C.
        order: "icml", the order of the paper, or "overlapped", that of the authors' code.
        momentum: Momentum of the local direction, in [0, 1); never communicated.
        nesterov: Use Nesterov's variant; needs momentum > 0.
    """

    needs: ClassVar[tuple[str, ...]] = ("static", "doubly_stochastic")

    lr: float | LearningRate = 0.1
    gamma: float = 0.3
    compressor: Compressor = field(default_factory=Identity)
    order: Literal["icml", "overlapped"] = "icml"
    momentum: float = 0.0
    nesterov: bool = False

    def __post_init__(self) -> None:
        check_learning_rate(self, self.lr)
        check(0 < self.gamma <= 1, self, "gamma", "in (0, 1]")
        check(self.order in ORDERS, self, "order", f"one of {', '.join(ORDERS)}")
        check_momentum(self, self.momentum, self.nesterov)

    def start(self, x: Tensor, network: Network) -> State:
        check_contraction(self, self.compressor, x.shape[1])
        public = torch.zeros_like(x)  # h_i, and s_i = sum_j w_ij h_j
        state = State(x=x.clone(), public=public, mixed_public=public.clone(), sent=None, step=0)
        start_momentum(state, self.momentum)
        return state

    def step(self, state: State, sample: Sample, network: Network) -> None:
        direction = descent_direction(state, sample.gradient, self.momentum, self.nesterov)
        x = add_scaled(state.x, -learning_rate(self.lr, state.step), direction)
        if self.order == "icml":
            self._publish(x, state, network)
            self._mix_sent(state, network)
            state.x = x + self._gossip(state)
        else:
            self._mix_sent(state, network)
            state.x = x + self._gossip(state)
            self._publish(state.x, state, network)
            network.post(state.sent)
        state.step += 1

    def _publish(self, x: Tensor, state: State, network: Network) -> None:
        """Make the message q = C(x - h) and add it to the public copy h."""
        state.sent = self.compressor.compress(x - state.public, network.draw("compression"))
        state.sent.add(state.public)

    def _mix_sent(self, state: State, network: Network) -> None:
        """Add what the neighbours and this node itself have sent to s."""
        if state.sent is not None:
            state.mixed_public = state.mixed_public + network.mix(state.sent)

    def _gossip(self, state: State) -> Tensor:
        """gamma (W - I) h, (k, d)."""
        return self.gamma * (state.mixed_public - state.public)
