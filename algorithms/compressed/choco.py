"""CHOCO-SGD: gossip with arbitrary compression."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from torch import Tensor

from algorithms.algorithm import Algorithm, Sample
from algorithms.blocks.gamma import Gamma, check_gamma
from algorithms.blocks.momentum import Momentum, check_momentum
from algorithms.blocks.replica import Replicas
from algorithms.checks import check
from algorithms.compressors import Compressor, Identity
from algorithms.compressors.theory import check_contraction
from algorithms.network import Network
from algorithms.numerics.sums import add_scaled
from algorithms.schedules.learning_rate import LearningRate, check_learning_rate, learning_rate
from algorithms.state import State

ORDERS = ("icml", "overlapped")


@dataclass
class ChocoState(State):
    """What CHOCO-SGD carries on.

    Attributes:
        replicas: The public copies of the models.
        gamma: The consensus step size.
        momentum: That of the local direction.
    """

    replicas: Replicas
    gamma: Gamma
    momentum: Momentum


@dataclass(frozen=True)
class ChocoSGD(Algorithm[ChocoState]):
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
    all rounds or repeats with a period. The theory is for symmetric W; a directed doubly stochastic one keeps the
    average of the models as well. "overlapped" needs a static W, as a message is heard one iteration after it was made.

    Sent: one compressed vector to each out-neighbour, per round; with gamma = "auto" also some hundred in the first
    round, by the search.

        >>> import torch
        >>> from algorithms import ChocoSGD, MatrixNetwork, Sample, TopK
        >>> algorithm = ChocoSGD(lr=0.1, gamma=0.5, compressor=TopK(k=1))
        >>> network = MatrixNetwork([[0.5, 0.5], [0.5, 0.5]])
        >>> optima = torch.tensor([[0.0, 4.0], [2.0, 0.0]])
        >>> state = algorithm.start(torch.zeros(2, 2), network)
        >>> for _ in range(200):
        ...     algorithm.advance(state, Sample(gradient=state.x - optima, loss=torch.zeros(2)), network)
        >>> algorithm.model(state).mean(dim=0).round(decimals=3).tolist()
        [1.0, 2.0]

    Args:
        lr: Learning rate, > 0, or a schedule of it.
        gamma: Consensus step size, in (0, 1], smaller for stronger compression; or "auto", the best one of a short
            measured search at the start; or "theory", the one that is guaranteed to work, 100 to 1000 times smaller.
            Where W varies with time it must be a number.
        compressor: The compression operator C, a contraction.
        order: "icml", the order of the paper, or "overlapped", that of the authors' code.
        momentum: Momentum of the local direction, in [0, 1); never communicated.
        nesterov: Use Nesterov's variant; needs momentum > 0.
    """

    needs: ClassVar[tuple[str, ...]] = ("doubly_stochastic",)

    lr: float | LearningRate = 0.1
    gamma: float | Literal["theory", "auto"] = "auto"
    compressor: Compressor = field(default_factory=Identity)
    order: Literal["icml", "overlapped"] = "icml"
    momentum: float = 0.0
    nesterov: bool = False

    def __post_init__(self) -> None:
        check_learning_rate(self, self.lr)
        check_gamma(self, self.gamma)
        check(self.order in ORDERS, self, "order", f"one of {', '.join(ORDERS)}")
        check_momentum(self, self.momentum, self.nesterov)

    def start(self, x: Tensor, network: Network) -> ChocoState:
        check_contraction(self, self.compressor, x.shape[1])
        if self.order == "overlapped" and network.period != 1:
            raise ValueError(f"{type(self).__name__}: order = 'overlapped' needs a topology that is static")
        replicas = Replicas.start(self, x, network, self.compressor)
        momentum = Momentum.start(x, self.momentum, self.nesterov)
        return ChocoState(x.clone(), replicas, Gamma.start(self, x, network), momentum)

    def step(self, state: ChocoState, sample: Sample, network: Network) -> None:
        direction = state.momentum.descend(sample.gradient)
        x = add_scaled(state.x, -learning_rate(self.lr, state.step), direction)
        replica = state.replicas.current(network)
        if self.order == "icml":
            replica.publish(x, self.compressor, network)
            replica.hear(network)
            state.x = add_scaled(x, state.gamma.value, replica.disagreement())
        else:
            replica.hear(network)
            state.x = add_scaled(x, state.gamma.value, replica.disagreement())
            replica.publish(state.x, self.compressor, network, ahead=True)

    def chosen(self, state: ChocoState) -> dict[str, Any]:
        return state.gamma.chosen()
