"""`gossip.Optimizer` around another torch optimizer's steps."""

from __future__ import annotations

import io
from typing import Any

import pytest
import torch
from torch import nn

import gossip
from algorithms import (
    Algorithm,
    DecentralizedSGD,
)
from gossip.errors import UsageError
from tests.gossip.optimizer.helpers import ALGORITHMS, adamw, model, same_as_torch, train, vector


@pytest.mark.parametrize("algorithm", ALGORITHMS[2:], ids=str)
def test_a_local_optimizer(algorithm: Algorithm) -> None:
    from dataclasses import replace

    plain = replace(algorithm, momentum=0.0)  # type: ignore[type-var]
    same_as_torch(
        lambda net: gossip.Optimizer(net.parameters(), plain, local=adamw),
        lambda net: adamw(net.parameters()),
        lambda optimizer: torch.optim.lr_scheduler.StepLR(optimizer, 2, gamma=0.5),
    )


def test_groups_and_state_of_a_local_optimizer() -> None:
    def groups(net: nn.Sequential) -> Any:
        return [{"params": net[0].parameters(), "lr": 0.1}, {"params": net[2].parameters(), "weight_decay": 0.0}]

    same_as_torch(
        lambda net: gossip.Optimizer(groups(net), DecentralizedSGD(), local=adamw), lambda net: adamw(groups(net))
    )
    net = model()
    optimizer = gossip.Optimizer(net.parameters(), DecentralizedSGD(), local=adamw)
    train(net, optimizer, range(3))
    saved = optimizer.state_dict(), {name: value.clone() for name, value in net.state_dict().items()}
    file = io.BytesIO()
    torch.save(saved, file)
    train(net, optimizer, range(3, 6))
    other = model(2)
    again = gossip.Optimizer(other.parameters(), DecentralizedSGD(), local=adamw)
    file.seek(0)
    state, weights = torch.load(file)
    again.load_state_dict(state)
    other.load_state_dict(weights)
    train(other, again, range(3, 6))
    assert torch.equal(vector(other), vector(net))
    again.param_groups[0]["lr"] = 0.0
    train(other, again, range(6, 8))
    torch.testing.assert_close(vector(other), vector(net), rtol=0, atol=1e-6)


def step_with_closure(optimizer: torch.optim.Optimizer, net: nn.Module) -> float:
    def closure() -> float:
        optimizer.zero_grad()
        loss = net(torch.ones(2, 4)).square().mean()
        loss.backward()
        return loss.item()  # type: ignore[no-any-return]

    return float(optimizer.step(closure))


class NeedsItsOwnGradient(torch.optim.SGD):
    """Fails in its step, for a reason of its own."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        raise RuntimeError("this rule needs\na second gradient")


@pytest.mark.parametrize(
    ("local", "says"),
    [
        (torch.optim.LBFGS, "local = LBFGS is not allowed: its step needs a closure that evaluates the loss several"),
        (torch.optim.SparseAdam, "local = SparseAdam is not allowed: it cannot make a step from the dense gradients"),
        (NeedsItsOwnGradient, "it cannot make a step .*RuntimeError: this rule needs a second gradient"),
        (torch.optim.SGD(model().parameters(), lr=0.1), "local = an object of torch.optim.sgd.SGD is not allowed"),
        ("AdamW", "local = an object of builtins.str is not allowed: it must be a function"),
        (lambda params: None, "local made an object of builtins.NoneType, and must make an optimizer"),
        (lambda params: nn.Linear(1, 1), "local made an object of torch.nn.modules.linear.Linear"),
        (lambda: None, "local made no optimizer of the parameters: TypeError"),
        (lambda params: torch.optim.SGD(params, learning_rate=1), "made no optimizer .* 'learning_rate'"),
        (lambda params: torch.optim.SGD(params, lr=-1), "Invalid learning rate: -1"),
        (lambda params: gossip.Optimizer(params, DecentralizedSGD()), r"local made a gossip\.Optimizer"),
    ],
)
def test_local_optimizers_that_cannot_work_are_refused_where_they_are_made(local: Any, says: str) -> None:
    with pytest.raises(UsageError, match=says) as raised:
        gossip.Optimizer(model().parameters(), DecentralizedSGD(), local=local)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "local",
    [
        torch.optim.Adadelta,
        torch.optim.Adafactor,
        torch.optim.Adagrad,
        torch.optim.Adam,
        torch.optim.Adamax,
        torch.optim.ASGD,
        torch.optim.NAdam,
        torch.optim.RAdam,
        torch.optim.RMSprop,
        torch.optim.Rprop,
        lambda params: torch.optim.AdamW(params, fused=True),
        lambda params: torch.optim.SGD(params, lr=0.1, maximize=True),
        lambda params: torch.optim.SGD(params, lr=0.1, momentum=0.9, dampening=0.5),
    ],
)
def test_torchs_optimizers_work_as_local_ones(local: Any) -> None:
    same_as_torch(
        lambda net: gossip.Optimizer(net.parameters(), DecentralizedSGD(), local=local),
        lambda net: local(net.parameters()),
    )


def test_the_trial_of_a_local_optimizer_leaves_nothing() -> None:
    """Neither the optimizer, the parameters and their gradients nor the random numbers of the user show it."""
    made = []

    def local(params: Any) -> torch.optim.Optimizer:
        torch.rand(3)
        made.append(torch.optim.AdamW(params, lr=0.1))
        return made[-1]

    net = model()
    before = vector(net)
    torch.manual_seed(7)
    gossip.Optimizer(net.parameters(), DecentralizedSGD(), local=local)
    drawn = torch.rand(2)
    torch.manual_seed(7)
    torch.rand(3)
    assert torch.equal(drawn, torch.rand(2))
    assert torch.equal(vector(net), before)
    assert all(p.grad is None for p in net.parameters())
    assert not made[0].state


def test_a_function_that_has_its_parameters_from_elsewhere() -> None:
    same = model(), model()
    train(
        same[0],
        gossip.Optimizer(same[0].parameters(), DecentralizedSGD(), local=lambda _: adamw(same[0].parameters())),
        range(3),
    )
    train(same[1], adamw(same[1].parameters()), range(3))
    torch.testing.assert_close(vector(same[0]), vector(same[1]), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("local", [None, lambda params: torch.optim.SGD(params, lr=0.1)])
def test_a_closure_is_called_once_with_gradients_and_its_loss_is_returned(local: Any) -> None:
    nets = model(), model()
    optimizers = (
        gossip.Optimizer(nets[0].parameters(), DecentralizedSGD(lr=0.1), local=local),
        torch.optim.SGD(nets[1].parameters(), lr=0.1),
    )
    losses = [[step_with_closure(each, net) for _ in range(3)] for each, net in zip(optimizers, nets, strict=True)]
    assert losses[0] == pytest.approx(losses[1])
    torch.testing.assert_close(vector(nets[0]), vector(nets[1]), rtol=1e-5, atol=1e-6)
