"""A small model, its training, and torch's optimizers to compare with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from algorithms import (
    QSGD,
    Algorithm,
    ChocoSGD,
    Contraction,
    DecentralizedSGD,
    PerTensor,
    QTopK,
    Sample,
    State,
    TopK,
)
from algorithms.network import Network


def model(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))


def batch(seed: int, size: int = 6) -> Tensor:
    return torch.randn(size, 4, generator=torch.Generator().manual_seed(seed))


def loss_of(net: nn.Module, seed: int, size: int = 6) -> Tensor:
    loss: Tensor = net(batch(seed, size)).square().mean()
    return loss


def vector(net: nn.Module) -> Tensor:
    return torch.cat([p.detach().reshape(-1) for p in net.parameters()])


def train(net: nn.Module, optimizer: torch.optim.Optimizer, steps: range) -> None:
    for step in steps:
        optimizer.zero_grad()
        loss_of(net, step).backward()
        optimizer.step()


def same_as_torch(
    make: Callable[[nn.Sequential], torch.optim.Optimizer],
    reference: Callable[[nn.Sequential], torch.optim.Optimizer],
    scheduler: Callable[[torch.optim.Optimizer], Any] | None = None,
) -> None:
    """A single node does what torch's optimizer does, to rounding."""
    ours, theirs = model(), model()
    for net, optimizer in ((ours, make(ours)), (theirs, reference(theirs))):
        schedule = scheduler(optimizer) if scheduler else None
        for step in range(8):
            train(net, optimizer, range(step, step + 1))
            if schedule:
                schedule.step()
    torch.testing.assert_close(vector(ours), vector(theirs), rtol=1e-5, atol=1e-6)
    assert not torch.equal(vector(ours), vector(model()))


ALGORITHMS: tuple[Algorithm, ...] = (
    DecentralizedSGD(lr=0.1, momentum=0.9),
    DecentralizedSGD(lr=0.1, momentum=0.9, order="combine-then-adapt", period=2),
    DecentralizedSGD(lr=0.1, momentum=0.9, order="consensus"),
    ChocoSGD(lr=0.1, gamma=0.3, momentum=0.9, compressor=TopK(k=3)),
    ChocoSGD(lr=0.1, gamma=0.3, momentum=0.9, compressor=TopK(k=3), order="overlapped"),
    ChocoSGD(lr=0.1, gamma=0.3, momentum=0.9, compressor=Contraction(QSGD()), order="overlapped"),
    ChocoSGD(lr=0.1, gamma=0.3, momentum=0.9, compressor=PerTensor(QTopK(fraction=0.5)), order="overlapped"),
)


@dataclass(frozen=True)
class Recording(DecentralizedSGD):
    """Keeps the gradient that it was given, the loss, and a sum that it updates in place."""

    def start(self, x: Tensor, network: Network) -> State:
        state = super().start(x, network)
        state.total = torch.zeros_like(x)
        return state

    def step(self, state: State, sample: Sample, network: Network) -> None:
        super().step(state, sample, network)
        state.gradient = sample.gradient
        state.total += sample.gradient
        state.loss = sample.loss


def adamw(params: Any) -> torch.optim.Optimizer:
    return torch.optim.AdamW(params, lr=0.01, weight_decay=0.1)
