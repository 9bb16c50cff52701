"""Optimizers by import path do what torch does, at every node by itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import gossip
from algorithms import DecentralizedSGD, Full, LocalSGD, StepDecay, TorchOptimizer
from gossip.errors import UsageError
from gossip.options.command_line import parse
from gossip.workloads import Digits
from tests.algorithms.helpers import dense, least_squares, run, starts
from topologies import ring

RATE = StepDecay(lr=0.02, milestones=(10, 20), factor=0.3)
N = 5


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("SGD", {"momentum": 0.9, "nesterov": True}),
        ("SGD", {}),
        ("RMSprop", {"alpha": 0.9, "momentum": 0.5}),
        ("Adagrad", {}),
        ("NAdam", {"weight_decay": 0.1}),
        ("Rprop", {}),
        ("ASGD", {}),
    ],
)
def test_like_torch(name: str, args: dict[str, Any]) -> None:
    problem, topology = least_squares(N), ring(N)
    algorithm = DecentralizedSGD(lr=RATE, optimizer=TorchOptimizer(f"torch.optim.{name}", args))
    got = run(algorithm, topology, problem, starts(problem), 40).final
    nodes = [torch.tensor(row) for row in starts(problem)]
    optimizers = [getattr(torch.optim, name)([node], lr=RATE(0), **args) for node in nodes]
    for t in range(40):
        gradients = problem.gradient(np.stack(nodes))
        for node, optimizer, gradient in zip(nodes, optimizers, gradients, strict=True):
            optimizer.param_groups[0]["lr"] = RATE(t)
            node.grad = torch.tensor(gradient)
            optimizer.step()
        for node, row in zip(nodes, dense(topology) @ np.stack(nodes), strict=True):
            node.copy_(torch.tensor(row))
    assert np.abs(got - np.stack(nodes)).max() < 1e-10


def test_tensors_keep_their_shapes() -> None:
    """Adafactor treats a matrix otherwise than a vector."""
    optimizer = TorchOptimizer("torch.optim.Adafactor")
    algorithm = LocalSGD(lr=0.05, period=1, optimizer=optimizer)
    result = gossip.run(Digits(), ring(3), algorithm, oracle=Full(), steps=3, output=None)
    workload = Digits().shard(3, 0)
    layout, x = workload.layout, workload.initial()
    rows = [list(layout.unflatten(x.clone()).values()) for _ in range(3)]
    optimizers = [torch.optim.Adafactor(row, lr=0.05) for row in rows]
    for _ in range(3):
        points = torch.stack([torch.cat([p.reshape(-1) for p in row]) for row in rows])
        gradients = workload.gradient(points, range(3)).gradient
        for row, optimizer_, gradient in zip(rows, optimizers, gradients, strict=True):
            for p, g in zip(row, layout.unflatten(gradient).values(), strict=True):
                p.grad = g
            optimizer_.step()
        for tensors in zip(*rows, strict=True):
            mean = sum(tensors) / 3
            for p in tensors:
                p.copy_(mean)
    wanted = torch.cat([p.reshape(-1) for p in rows[0]])
    torch.testing.assert_close(result.model[0], wanted, rtol=1e-4, atol=1e-6)


def test_from_the_command_line() -> None:
    chosen = parse(
        [
            "--algorithm=LocalSGD",
            "--algorithm.momentum=0",
            "--algorithm.optimizer=TorchOptimizer",
            "--algorithm.optimizer.name=torch.optim.RMSprop",
            '--algorithm.optimizer.args={"alpha": 0.9}',
        ],
        1,
    )
    assert isinstance(chosen.algorithm, LocalSGD)
    assert chosen.algorithm.optimizer == TorchOptimizer("torch.optim.RMSprop", {"alpha": 0.9})


@pytest.mark.parametrize(
    ("name", "args", "says"),
    [
        ("torch.optim.None_", {}, "cannot be imported"),
        ("torch.optim.lr_scheduler.StepLR", {}, "derived from torch.optim.Optimizer"),
        ("torch.optim.LBFGS", {}, "whose step needs no closure"),
        ("torch.optim.SGD", {"lr": 0.1}, "without lr, which is the algorithm's"),
        ("torch.optim.SGD", {"beta": 0.1}, "torch.optim.SGD cannot be made with these args: .*beta"),
        ("torch.optim.SGD", {"momentum": -1}, "torch.optim.SGD cannot be made with these args: .*momentum"),
    ],
)
def test_refusals(name: str, args: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=f"^TorchOptimizer: .*{says}"):
        TorchOptimizer(name, args)


def test_tensors_that_an_optimizer_does_not_take_are_refused_at_the_start() -> None:
    algorithm = LocalSGD(optimizer=TorchOptimizer("torch.optim.Muon"))
    with pytest.raises(UsageError, match=r"torch.optim.Muon cannot be made with these args: .*2D"):
        gossip.run(Digits(), ring(3), algorithm, steps=1, output=None)
