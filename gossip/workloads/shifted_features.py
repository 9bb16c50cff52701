"""Another workload, whose nodes see their inputs differently: rotated, brighter or darker, or with noise."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from algorithms.checks import check
from algorithms.randomness import generator
from gossip.errors import UsageError
from gossip.workloads.neural.images import Digits
from gossip.workloads.workload import Read, Workload, read_here


@runtime_checkable
class HasInputs(Protocol):
    """What a sharded workload gives whose examples have inputs."""

    def with_changed_inputs(self, change: Callable[[int, NDArray], NDArray]) -> Any:
        """The same workload, with change(node, inputs (m, ...) in float64) as the training inputs of each node."""


@dataclass(frozen=True)
class ShiftedFeatures(Workload):
    """Another workload with a feature shift: each node sees the inputs of its training examples in its own way.

    How is drawn by seed and node, whatever the number of nodes; the split is that of the workload, and what models are
    evaluated on stays as it is. With u from [-1, 1], drawn uniformly for each node:

        rotation        images are turned by strength u degrees about their centres, bilinear, with 0 from outside
        brightness      inputs are multiplied by 1 + strength u
        noise           normal noise of deviation strength |u| times that of the node's inputs is added, once for all

    Images are flat and square, (m, pixels), or (m, ..., height, width). Kairouz, McMahan, et al., arXiv 1912.04977,
    list it as covariate shift; noise is after Li, Diao, Chen, He, ICDE 2022, arXiv 2102.02079.

    Args:
        workload: The workload, one of inputs that are quantities.
        shift: What it is.
        strength: How much of it, > 0: at most 180 degrees of a rotation, and 1 of brightness.
    """

    workload: Workload = field(default_factory=Digits)
    shift: Literal["rotation", "brightness", "noise"] = "rotation"
    strength: float = 30.0

    def __post_init__(self) -> None:
        limits = {"rotation": 180.0, "brightness": 1.0, "noise": math.inf}
        check(self.shift in limits, self, "shift", f"one of {', '.join(limits)}")
        limit = limits[self.shift]
        allowed = "> 0" if limit == math.inf else f"in (0, {limit:g}]"
        check(0 < self.strength <= limit and self.strength < math.inf, self, "strength", f"{allowed} for {self.shift}")

    def shard(self, n: int, seed: int, read: Read = read_here) -> Any:
        """The data split over n nodes.

        Raises:
            ValueError: The workload has no inputs that are quantities, or no images to be turned.
        """
        sharded = self.workload.shard(n, seed, read)
        if not isinstance(sharded, HasInputs):
            raise UsageError(f"ShiftedFeatures: {type(self.workload).__name__} has no inputs that could be shifted")
        return sharded.with_changed_inputs(lambda node, inputs: self._seen(inputs, generator(seed, "shift", node)))

    def _seen(self, inputs: NDArray, draw: np.random.Generator) -> NDArray:
        """(m, ...): these inputs as a node sees them."""
        amount = self.strength * draw.uniform(-1, 1)
        if self.shift == "brightness":
            return inputs * (1 + amount)
        if self.shift == "noise":
            return inputs + abs(amount) * inputs.std() * draw.standard_normal(inputs.shape)
        from scipy.ndimage import rotate

        side = math.isqrt(inputs[0].size)
        if inputs.ndim == 1 or (inputs.ndim == 2 and side**2 != inputs.shape[1]):
            raise UsageError(f"ShiftedFeatures: inputs of shape {inputs.shape[1:]} are no square images to be turned")
        images = inputs.reshape(-1, side, side) if inputs.ndim == 2 else inputs
        turned: NDArray = rotate(images, amount, axes=(-1, -2), reshape=False, order=1, mode="grid-constant")
        return turned.reshape(inputs.shape)
