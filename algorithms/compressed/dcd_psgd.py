"""DCD-PSGD: difference compression."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from torch import Tensor

from algorithms.algorithm import Algorithm, Sample
from algorithms.blocks.replica import exchange
from algorithms.compressors import Compressor, Identity
from algorithms.compressors.theory import check_unbiased
from algorithms.network import Network
from algorithms.numerics.sums import add_scaled
from algorithms.schedules.learning_rate import LearningRate, check_learning_rate, learning_rate
from algorithms.state import Block, State


@dataclass
class DcdState(State):
    """What DCD-PSGD carries on; a model is its own public copy.

    Attributes:
        mixed: (k, d), sum_j w_ij x_j.
        remembered: What the compressor remembers.
    """

    mixed: Tensor
    remembered: Block | None


@dataclass(frozen=True)
class DcdPSGD(Algorithm[DcdState]):
    """DCD-PSGD: difference compression.

    Tang, Gan, Zhang, Zhang, Liu, "Communication Compression for Decentralized Training", NeurIPS 2018, arXiv
    1803.06443.

    With an unbiased operator Q:

        y_i = sum_j w_ij x_j - lr g_i(x_i);    q_i = Q(y_i - x_i);    x_i <- x_i + q_i

    All neighbours know a model exactly, since it moves by what was sent. A node keeps s_i = sum_j w_ij x_j by adding
    sum_j w_ij q_j, so W must be the same in all rounds. Without compression this is D-PSGD, the consensus order.

    Sent: one compressed vector to each out-neighbour, per round, and at the start the uncompressed model, of which the
    paper assumes that it is the same everywhere.

    For E|Q(z) - z|^2 <= omega |z|^2, rho the second largest and mu = max |1 - eigenvalue of W|, the theory asks for
    (1 - rho)^2 > 4 mu^2 omega: it diverges under strong compression.

    Args:
        lr: Learning rate, > 0, or a schedule of it.
        compressor: The compression operator Q, unbiased.
    """

    needs: ClassVar[tuple[str, ...]] = ("static", "doubly_stochastic")

    lr: float | LearningRate = 0.1
    compressor: Compressor = field(default_factory=Identity)

    def __post_init__(self) -> None:
        check_learning_rate(self, self.lr)

    def start(self, x: Tensor, network: Network) -> DcdState:
        check_unbiased(self, self.compressor, x.shape[1])
        x, mixed = exchange(x, Identity(), network)
        return DcdState(x.clone(), mixed, self.compressor.start_like(x))

    def step(self, state: DcdState, sample: Sample, network: Network) -> None:
        y = add_scaled(state.mixed, -learning_rate(self.lr, state.step), sample.gradient)
        q, mixed_q = exchange(y - state.x, self.compressor, network, memory=state.remembered)
        state.x = state.x + q
        state.mixed += mixed_q
