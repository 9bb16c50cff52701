"""DeepSqueeze: decentralized SGD with error-compensated compression."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from torch import Tensor

from algorithms.algorithm import Algorithm, Sample
from algorithms.blocks.error_memory import ErrorMemory
from algorithms.checks import check
from algorithms.compressors import Compressor, Identity
from algorithms.compressors.theory import check_contraction
from algorithms.network import Network
from algorithms.numerics.sums import add_scaled
from algorithms.schedules.learning_rate import LearningRate, check_learning_rate, learning_rate
from algorithms.state import State


@dataclass
class DeepSqueezeState(State):
    """What DeepSqueeze carries on.

    Attributes:
        error: What compression has lost of the models.
    """

    error: ErrorMemory


@dataclass(frozen=True)
class DeepSqueeze(Algorithm[DeepSqueezeState]):
    """DeepSqueeze: decentralized SGD with error-compensated compression.

    Tang, Lian, Qiu, Yuan, Zhang, Zhang, Liu, "DeepSqueeze: Decentralization Meets Error-Compensated Compression", 2019,
    arXiv 1907.07346.

    With the error e_i, 0 at the start:

        y_i = x_i - lr g_i(x_i);    v_i = y_i + e_i;    c_i = C(v_i);    e_i <- v_i - c_i
        x_i <- y_i + gamma (sum_j w_ij c_j - c_i)

    Sent: one compressed vector to each out-neighbour, per round. Nobody keeps copies, so W may vary; the theory is for
    a fixed symmetric one. Without compression and for gamma = 1 this is diffusion, the adapt-then-combine order. It is
    whole models that are compressed, not differences, so the errors are large, and gamma must be small for strong
    compression.

    Args:
        lr: Learning rate, > 0, or a schedule of it.
        gamma: Consensus step size, in (0, 1]; smaller for stronger compression.
        compressor: The compression operator C, a contraction.
    """

    needs: ClassVar[tuple[str, ...]] = ("doubly_stochastic",)

    lr: float | LearningRate = 0.1
    gamma: float = 0.3
    compressor: Compressor = field(default_factory=Identity)

    def __post_init__(self) -> None:
        check_learning_rate(self, self.lr)
        check(0 < self.gamma <= 1, self, "gamma", "in (0, 1]")

    def start(self, x: Tensor, network: Network) -> DeepSqueezeState:
        check_contraction(self, self.compressor, x.shape[1])
        return DeepSqueezeState(x.clone(), ErrorMemory.start(x, self.compressor))

    def step(self, state: DeepSqueezeState, sample: Sample, network: Network) -> None:
        y = add_scaled(state.x, -learning_rate(self.lr, state.step), sample.gradient)
        message = state.error.compress(y, self.compressor, network.draw("compression"))
        state.x = add_scaled(y, self.gamma, network.mix(message) - message.dense())
