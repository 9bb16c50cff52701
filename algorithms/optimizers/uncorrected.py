"""Adam, Yogi and Adagrad without correction of the moments' bias, as servers of federated methods use them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from algorithms.checks import check
from algorithms.numerics.sums import add_scaled
from algorithms.optimizers.moments import Moments, check_moments
from algorithms.optimizers.optimizer import LocalOptimizer


@dataclass(frozen=True)
class UncorrectedAdam(LocalOptimizer[Moments]):
    """Adam without correction of the moments' bias.

        m <- beta1 m + (1 - beta1) g       m = 0 at the start
        v <- beta2 v + (1 - beta2) g^2     v = `second_moment` at the start
        x <- x - lr m / (sqrt(v) + epsilon)

    Reddi, Charles, Zaheer, Garrett, Rush, Konecny, Kumar, McMahan, "Adaptive Federated Optimization", ICLR 2021,
    arXiv 2003.00295.

    Args:
        beta1: Decay rate of the first moment, in [0, 1).
        beta2: Decay rate of the second moment, in [0, 1).
        epsilon: Added to the root of the second moment, > 0.
        second_moment: The second moment at the start, >= 0.
    """

    beta1: float = 0.9
    beta2: float = 0.99
    epsilon: float = 1e-3
    second_moment: float = 0.0

    def __post_init__(self) -> None:
        check_moments(self, self.beta1, self.beta2, self.epsilon)
        check(0 <= self.second_moment < math.inf, self, "second_moment", ">= 0")

    def start(self, x: Tensor) -> Moments:
        return Moments(torch.zeros_like(x), torch.full_like(x, self.second_moment))

    def update(self, x: Tensor, memory: Moments, gradient: Tensor, lr: float) -> tuple[float, Tensor]:
        second = self.next_second(memory.second, gradient * gradient)
        return -lr, _direction(memory, gradient, second, self.beta1, self.epsilon)

    def next_second(self, second: Tensor, square: Tensor) -> Tensor:
        """(k, d): the second moment, given g^2."""
        return add_scaled((1 - self.beta2) * square, self.beta2, second)


@dataclass(frozen=True)
class Yogi(UncorrectedAdam):
    """Yogi: the second moment changes by no more than (1 - beta2) g^2; for its options see `UncorrectedAdam`.

        v <- v - (1 - beta2) g^2 sign(v - g^2)

    Zaheer, Reddi, Sachan, Kale, Kumar, "Adaptive Methods for Nonconvex Optimization", NeurIPS 2018, without the bias
    correction of its moments.
    """

    def next_second(self, second: Tensor, square: Tensor) -> Tensor:
        return add_scaled(second, self.beta2 - 1, square * torch.sign(second - square))


@dataclass(frozen=True)
class Adagrad(LocalOptimizer[Moments]):
    """Adagrad with a first moment.

        m <- beta1 m + (1 - beta1) g       m = 0 at the start
        v <- v + g^2                       v = `second_moment` at the start
        x <- x - lr m / (sqrt(v) + epsilon)

    Duchi, Hazan, Singer, "Adaptive Subgradient Methods for Online Learning and Stochastic Optimization", JMLR 2011, in
    the form of Reddi et al., arXiv 2003.00295.

    Args:
        beta1: Decay rate of the first moment, in [0, 1).
        epsilon: Added to the root of the sum of squares, > 0.
        second_moment: That sum at the start, >= 0.
    """

    beta1: float = 0.0
    epsilon: float = 1e-3
    second_moment: float = 0.0

    def __post_init__(self) -> None:
        check_moments(self, self.beta1, 0.0, self.epsilon)
        check(0 <= self.second_moment < math.inf, self, "second_moment", ">= 0")

    def start(self, x: Tensor) -> Moments:
        return Moments(torch.zeros_like(x), torch.full_like(x, self.second_moment))

    def update(self, x: Tensor, memory: Moments, gradient: Tensor, lr: float) -> tuple[float, Tensor]:
        second = memory.second + gradient * gradient
        return -lr, _direction(memory, gradient, second, self.beta1, self.epsilon)


def _direction(memory: Moments, gradient: Tensor, second: Tensor, beta1: float, epsilon: float) -> Tensor:
    """(k, d): the first moment over the root of the second one, which becomes this; what is remembered changes."""
    memory.first = add_scaled((1 - beta1) * gradient, beta1, memory.first)
    memory.second = second
    memory.updates += 1
    return memory.first / (second.sqrt() + epsilon)
