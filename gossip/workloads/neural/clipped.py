"""Clipped gradients of single examples of any torch model."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, vmap

from algorithms.privacy.clipping import clip_factors

AT_ONCE = 1 << 24  # numbers in the gradients of single examples


def clipped_gradient(
    model: nn.Module,
    loss: Callable[[Tensor, Tensor], Tensor],
    point: Mapping[str, Tensor],
    inputs: Tensor,
    targets: Tensor,
    clip: float,
) -> tuple[Tensor, Tensor]:
    """The mean loss () and the mean (d,) of the gradients of single examples, each of a norm of at most `clip`.

    Args:
        model: The model.
        loss: (outputs, targets) -> the mean loss over a batch.
        point: Its trained parameters by name, in the order of the result.
        inputs: (m, ...).
        targets: (m, ...).
        clip: To which norm gradients are scaled down.
    """

    def of_one(parameters: dict[str, Tensor], inputs: Tensor, target: Tensor) -> Tensor:
        return loss(functional_call(model, parameters, (inputs[None],)), target[None])

    d = sum(tensor.numel() for tensor in point.values())
    each = vmap(grad_and_value(of_one), in_dims=(None, 0, 0), chunk_size=max(1, AT_ONCE // d))
    gradients, losses = each(dict(point), inputs, targets)
    rows = [gradients[name].flatten(1) for name in point]
    norms = torch.stack([row.double().square().sum(dim=1) for row in rows]).sum(dim=0).sqrt()
    factors = clip_factors(norms, clip).to(losses)[:, None]
    return losses.mean(), torch.cat([(factors * row).mean(dim=0) for row in rows])
