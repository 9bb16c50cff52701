"""Deep Gradient Compression: Top-k of accumulated momentum, whose sparsity grows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal, Self

import torch
from torch import Tensor

from algorithms.algorithm import Algorithm, Sample
from algorithms.blocks.momentum import check_momentum
from algorithms.checks import check, positive
from algorithms.compressors import Identity, PerTensor, TopK
from algorithms.layout import Layout
from algorithms.network import Network
from algorithms.numerics.norms import clipped_rows
from algorithms.numerics.sums import add_scaled
from algorithms.schedules.learning_rate import LearningRate, check_learning_rate, learning_rate
from algorithms.state import State


@dataclass
class DeepGradientState(State):
    """What Deep Gradient Compression carries on; all rows of `x` are equal.

    Attributes:
        momentum: (k, d), u_i.
        velocity: (k, d), v_i: momentum that has not been sent.
    """

    past: ClassVar[tuple[str, ...]] = ("momentum", "velocity")

    momentum: Tensor
    velocity: Tensor


@dataclass(frozen=True)
class DeepGradientCompression(Algorithm[DeepGradientState]):
    """DGC: the largest entries of what momentum has accumulated, with momentum correction, factor masking and warm-up.

    Lin, Han, Mao, Wang, Dally, "Deep Gradient Compression: Reducing the Communication Bandwidth for Distributed
    Training", ICLR 2018, arXiv 1712.01887.

    With u_i and v_i, 0 at the start, and g_i clipped to norm clip / sqrt(n):

        u_i <- momentum u_i + g_i(x);   v_i <- v_i + u_i                    or with Nesterov's variant
        u_i <- momentum (u_i + g_i(x));   v_i <- v_i + u_i + g_i(x)
        c_i = the largest entries of v_i in each tensor of the model;   there u_i and v_i become 0
        x <- x - lr (1/n) sum_i c_i

    The share of entries goes down in stages e = 0, 1, ..., E - 1 of the warm-up, fraction^((e + 1) / (E + 1)), to
    `fraction`. With every entry sent this is SGD, whose momentum has no effect: u_i is masked everywhere.
    The authors' code sends tensors of one dimension, such as biases, whole, and does not mask their momentum: these are
    trained by momentum SGD. That is `vectors="whole"`; by default all are compressed, to a single entry at least.

    Sent: each node's message to all others. All nodes start from the mean of their parameters. W is not used.

    Args:
        lr: Learning rate, > 0, or a schedule of it.
        fraction: Share of the entries of each tensor that is sent after the warm-up, in (0, 1].
        momentum: The momentum, in [0, 1).
        nesterov: Use Nesterov's variant; needs momentum > 0.
        clip: Norm to which gradients are clipped, times 1/sqrt(n), > 0; None not to.
        warm_up: Iterations of the warm-up, >= 0.
        stages: Its stages, E >= 1.
        vectors: Whether tensors of one dimension are "compressed" like the others or sent "whole"; this needs shapes.
        shapes: Of the tensors of the model, in order; filled in by `for_layout`. Without, the vector is one tensor.
    """

    compresses: ClassVar[bool] = True

    needs: ClassVar[tuple[str, ...]] = ()

    lr: float | LearningRate = 0.1
    fraction: float = 0.001
    momentum: float = 0.9
    nesterov: bool = False
    clip: float | None = None
    warm_up: int = 0
    stages: int = 5
    vectors: Literal["compressed", "whole"] = "compressed"
    shapes: tuple[tuple[int, ...], ...] | None = None

    def __post_init__(self) -> None:
        check_learning_rate(self, self.lr)
        check(0 < self.fraction <= 1, self, "fraction", "in (0, 1]")
        check_momentum(self, self.momentum, self.nesterov)
        check(self.clip is None or positive(self.clip), self, "clip", "> 0, or None")
        check(self.warm_up >= 0, self, "warm_up", ">= 0")
        check(self.stages >= 1, self, "stages", ">= 1")
        check(self.vectors in ("compressed", "whole"), self, "vectors", '"compressed" or "whole"')

    @property
    def proportional(self) -> bool:
        return self.clip is None

    def for_layout(self, layout: Layout) -> Self:
        return replace(self, shapes=tuple(tuple(shape) for shape in layout.shapes.values()))

    def operator(self, t: int) -> PerTensor:
        """What is kept of each tensor in iteration t = 0, 1, ..."""
        stage = self.stages * t // self.warm_up if t < self.warm_up else self.stages
        fraction = self.fraction ** ((stage + 1) / (self.stages + 1))
        return PerTensor(TopK(fraction=fraction), self.shapes, Identity() if self.vectors == "whole" else None)

    def start(self, x: Tensor, network: Network) -> DeepGradientState:
        if self.vectors == "whole":
            both = {len(shape) > 1 for shape in self.shapes or ()} == {True, False}
            check(both, self, "vectors", '"compressed" for a model that has not tensors of one dimension and of more')
        self.operator(0).check_dimension(x.shape[1])
        return DeepGradientState(network.mean(x).repeat(len(x), 1), torch.zeros_like(x), torch.zeros_like(x))

    def step(self, state: DeepGradientState, sample: Sample, network: Network) -> None:
        gradient = sample.gradient
        if self.clip is not None:
            gradient = clipped_rows(gradient, self.clip / network.n**0.5)
        self._accumulate(state, gradient)
        message = self.operator(state.step).compress(state.velocity, network.draw("compression"))
        sent = message.dense()
        masked = sent != 0
        for place in self._whole():
            masked[:, place] = False
        state.momentum = state.momentum.masked_fill(masked, 0)
        state.velocity = state.velocity - sent
        mean = network.mean(message).expand_as(state.x).contiguous()
        state.x = add_scaled(state.x, -learning_rate(self.lr, state.step), mean)

    def _whole(self) -> list[slice]:
        """Where the tensors lie that are sent whole."""
        if self.vectors == "compressed":
            return []
        layout = Layout({str(number): shape for number, shape in enumerate(self.shapes or ())})
        tensors = zip(layout.shapes.values(), layout.places, strict=True)
        return [place for shape, place in tensors if len(shape) < 2]

    def _accumulate(self, state: DeepGradientState, gradient: Tensor) -> None:
        if self.nesterov:
            state.momentum = self.momentum * (state.momentum + gradient)
            state.velocity = state.velocity + (state.momentum + gradient)
        else:
            state.momentum = add_scaled(gradient, self.momentum, state.momentum)
            state.velocity = state.velocity + state.momentum
