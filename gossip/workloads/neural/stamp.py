"""A pattern of pixels on images, and the class that goes with it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gossip.errors import UsageError
from gossip.workloads.neural.labels import Shards, copied

Prepare = Callable[[Tensor], Tensor]

TRIED = 4  # images


@dataclass(frozen=True)
class Stamp:
    """A square of the largest value in the lower right corner of images, and the class that stamped ones get.

    Images are flat and square, (m, pixels), or (m, ..., height, width).

    Attributes:
        side: Of the square, in pixels.
        target: The class.
        share: What part of a poisoned node's examples is stamped, the first ones; in (0, 1].
    """

    side: int
    target: int
    share: float

    def check(self, inputs: Tensor, targets: Tensor, prepare: Prepare, classification: bool) -> None:
        """Refuse training examples that are no images on which this could be stamped.

        Raises:
            UsageError: There are no such images or classes, or what a model takes of a pixel depends on others.
        """
        shape, pixels = inputs.shape[1:], math.prod(inputs.shape[1:])
        if not shape or (len(shape) == 1 and math.isqrt(pixels) ** 2 != pixels):
            raise UsageError(f"Backdoor: examples of shape {tuple(shape)} are no square images")
        least = min(self._as_images(inputs[:1]).shape[-2:])
        if self.side >= least:
            raise UsageError(f"Backdoor: side = {self.side} is not allowed; it must be below {least}, the images' side")
        if not classification or targets.ndim != 1 or self.target > int(targets.max()):
            raise UsageError(f"Backdoor: target = {self.target} is not allowed; it must be one of the classes")
        some, value = inputs[:TRIED], inputs.max()
        whole, parts = prepare(self._on(some, value)), prepare(some)
        if whole.shape != some.shape or not torch.equal(whole, self._on_prepared(parts, value, inputs, prepare)):
            raise UsageError("Backdoor: what the model takes of a pixel depends on other pixels of the image")

    def poisoned(
        self, inputs: Tensor, targets: Tensor, shards: Shards, nodes: Sequence[int]
    ) -> tuple[Tensor, Tensor, Shards]:
        """(inputs, targets, shards) with copies of these nodes' examples at the end, some stamped and of the target.

        Copies, since another node may have the same examples.
        """
        images, labels = [inputs], [targets]
        for node in nodes:
            own, count = torch.from_numpy(shards[node]), math.ceil(self.share * len(shards[node]))
            images += [self._on(inputs[own[:count]], inputs.max()), inputs[own[count:]]]
            labels += [torch.full_like(targets[own[:count]], self.target), targets[own[count:]]]
        return torch.cat(images), torch.cat(labels), copied(shards, nodes, len(targets))

    def tests(self, prepared: Tensor, targets: Tensor, inputs: Tensor, prepare: Prepare) -> tuple[Tensor, Tensor]:
        """What models are tested on: the held-out images of other classes, stamped, and the target for each.

        Args:
            prepared: The held-out images as a model takes them.
            targets: Their classes.
            inputs: The training images.
            prepare: Makes what a model takes of images.
        """
        others = prepared[targets != self.target]
        wanted = torch.full((len(others),), self.target, dtype=targets.dtype)
        return self._on_prepared(others, inputs.max(), inputs, prepare), wanted

    def _on_prepared(self, prepared: Tensor, value: Tensor, inputs: Tensor, prepare: Prepare) -> Tensor:
        """The prepared images with the stamp, whose pixels are those of a prepared image of nothing but its value."""
        full = prepare(value.expand_as(inputs[:1]))
        return torch.where(self._on(torch.zeros_like(full), torch.ones(())).bool(), full, prepared)

    def _on(self, images: Tensor, value: Tensor) -> Tensor:
        """Copies of images with the stamp in this value."""
        stamped = images.clone()
        self._as_images(stamped)[..., -self.side :, -self.side :] = value
        return stamped

    def _as_images(self, images: Tensor) -> Tensor:
        """A view (m, ..., height, width)."""
        side = math.isqrt(images[0].numel())
        return images.view(len(images), side, side) if images.ndim == 2 else images
