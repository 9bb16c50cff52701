"""Event triggers: a node sends only where it has moved far enough from what the others know of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from algorithms.numerics.sums import squared_norms
from algorithms.state import Block


@dataclass
class Trigger(Block):
    """Decides in each round which of the local nodes send, and counts how often they do.

    Singh, Data, George, Diggavi, "SPARQ-SGD: Event-Triggered and Compressed Communication in Decentralized Stochastic
    Optimization", arXiv 1910.14280; "SQuARM-SGD", arXiv 2005.07041. With x the model of a node, h the public copy that
    the others have of it, and c_t >= 0 the threshold (`algorithms.schedules.thresholds`):

        the node sends in iteration t if |x - h|^2 > c_t lr_t^2

    The squared distance is compared with the square of the learning rate, so the threshold counts squared gradients.
    What earlier messages have left out is part of the distance and does not shrink with the learning rate: after a
    large drop of it nodes send almost always, unless c_t grows. The papers have c_t grow less than linearly in t.

    A node that does not send is silent (`Compressor.compress`): one byte goes to each neighbour instead of a message.

    Attributes:
        fired: (k,) int64, how often each local node has sent.
        decided: How often it has been decided.
    """

    fired: Tensor
    decided: int = 0

    @classmethod
    def start(cls, x: Tensor) -> Self:
        """Nothing decided so far, for the nodes of the stack x (k, d)."""
        return cls(torch.zeros(len(x), dtype=torch.int64))

    def fires(self, difference: Tensor, threshold: float, lr: float) -> Tensor:
        """(k,) bool: which nodes send in this iteration; they are counted. What is NaN fires.

        Args:
            difference: (k, d), x - h.
            threshold: c_t.
            lr: lr_t.
        """
        limit = threshold * lr**2 if math.isfinite(threshold) else threshold
        fired = ~(squared_norms(difference) <= limit)
        self.fired = self.fired + fired
        self.decided += 1
        return fired

    def share(self) -> Tensor:
        """(k,): how often each node fired, of all times that it could have; 0 before the first."""
        return self.fired.double() / max(1, self.decided)
