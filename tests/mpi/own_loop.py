"""A training loop as a user may have it: a small model, a loss of each node, and the steps."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def vector(net: nn.Module) -> Tensor:
    return torch.cat([p.detach().reshape(-1) for p in net.parameters()])


def model(seed: int) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))


def loss_of(net: nn.Module, node: int, step: int) -> Tensor:
    random = torch.Generator().manual_seed(100 * node + step)
    loss: Tensor = (net(torch.randn(6, 4, generator=random)) - node).square().mean()
    return loss


def train(net: nn.Module, optimizer: torch.optim.Optimizer, steps: range, node: int) -> None:
    for step in steps:
        optimizer.zero_grad()
        loss_of(net, node, step).backward()
        optimizer.step()
