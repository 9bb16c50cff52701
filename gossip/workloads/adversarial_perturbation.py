"""A universal adversarial perturbation of a trained classifier: a black box that gives function values only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from algorithms import Layout, Minibatch, ShardedWorkload
from algorithms.checks import check
from gossip.workloads.arrays import Array, as_array
from gossip.workloads.neural.images import Mnist, read_mnist
from gossip.workloads.splits import Iid, Split, held_out, shards_of
from gossip.workloads.workload import Arrays, Read, Workload, check_examples, read_here

BATCH, STEPS, LR, MOMENTUM = 50, 640, 0.05, 0.9  # of the training of the classifier: 8 epochs, above 90 % right


@dataclass(frozen=True)
class AdversarialPerturbation(Workload):
    """One x that, added to any image a_j of a digit, makes a classifier F take it for another digit.

        f_i(x) = mean_j max(F_y(a_j + x) - max_{c != y} F_c(a_j + x), 0) + l2/2 |x|^2

    over the images j of node i, in float64; the objective is (1/n) sum_i f_i(x) + l1 |x|_1, whose l1 term is left out
    of `losses` and is part of what `evaluate` reports. Huang, Gu, Huo, Chen, Huang, AAAI 2019, arXiv 1902.06158, after
    Moosavi-Dezfooli, Fawzi, Fawzi, Frossard, CVPR 2017, and the loss of Carlini & Wagner, 2017.

    F gives the scores of an MLP with one hidden layer, trained on the training images of `Mnist` when the data are
    read, always in the same way; the attacked images are the first test images of the digit that it classifies right.
    Pixels are between 0 (ink-free) and 1. There are no gradients: `ZerothOrder` makes estimates of function values. The
    initial x is zero.

    Args:
        digit: The digit y on the images, 0..9.
        images: Number of images, >= 1; all nodes together.
        hidden: Width of the hidden layer, >= 1.
        l1: Weight of |x|_1, >= 0.
        l2: Weight of the squared norm, >= 0.
        split: How the images are divided over the nodes.
    """

    digit: int = 4
    images: int = 20
    hidden: int = 64
    l1: float = 0.0
    l2: float = 1e-2
    split: Split = field(default_factory=Iid)

    def __post_init__(self) -> None:
        check(0 <= self.digit <= 9, self, "digit", "in 0..9")
        check(self.images >= 1, self, "images", ">= 1")
        check(self.hidden >= 1, self, "hidden", ">= 1")
        check(0 <= self.l1 < np.inf, self, "l1", ">= 0")
        check(0 <= self.l2 < np.inf, self, "l2", ">= 0")

    def shard(self, n: int, seed: int, read: Read = read_here) -> ShardedWorkload:
        """The images split over n nodes.

        Raises:
            ValueError: There are fewer images than nodes, or than asked for.
        """
        arrays = read(self._read)
        most = len(arrays["images"])
        check(self.images <= most, self, "images", f"at most {most}, as many {self.digit}s are classified right")
        shards = shards_of(self.split, np.full(self.images, self.digit), n, seed)
        # A black box has no `gradient`.
        return cast(ShardedWorkload, ShardedAdversarialPerturbation(arrays, self.digit, shards, self.l1, self.l2))

    def _read(self) -> Arrays:
        """The layers of the trained classifier, and the "images" of the digit that it classifies right, (m, 784)."""
        data = read_mnist()
        workload = Mnist(hidden=self.hidden).shard(1, 0, lambda _: data)
        x = workload.initial()[None]
        velocity, oracle = torch.zeros_like(x), Minibatch(BATCH)
        state = oracle.start(workload, x, [0], 0)
        for step in range(STEPS):
            velocity = MOMENTUM * velocity + oracle.sample(state, workload, x, [0], step, 0).gradient
            x = x - LR * velocity

        W1, b1, W2, b2 = (tensor.double().numpy() for tensor in workload.layout.unflatten(x[0]).values())
        images, labels = data["images"], data["labels"]
        mean, deviation = float(data["mean"]), float(data["deviation"])
        # The classifier takes standardised pixels; these layers take pixels between 0 and 1.
        layers = {"W1": W1.T * (255 / deviation), "b1": b1 - W1.sum(axis=1) * (mean / deviation), "W2": W2.T, "b2": b2}
        test = held_out(len(labels))[1]
        attacked = images[test][labels[test] == self.digit] / 255
        scores = np.maximum(attacked @ layers["W1"] + layers["b1"], 0) @ layers["W2"] + layers["b2"]
        return {**layers, "images": attacked[scores.argmax(axis=1) == self.digit]}


class ShardedAdversarialPerturbation:
    """The problem with its data in place; made by `AdversarialPerturbation.shard`.

    The values of a row have the same bits whichever rows are computed with it: no BLAS, and each row by itself.
    """

    def __init__(self, arrays: Arrays, digit: int, shards: Sequence[NDArray[np.int64]], l1: float, l2: float) -> None:
        self._W1, self._W2, self._b2 = (np.ascontiguousarray(arrays[name]) for name in ("W1", "W2", "b2"))
        order = np.concatenate(shards)
        # The first layer is linear: what the images contribute to it does not change.
        self._inputs = np.einsum("md,dh->mh", arrays["images"][order], self._W1) + arrays["b1"]
        self._digit, self._l1, self._l2 = digit, l1, l2
        self._sizes = np.array([len(shard) for shard in shards])
        self._starts = np.cumsum(self._sizes) - self._sizes
        self.layout = Layout.vector(len(self._W1))

    def initial(self) -> Tensor:
        """(784,): zeros."""
        return torch.zeros(self.layout.d, dtype=torch.float64)

    def examples(self, node: int) -> int:
        """Number of images of a node."""
        return int(self._sizes[node])

    def losses(self, x: Tensor, nodes: Sequence[int], examples: Tensor) -> Tensor:
        """See `HasLosses`. They include the l2 term, not the l1 term."""
        here = np.asarray(nodes, np.int64)
        check_examples(examples, self._sizes[here])
        losses = np.empty(examples.shape)
        for row, (point, places) in enumerate(
            zip(as_array(x), self._starts[here, None] + examples.numpy(), strict=True)
        ):
            losses[row] = np.maximum(self._margins(point, places), 0) + self._l2 / 2 * np.einsum("d,d->", point, point)
        return torch.from_numpy(losses).to(x.dtype)

    def evaluate(self, x: Tensor) -> Mapping[str, float]:
        """ "test_loss": the objective, there are no held-out images; "attack_success": the share of the images that are
        taken for another digit, in 0..1; "distortion": |x|_2.
        """
        point = as_array(x)
        margins = self._margins(point, np.arange(len(self._inputs)))
        node_means = [values.mean() for values in np.split(np.maximum(margins, 0), self._starts[1:])]
        norm = float(np.einsum("d,d->", point, point))
        return {
            "test_loss": float(np.mean(node_means)) + self._l2 / 2 * norm + self._l1 * float(np.abs(point).sum()),
            "attack_success": float(np.mean(margins < 0)),
            "distortion": float(np.sqrt(norm)),
        }

    def _margins(self, x: Array, places: NDArray[np.int64]) -> Array:
        """(b,): by how much the score of the digit is above that of all others, at x (784,) for these images."""
        hidden = np.maximum(self._inputs[places] + np.einsum("d,dh->h", x, self._W1), 0)
        scores = np.einsum("bh,hc->bc", hidden, self._W2) + self._b2
        own = scores[:, self._digit].copy()
        scores[:, self._digit] = -np.inf
        margins: Array = own - scores.max(axis=1)
        return margins
