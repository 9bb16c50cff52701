"""Parameters that are frozen, unfrozen, or get no gradient in some step: as torch's optimizers treat them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import gossip
from algorithms import (
    SGD,
    AdamW,
    Algorithm,
    ChocoSGD,
    DecentLaM,
    DecentralizedAdamW,
    DecentralizedSGD,
    ExactDiffusion,
    GossipPGA,
    GradientTracking,
    LocalSGD,
    QuasiGlobalMomentum,
    RelaySGD,
    TopK,
    TorchOptimizer,
)
from gossip.errors import UsageError
from tests.gossip.optimizer.helpers import model, train, vector

Net = nn.Sequential

MOVING: list[Algorithm] = [
    DecentralizedSGD(lr=0.1, momentum=0.9),
    DecentralizedSGD(lr=0.1, momentum=0.9, nesterov=True, order="consensus"),
    DecentralizedSGD(lr=0.1, optimizer=SGD(momentum=0.9, weight_decay=0.3), order="combine-then-adapt"),
    DecentralizedSGD(lr=0.1, optimizer=AdamW(weight_decay=0.3)),
    DecentralizedSGD(lr=0.1, optimizer=TorchOptimizer("torch.optim.RMSprop", {"momentum": 0.9})),
    DecentralizedAdamW(lr=0.1, weight_decay=0.3),
    ChocoSGD(lr=0.1, gamma=0.5, momentum=0.9, compressor=TopK(k=3)),
    DecentLaM(lr=0.1, momentum=0.9),
    GossipPGA(lr=0.1, momentum=0.9, period=2),
    LocalSGD(lr=0.1, momentum=0.9, period=2),
    QuasiGlobalMomentum(lr=0.1),
    RelaySGD(lr=0.1, momentum=0.9),
]


@pytest.mark.parametrize("algorithm", MOVING, ids=str)
@pytest.mark.parametrize("set_to_none", [True, False])
def test_a_layer_that_is_frozen_later_stays(algorithm: Algorithm, set_to_none: bool) -> None:
    """Neither momentum nor weight decay moves it, and unfrozen it goes on from there."""
    net = model()
    optimizer = gossip.Optimizer(net.parameters(), algorithm)
    train(net, optimizer, range(4))
    for p in net[0].parameters():
        p.requires_grad_(False)
    before = vector(net[0])
    head = vector(net[2])
    for step in range(3):
        optimizer.zero_grad(set_to_none)
        net(torch.ones(2, 4) * step).square().mean().backward()
        optimizer.step()
    torch.testing.assert_close(vector(net[0]), before, rtol=0, atol=1e-7)
    assert not torch.allclose(vector(net[2]), head)
    for p in net[0].parameters():
        p.requires_grad_(True)
    train(net, optimizer, range(4, 6))
    assert not torch.allclose(vector(net[0]), before)


@pytest.mark.parametrize(
    ("algorithm", "reference"),
    [
        (DecentralizedSGD(lr=0.1, momentum=0.9), lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9)),
        (GradientTracking(lr=0.1), lambda p: torch.optim.SGD(p, lr=0.1)),
        (
            DecentralizedSGD(lr=0.01, optimizer=TorchOptimizer("torch.optim.RMSprop")),
            lambda p: torch.optim.RMSprop(p, lr=0.01),
        ),
    ],
    ids=lambda each: str(each) if isinstance(each, Algorithm) else None,
)
def test_parameters_that_are_used_in_some_steps_alone(
    algorithm: Algorithm, reference: Callable[[Any], torch.optim.Optimizer]
) -> None:
    """A single node does what torch does, whose optimizers pass over those without a gradient."""
    nets = [nn.ModuleList(nn.Linear(3, 1) for _ in range(2)) for _ in range(2)]
    nets[1].load_state_dict(nets[0].state_dict())
    optimizers = gossip.Optimizer(nets[0].parameters(), algorithm), reference(nets[1].parameters())
    for net, optimizer in zip(nets, optimizers, strict=True):
        for step in (0, 1, 0, 0, 1, 1, 0):
            optimizer.zero_grad()
            net[step](torch.linspace(0, 1, 6).reshape(2, 3)).square().mean().backward()
            optimizer.step()
    if isinstance(algorithm, GradientTracking):  # whose tracker knows the last gradient of a node only
        return
    torch.testing.assert_close(vector(nets[0]), vector(nets[1]), rtol=1e-5, atol=1e-6)


UNFROZEN: list[tuple[Algorithm, Callable[[Any], torch.optim.Optimizer]]] = [
    (DecentralizedSGD(lr=0.1, momentum=0.9), lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9)),
    (DecentralizedSGD(lr=0.1, momentum=0.5, order="consensus"), lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.5)),
    (
        DecentralizedSGD(lr=0.1, momentum=0.5, order="combine-then-adapt", period=2),
        lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.5),
    ),
    (GradientTracking(lr=0.1), lambda p: torch.optim.SGD(p, lr=0.1)),
    (ExactDiffusion(lr=0.1), lambda p: torch.optim.SGD(p, lr=0.1)),
    (RelaySGD(lr=0.1, momentum=0.9), lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9)),
    (
        ChocoSGD(lr=0.1, gamma=0.5, momentum=0.9, compressor=TopK(k=3), order="overlapped"),
        lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
    ),
    (DecentralizedAdamW(lr=0.01), lambda p: torch.optim.AdamW(p, lr=0.01)),
    (
        DecentralizedSGD(lr=0.01, optimizer=TorchOptimizer("torch.optim.Adam")),
        lambda p: torch.optim.Adam(p, lr=0.01),
    ),
]


@pytest.mark.parametrize(
    ("algorithm", "reference"), UNFROZEN, ids=lambda each: str(each) if str(each)[0] != "<" else ""
)
@pytest.mark.parametrize("groups", [False, True])
def test_gradual_unfreezing_is_torchs(
    algorithm: Algorithm, reference: Callable[[Any], torch.optim.Optimizer], groups: bool
) -> None:
    """The head alone first, then a part of the body, then all of it."""
    groups = groups and algorithm.proportional

    def params(net: Net) -> Any:
        if not groups:
            return net.parameters()
        return [{"params": net[0].parameters(), "lr": 0.02}, {"params": net[2].parameters(), "lr": 0.1}]

    nets = model(), model()
    optimizers = []
    for net, make in zip(nets, (lambda p: gossip.Optimizer(p, algorithm), reference), strict=True):
        for p in net[0].parameters():
            p.requires_grad_(False)
        optimizers.append(make(params(net)))
    for net, optimizer in zip(nets, optimizers, strict=True):
        for step in range(9):
            if step == 3:
                net[0].bias.requires_grad_(True)
            if step == 6:
                net[0].weight.requires_grad_(True)
            train(net, optimizer, range(step, step + 1))
    torch.testing.assert_close(vector(nets[0]), vector(nets[1]), rtol=1e-5, atol=1e-6)
    assert not torch.allclose(nets[0][0].weight, model()[0].weight)
    state = optimizers[0].state_dict()
    assert state["gossip"]["shapes"] == [list(p.shape) for p in nets[0].parameters()]


def test_unfreezing_beside_a_local_optimizer() -> None:
    nets = model(), model()
    for net, wrapped in zip(nets, (True, False), strict=True):
        net[0].requires_grad_(False)
        optimizer: torch.optim.Optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
        if wrapped:
            optimizer = gossip.Optimizer(
                net.parameters(), DecentralizedSGD(), local=lambda p: torch.optim.Adam(p, lr=0.01)
            )
        for step in range(6):
            net[0].requires_grad_(step >= 3)
            train(net, optimizer, range(step, step + 1))
    torch.testing.assert_close(vector(nets[0]), vector(nets[1]), rtol=1e-5, atol=1e-6)


def test_a_state_from_after_unfreezing_goes_on_with_the_same_bits() -> None:
    def made(net: Net, thawed: bool) -> gossip.Optimizer:
        net[0].requires_grad_(thawed)
        return gossip.Optimizer(net.parameters(), DecentralizedSGD(lr=0.1, momentum=0.9))

    net, other = model(), model(1)
    optimizer = made(net, thawed=False)
    train(net, optimizer, range(2))
    net[0].requires_grad_(True)
    train(net, optimizer, range(2, 4))
    saved = optimizer.state_dict(), {name: value.clone() for name, value in net.state_dict().items()}
    train(net, optimizer, range(4, 6))
    again = made(other, thawed=True)
    again.load_state_dict(saved[0])
    other.load_state_dict(saved[1])
    train(other, again, range(4, 6))
    assert torch.equal(vector(other), vector(net))
    with pytest.raises(UsageError, match="of 4 trained parameters, and there are 2"):
        made(model(), thawed=False).load_state_dict(saved[0])


def test_what_cannot_be_taken_up_is_refused() -> None:
    body, head = nn.Parameter(torch.zeros(3, dtype=torch.float64), requires_grad=False), nn.Parameter(torch.zeros(2))
    optimizer = gossip.Optimizer([body, head], DecentralizedSGD())
    body.requires_grad_(True)
    with pytest.raises(UsageError, match="must share one floating-point type"):
        optimizer.step()

    def by_hand(p: nn.Parameter) -> Tensor:
        p.grad = torch.ones_like(p)
        return p.grad

    body = nn.Parameter(torch.zeros(3), requires_grad=False)
    optimizer = gossip.Optimizer([body, head], DecentralizedSGD())
    by_hand(body)
    with pytest.raises(UsageError, match=r"of shape \(3,\) was given a gradient and requires none"):
        optimizer.step()


def test_settings_of_the_algorithm_outlive_unfreezing() -> None:
    """The learning rate and the weight decay of the groups, which are not those of the algorithm as given."""
    nets = model(), model()
    algorithm = DecentralizedAdamW(lr=0.5, weight_decay=0.9)
    for net, wrapped in zip(nets, (True, False), strict=True):
        net[0].requires_grad_(False)
        options: dict[str, Any] = {"lr": 0.02, "weight_decay": 0.1}
        groups = [{"params": [*net.parameters()]} | options]
        optimizer = gossip.Optimizer(groups, replace(algorithm)) if wrapped else torch.optim.AdamW(groups)
        net[0].requires_grad_(True)
        train(net, optimizer, range(4))
    torch.testing.assert_close(vector(nets[0]), vector(nets[1]), rtol=1e-5, atol=1e-6)
