"""Options of parameter groups act as in torch's optimizers, or are refused in one line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import gossip
from algorithms import (
    SGD,
    Accordion,
    Adam,
    AdamW,
    Algorithm,
    ChocoSGD,
    Clipped,
    Cosine,
    DecentralizedAdamW,
    DecentralizedSGD,
    Identity,
    Lars,
    QsparseLocalSGD,
    Switched,
    TopK,
    TorchOptimizer,
)
from gossip.errors import UsageError
from tests.gossip.optimizer.helpers import loss_of, model, same_as_torch, train

Net = nn.Sequential
EVERYTHING = Switched(light=Identity(), strong=Identity())
ACTING = {"params", "lr", "weight_decay", "param_names", "name", "initial_lr", "max_lr", "min_lr", "swa_lr"}


def decayed(net: Net) -> list[dict[str, Any]]:
    """The usual recipe: weight decay for matrices, none for biases."""
    matrices = [p for p in net.parameters() if p.ndim > 1]
    return [
        {"params": matrices, "weight_decay": 0.5},
        {"params": [p for p in net.parameters() if p.ndim == 1], "weight_decay": 0.0},
    ]


@pytest.mark.parametrize(
    ("algorithm", "reference"),
    [
        (DecentralizedSGD(lr=0.1, momentum=0.9), lambda groups: torch.optim.SGD(groups, lr=0.1, momentum=0.9)),
        (DecentralizedSGD(lr=0.1, order="consensus"), lambda groups: torch.optim.SGD(groups, lr=0.1)),
        (ChocoSGD(lr=0.1, gamma=0.5, compressor=TopK(k=2)), lambda groups: torch.optim.SGD(groups, lr=0.1)),
        (
            DecentralizedSGD(lr=0.1, optimizer=SGD(0.9, nesterov=True)),
            lambda groups: torch.optim.SGD(groups, lr=0.1, momentum=0.9, nesterov=True),
        ),
        (DecentralizedAdamW(lr=0.02), lambda groups: torch.optim.AdamW(groups, lr=0.02)),
        (DecentralizedSGD(lr=0.02, optimizer=AdamW()), lambda groups: torch.optim.AdamW(groups, lr=0.02)),
        (
            DecentralizedSGD(lr=0.02, optimizer=Clipped(99.0, Adam())),
            lambda groups: torch.optim.Adam(groups, lr=0.02),
        ),
        (
            Accordion(QsparseLocalSGD(lr=0.02, period=1, compressor=EVERYTHING, optimizer=AdamW(weight_decay=0.3))),
            lambda groups: torch.optim.AdamW(groups, lr=0.02),
        ),
        (
            Accordion(QsparseLocalSGD(lr=0.1, period=1, compressor=EVERYTHING)),
            lambda groups: torch.optim.SGD(groups, lr=0.1),
        ),
    ],
    ids=lambda each: str(each) if isinstance(each, Algorithm) else None,
)
def test_weight_decay_of_groups_is_torchs(
    algorithm: Algorithm, reference: Callable[[Any], torch.optim.Optimizer]
) -> None:
    same_as_torch(
        lambda net: gossip.Optimizer(decayed(net), algorithm),
        lambda net: reference(decayed(net)),
    )


def test_weight_decay_and_learning_rates_of_groups_together() -> None:
    def groups(net: Net) -> list[dict[str, Any]]:
        first, second = decayed(net)
        return [first | {"lr": 0.02}, second | {"lr": 0.2}]

    same_as_torch(
        lambda net: gossip.Optimizer(groups(net), DecentralizedSGD(lr=0.1, momentum=0.9)),
        lambda net: torch.optim.SGD(groups(net), lr=0.1, momentum=0.9),
    )


def test_lars_decays_tensor_by_tensor() -> None:
    """Groups with the same weight decay are the same as that of the rule, which knows one for all."""
    nets = model(), model()
    rule = Lars(trust=0.1, weight_decay=0.3)
    optimizers = (
        gossip.Optimizer(nets[0].parameters(), DecentralizedSGD(lr=0.1, optimizer=rule)),
        gossip.Optimizer(
            [{"params": nets[1][0].parameters(), "weight_decay": 0.3}, {"params": nets[1][2].parameters()}],
            DecentralizedSGD(lr=0.1, optimizer=Lars(trust=0.1)),
        ),
    )
    for net, optimizer in zip(nets, optimizers, strict=True):
        train(net, optimizer, range(1))
    assert torch.equal(nets[0][0].weight, nets[1][0].weight)
    assert not torch.equal(nets[0][2].weight, nets[1][2].weight)


def test_weight_decay_that_is_changed_later_acts() -> None:
    def scheduler(optimizer: torch.optim.Optimizer) -> Any:
        class Schedule:
            def step(self) -> None:
                for group in optimizer.param_groups:
                    group["weight_decay"] += 0.1

        return Schedule()

    for algorithm, kind in (
        (DecentralizedSGD(lr=0.1), torch.optim.SGD),
        (DecentralizedAdamW(lr=0.02, weight_decay=0.0), torch.optim.AdamW),
    ):
        same_as_torch(
            lambda net, algorithm=algorithm: gossip.Optimizer(net.parameters(), algorithm),  # type: ignore[misc]
            lambda net, kind=kind, lr=algorithm.lr: kind(net.parameters(), lr=lr, weight_decay=0.0),  # type: ignore[misc]
            scheduler,
        )


def test_groups_show_the_weight_decay_of_the_algorithm() -> None:
    within = Accordion(QsparseLocalSGD(compressor=EVERYTHING, optimizer=AdamW(weight_decay=0.4)))
    for algorithm, shown in ((DecentralizedSGD(), 0.0), (DecentralizedAdamW(weight_decay=0.3), 0.3), (within, 0.4)):
        optimizer = gossip.Optimizer(model().parameters(), algorithm)
        assert [group["weight_decay"] for group in optimizer.param_groups] == [shown]


@settings(max_examples=60, deadline=None)
@given(option=st.text(st.characters(codec="ascii", categories=("L", "N", "P")), min_size=1, max_size=20))
def test_an_option_that_no_step_reads_is_refused(option: str) -> None:
    if option in ACTING:
        return
    with pytest.raises(UsageError, match="which would have no effect") as raised:
        gossip.Optimizer([{"params": model().parameters(), option: 0.5}], DecentralizedSGD())
    assert repr(option) in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("weight_decy", 0.1, "did you mean 'weight_decay'?"),
        ("LR", 0.1, "did you mean 'lr'?"),
        (
            "momentum",
            0.9,
            r"DecentralizedSGD\(momentum=...\); torch's OneCycleLR and CyclicLR need cycle_momentum=False",
        ),
        ("betas", (0.9, 0.99), "need cycle_momentum=False"),
        ("nesterov", True, r"a setting of the algorithm, DecentralizedSGD\(nesterov=...\)"),
        ("maximize", True, "minimise the negative of the loss"),
        ("fused", True, "leave it out"),
        ("lr", -0.1, "lr = -0.1, which must be a finite number >= 0"),
        ("lr", "0.1", "lr = '0.1', which must be"),
        ("lr", float("nan"), "lr = nan, which must be"),
        ("weight_decay", -1, "weight_decay = -1, which must be"),
        ("weight_decay", None, "weight_decay = None, which must be"),
        ("weight_decay", [0.1], r"weight_decay = \[0.1\], which must be"),
    ],
)
def test_options_are_refused_at_the_start_and_later(option: str, value: Any, says: str) -> None:
    with pytest.raises(UsageError, match=f"parameter group 1 has .*{says}"):
        groups: list[dict[str, Any]] = [{"params": model()[0].parameters()}, {"params": model()[2].parameters()}]
        groups[1][option] = value
        gossip.Optimizer(groups, DecentralizedSGD())
    net = model()
    optimizer = gossip.Optimizer(net.parameters(), DecentralizedSGD())
    train(net, optimizer, range(1))
    optimizer.param_groups[0][option] = value
    with pytest.raises(ValueError, match=f"parameter group 0 has .*{says}"):
        train(net, optimizer, range(1))


def test_weight_decay_beside_a_rule_that_cannot_know_it() -> None:
    rule = TorchOptimizer("torch.optim.RMSprop")
    for algorithm in (
        DecentralizedSGD(optimizer=rule),
        Accordion(QsparseLocalSGD(compressor=EVERYTHING, optimizer=rule)),
    ):
        with pytest.raises(UsageError, match="no place in the update rule TorchOptimizer"):
            gossip.Optimizer(decayed(model()), algorithm)
        gossip.Optimizer(model().parameters(), algorithm)


def test_parameters_that_come_or_go_are_refused() -> None:
    def added(optimizer: torch.optim.Optimizer, net: Net) -> None:
        optimizer.param_groups.append({"params": [nn.Parameter(torch.zeros(2))]})

    def taken(optimizer: torch.optim.Optimizer, net: Net) -> None:
        optimizer.param_groups[0]["params"].pop()

    def replaced(optimizer: torch.optim.Optimizer, net: Net) -> None:
        net[2] = nn.Linear(5, 3)
        optimizer.param_groups[0]["params"] = [*net.parameters()]

    for change in (added, taken, replaced):
        for local in (None, lambda params: torch.optim.SGD(params, lr=0.1)):
            net = model()
            optimizer = gossip.Optimizer(net.parameters(), DecentralizedSGD(), local=local)
            train(net, optimizer, range(1))
            change(optimizer, net)
            with pytest.raises(ValueError, match=r"when the gossip\.Optimizer was made"):
                train(net, optimizer, range(1))


def test_named_parameters_and_names_of_groups() -> None:
    net = model()
    optimizer = gossip.Optimizer(
        [{"params": net[0].named_parameters(), "name": "first"}, {"params": net[2].named_parameters()}],
        DecentralizedSGD(lr=0.1),
    )
    train(net, optimizer, range(2))
    assert optimizer.param_groups[0]["param_names"] == ["weight", "bias"]


@pytest.mark.parametrize(
    "scheduler",
    [
        lambda optimizer: torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=9, cycle_momentum=False),
        lambda optimizer: torch.optim.lr_scheduler.CyclicLR(optimizer, 0.01, 0.1, 2, cycle_momentum=False),
        lambda optimizer: torch.optim.swa_utils.SWALR(optimizer, swa_lr=0.05),
    ],
)
def test_what_schedulers_keep_in_groups_is_theirs(scheduler: Callable[[Any], Any]) -> None:
    same_as_torch(
        lambda net: gossip.Optimizer(net.parameters(), DecentralizedSGD(lr=0.1)),
        lambda net: torch.optim.SGD(net.parameters(), lr=0.1),
        scheduler,
    )


def test_a_schedule_of_the_algorithm_goes_with_weight_decay() -> None:
    net, other = model(), model()
    train(net, gossip.Optimizer(decayed(net), DecentralizedSGD(lr=Cosine(lr=0.2, steps=5))), range(3))
    by_hand = torch.optim.SGD(decayed(other), lr=1)
    for step in range(3):
        for group in by_hand.param_groups:
            group["lr"] = Cosine(lr=0.2, steps=5)(step)
        train(other, by_hand, range(step, step + 1))
    torch.testing.assert_close(loss_of(net, 9), loss_of(other, 9))


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.int64, torch.tensor])
def test_numbers_of_other_kinds(kind: Callable[[float], Any]) -> None:
    net, other = model(), model()
    groups = [{"params": net.parameters(), "lr": kind(1), "weight_decay": kind(1)}]
    train(net, gossip.Optimizer(groups, DecentralizedSGD()), range(2))
    train(other, torch.optim.SGD(other.parameters(), lr=1.0, weight_decay=1.0), range(2))
    torch.testing.assert_close(loss_of(net, 9), loss_of(other, 9))
