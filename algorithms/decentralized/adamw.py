"""Decentralized AdamW: each node takes a step of AdamW with moments of its own, then the parameters are averaged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from algorithms.algorithm import Algorithm, Sample
from algorithms.network import Network
from algorithms.numerics.sums import add_scaled
from algorithms.optimizers import AdamW
from algorithms.optimizers.moments import Moments, check_moments
from algorithms.optimizers.weight_decay import check_weight_decay
from algorithms.schedules.learning_rate import LearningRate, check_learning_rate, learning_rate
from algorithms.state import State


@dataclass
class AdamWState(State):
    """The state of decentralized AdamW.

    Attributes:
        moments: Of the gradients of each local node, which are never sent.
    """

    moments: Moments


@dataclass(frozen=True)
class DecentralizedAdamW(Algorithm[AdamWState]):
    """Decentralized AdamW: each node takes a step of AdamW with moments of its own, then the parameters are averaged.

    With the direction u of AdamW (`algorithms.AdamW`), whose moments are local and never sent:

        x_i+ = sum_j w_ij (x_j - lr u_j)

    Loshchilov & Hutter, "Decoupled Weight Decay Regularization", ICLR 2019, arXiv 1711.05101, made decentralized in the
    manner of DADAM, Nazari, Tarzanagh, Michailidis, "DADAM: A Consensus-based Distributed Adaptive Gradient Method for
    Online Optimization", IEEE TSP 70, 2022, arXiv 1901.09109. It is not the method of that paper, which has AMSGrad's
    largest second moments, no correction of the moments' start, no weight decay, and takes its step beside the
    averaging, not before.

    What is known of its limit is a warning: Chen, Karimi, Zhao, Li, "On the Convergence of Decentralized Adaptive
    Gradient Methods", ACML 2022, arXiv 2109.03194, show that with second moments of their own, as in DADAM and here,
    nodes with different data may settle where the average loss is not stationary, since each scales its gradients in
    its own way. Their remedy is to average the second moments too, which is not done here. As with decentralized SGD it
    matters less the better W mixes and the more alike the data are.

    Sent: one dense vector to each out-neighbour, per round. With a single node it is torch.optim.AdamW. It is
    DecentralizedSGD with AdamW as its optimizer, on matrices that keep the average.

    Args:
        lr: Learning rate, > 0, or a schedule of it.
        beta1: Weight of the past in the mean of the gradients, in [0, 1).
        beta2: Weight of the past in the mean of their squares, in [0, 1).
        epsilon: Added to the root of that, > 0.
        weight_decay: Decoupled from the gradient, >= 0: each step shrinks the parameters by lr * weight_decay.
    """

    needs: ClassVar[tuple[str, ...]] = ("doubly_stochastic",)
    proportional: ClassVar[bool] = False

    lr: float | LearningRate = 1e-3
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    weight_decay: float = 1e-2

    def __post_init__(self) -> None:
        check_learning_rate(self, self.lr)
        check_moments(self, self.beta1, self.beta2, self.epsilon)
        check_weight_decay(self, self.weight_decay)

    @property
    def rule(self) -> AdamW:
        """The local update rule."""
        return AdamW(self.beta1, self.beta2, self.epsilon, self.weight_decay)

    def start(self, x: Tensor, network: Network) -> AdamWState:
        return AdamWState(x.clone(), self.rule.start(x))

    def step(self, state: AdamWState, sample: Sample, network: Network) -> None:
        move = self.rule.update(state.x, state.moments, sample.gradient, learning_rate(self.lr, state.step))
        state.x = network.mix(add_scaled(state.x, *move))
