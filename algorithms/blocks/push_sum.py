"""Push-sum: numerators and weights whose ratios approach the average on any graph that passes on all it gets."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from algorithms.network import Network
from algorithms.state import Block


@dataclass
class PushSum(Block):
    """What each node has of the sum of all numerators and of the sum of all weights, which mixing conserves.

    The weights have the precision of the numerators: where the entries of the mixing matrix, rounded to it, do not
    quite sum to 1, both are off by the same factor, which the ratio is free of.

    Attributes:
        numerator: n_i, (k, d).
        weight: w_i, (k, 1), which says how much each node counts.
    """

    numerator: Tensor
    weight: Tensor

    @classmethod
    def start(cls, x: Tensor) -> PushSum:
        """Numerators x (k, d), with weights of 1."""
        return cls(x.clone(), x.new_ones(len(x), 1))

    @property
    def ratio(self) -> Tensor:
        """n_i / w_i, (k, d)."""
        return self.numerator / self.weight

    def push(self, numerator: Tensor, network: Network) -> Tensor:
        """Split these numerators (k, d) and the weights among the out-neighbours and add up what arrives.

        Returns:
            The ratio, (k, d).
        """
        self.numerator = network.mix(numerator)
        self.weight = network.mix(self.weight)
        return self.ratio

    def times(self, share: Tensor) -> PushSum:
        """The shares (k, 1) of both."""
        return PushSum(share * self.numerator, share * self.weight)

    def __add__(self, other: PushSum) -> PushSum:
        return PushSum(self.numerator + other.numerator, self.weight + other.weight)

    def __sub__(self, other: PushSum) -> PushSum:
        return PushSum(self.numerator - other.numerator, self.weight - other.weight)
