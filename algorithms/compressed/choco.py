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

The public copies are kept in the memory-efficient form (`algorithms.blocks.replica`), on a W that is the same in
all rounds or repeats with a period. The theory is for symmetric W; a directed doubly stochastic one keeps the average
of the models as well. "overlapped" needs a static W, as a message is heard one iteration after it was made.

Sent: one compressed vector to each out-neighbour, per round. The theory's gamma (`algorithms.blocks.gamma`), a
guarantee for every start and the default, is 100 to 1000 times below what works: try "auto", or tune it between omega
and 1.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from torch import Tensor

from algorithms.algorithm import Algorithm, Sample
from algorithms.blocks.gamma import check_gamma, chosen_gamma, start_gamma
from algorithms.blocks.momentum import Momentum, check_momentum
from algorithms.blocks.replica import consensus_step, hear, publish, start_replicas
from algorithms.checks import check
from algorithms.compressors import Compressor, Identity
from algorithms.compressors.theory import check_contraction
from algorithms.network import Network
from algorithms.numerics.sums import add_scaled
from algorithms.schedules.learning_rate import LearningRate, check_learning_rate, learning_rate
from algorithms.state import LooseState, State

ORDERS = ("icml", "overlapped")


@dataclass(frozen=True)
class ChocoSGD(Algorithm):
    """CHOCO-SGD.

    Args:
        lr: Learning rate, > 0, or a schedule of it.
        gamma: Consensus step size, in (0, 1], smaller for stronger compression; "theory" for the one that is guaranteed
            to work, "auto" for the best one of a short measured search.
        compressor: The compression operator C.
        order: "icml", the order of the paper, or "overlapped", that of the authors' code.
        momentum: Momentum of the local direction, in [0, 1); never communicated.
        nesterov: Use Nesterov's variant; needs momentum > 0.
    """

    needs: ClassVar[tuple[str, ...]] = ("doubly_stochastic",)

    lr: float | LearningRate = 0.1
    gamma: float | Literal["theory", "auto"] = "theory"
    compressor: Compressor = field(default_factory=Identity)
    order: Literal["icml", "overlapped"] = "icml"
    momentum: float = 0.0
    nesterov: bool = False

    def __post_init__(self) -> None:
        check_learning_rate(self, self.lr)
        check_gamma(self, self.gamma)
        check(self.order in ORDERS, self, "order", f"one of {', '.join(ORDERS)}")
        check_momentum(self, self.momentum, self.nesterov)

    def start(self, x: Tensor, network: Network) -> State:
        check_contraction(self, self.compressor, x.shape[1])
        if self.order == "overlapped" and network.period != 1:
            raise ValueError(f"{type(self).__name__}: order = 'overlapped' needs a topology that is static")
        state = LooseState(x=x.clone(), step=0)
        start_replicas(self, state, network)
        start_gamma(self, state, self.gamma, self.compressor, network)
        state.momentum = Momentum.start(x, self.momentum, self.nesterov)
        return state

    def step(self, state: State, sample: Sample, network: Network) -> None:
        direction = state.momentum.descend(sample.gradient)
        x = add_scaled(state.x, -learning_rate(self.lr, state.step), direction)
        if self.order == "icml":
            publish(state, x, self.compressor, network)
            hear(state, network)
            state.x = x + consensus_step(state, network)
        else:
            hear(state, network)
            state.x = x + consensus_step(state, network)
            publish(state, state.x, self.compressor, network)
            state.sent = network.post(state.sent)

    def chosen(self, state: State) -> dict[str, Any]:
        return chosen_gamma(state)
