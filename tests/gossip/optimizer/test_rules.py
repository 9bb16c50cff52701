"""Local optimizers and federated methods in one's own training loop, on one node."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest
import torch
from torch import nn

import gossip
from algorithms import (
    AdamW,
    Algorithm,
    Clipped,
    DecentralizedSGD,
    ElasticAveraging,
    FedAdam,
    FedAvg,
    FedMom,
    FedProx,
    Lars,
    ResidualSGD,
    Scaffold,
    TorchOptimizer,
)
from gossip.errors import UsageError

ALGORITHMS: list[Algorithm] = [
    DecentralizedSGD(lr=0.01, optimizer=AdamW()),
    ElasticAveraging(lr=0.01, period=3, optimizer=TorchOptimizer("torch.optim.NAdam")),
    DecentralizedSGD(lr=0.5, optimizer=Clipped(0.5, Lars())),
    DecentralizedSGD(lr=0.01, optimizer=ResidualSGD(0.3, momentum=0.5)),
    FedAvg(lr=0.05, local_steps=3, optimizer=AdamW()),
    FedProx(lr=0.05, local_steps=3, mu=0.5),
    FedMom(lr=0.05, local_steps=3),
    FedAdam(lr=0.05, local_steps=3),
    Scaffold(lr=0.05, local_steps=3),
]


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))


def batches() -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(1)
    while True:
        x = torch.randn(16, 4, generator=generator)
        yield x, x.sum(dim=1, keepdim=True)


def train(net: nn.Module, optimizer: torch.optim.Optimizer, steps: int, skip: int = 0) -> None:
    for i, (x, y) in zip(range(skip + steps), batches(), strict=False):
        if i >= skip:
            optimizer.zero_grad()
            ((net(x) - y) ** 2).mean().backward()
            optimizer.step()


def weights(net: nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().reshape(-1) for p in net.parameters()])


@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=str)
def test_a_saved_state_goes_on_with_the_same_bits(algorithm: Algorithm) -> None:
    whole = network()
    train(whole, gossip.Optimizer(whole.parameters(), algorithm), 10)
    net = network()
    optimizer = gossip.Optimizer(net.parameters(), algorithm)
    train(net, optimizer, 4)
    file = io.BytesIO()
    torch.save((net.state_dict(), optimizer.state_dict()), file)
    file.seek(0)
    parameters, state = torch.load(file, weights_only=True)
    again = network()
    resumed = gossip.Optimizer(again.parameters(), algorithm)
    again.load_state_dict(parameters)
    resumed.load_state_dict(state)
    train(again, resumed, 6, skip=4)
    assert torch.equal(weights(again), weights(whole))


@pytest.mark.parametrize("algorithm", [FedAvg(lr=0.05, local_steps=3), Scaffold(lr=0.05, local_steps=3)], ids=str)
def test_a_client_alone_is_sgd(algorithm: Algorithm) -> None:
    net, plain = network(), network()
    train(net, gossip.Optimizer(net.parameters(), algorithm), 9)
    train(plain, torch.optim.SGD(plain.parameters(), lr=0.05), 9)
    torch.testing.assert_close(weights(net), weights(plain), rtol=1e-4, atol=1e-6)


def test_lars_sees_the_tensors() -> None:
    net, plain = network(), network()
    x, y = next(batches())
    train(net, gossip.Optimizer(net.parameters(), DecentralizedSGD(lr=0.5, optimizer=Lars(trust=0.1))), 1)
    ((plain(x) - y) ** 2).mean().backward()
    for after, before in zip(net.parameters(), plain.parameters(), strict=True):
        assert before.grad is not None
        scale = 0.1 * before.norm() / before.grad.norm() if before.ndim > 1 else 1.0
        torch.testing.assert_close(after, before - 0.5 * scale * before.grad)


def test_learning_rates_of_groups_are_refused_where_they_would_mean_nothing() -> None:
    net = network()
    groups = [{"params": net[0].parameters(), "lr": 0.1}, {"params": net[2].parameters(), "lr": 0.01}]
    gossip.Optimizer(groups, FedAvg())
    with pytest.raises(UsageError, match="DecentralizedSGD"):
        gossip.Optimizer(groups, DecentralizedSGD(optimizer=AdamW()))
