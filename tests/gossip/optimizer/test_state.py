"""What `gossip.Optimizer` saves and loads: it goes on with the same bits."""

from __future__ import annotations

import io
from typing import Any

import pytest
import torch
from torch import nn

import gossip
from algorithms import (
    L1,
    AdamW,
    Algorithm,
    ChocoSGD,
    Cosine,
    DecentralizedAdamW,
    DecentralizedSGD,
    ExactDiffusion,
    GradientTracking,
    Nids,
    PerTensor,
    SquarmSGD,
    TopK,
)
from gossip.errors import UsageError
from tests.gossip.optimizer.helpers import ALGORITHMS, Recording, adamw, model, train, vector


def test_what_the_algorithm_chose_and_reports_and_a_state_with_it() -> None:
    def made(net: nn.Sequential) -> gossip.Optimizer:
        algorithm = SquarmSGD(lr=0.1, threshold=1e-3, period=2, gamma="auto", compressor=PerTensor(TopK(k=1)))
        return gossip.Optimizer(net.parameters(), algorithm)

    net, other = model(), model()
    optimizer = made(net)
    train(net, optimizer, range(5))
    assert optimizer.chosen["gamma"] == 1.0
    assert optimizer.report() == {"share_fired": 1.0}
    resumed = made(other)
    resumed.load_state_dict(optimizer.state_dict())
    other.load_state_dict(net.state_dict())
    for each, used in ((net, optimizer), (other, resumed)):
        train(each, used, range(5, 9))
    assert torch.equal(vector(net), vector(other))
    assert resumed.report() == optimizer.report()


@pytest.mark.parametrize("algorithm", [*ALGORITHMS, ExactDiffusion(lr=0.1), Recording(lr=0.1)], ids=str)
@pytest.mark.parametrize("model_first", [True, False])
def test_saved_and_loaded_it_goes_on_with_the_same_bits(algorithm: Algorithm, model_first: bool) -> None:
    net = model()
    optimizer = gossip.Optimizer(net.parameters(), algorithm, seed=3)
    train(net, optimizer, range(5))
    file = io.BytesIO()
    torch.save({"model": net.state_dict(), "optimizer": optimizer.state_dict()}, file)
    train(net, optimizer, range(5, 9))

    other = model(1)
    again = gossip.Optimizer(other.parameters(), algorithm, seed=3)
    train(other, again, range(2))  # what it did before does not matter
    file.seek(0)
    saved = torch.load(file)
    steps = [lambda: other.load_state_dict(saved["model"]), lambda: again.load_state_dict(saved["optimizer"])]
    for load in steps if model_first else reversed(steps):
        load()
    assert again.network.round == saved["optimizer"]["gossip"]["round"]
    train(other, again, range(5, 9))
    assert torch.equal(vector(other), vector(net))
    assert again.network.round == optimizer.network.round
    assert vector(net).isfinite().all()


def test_a_state_dict_is_a_snapshot() -> None:
    net = model()
    optimizer = gossip.Optimizer(net.parameters(), Recording(lr=0.1))
    train(net, optimizer, range(2))
    saved = optimizer.state_dict()
    total = saved["gossip"]["state"]["total"].clone()
    train(net, optimizer, range(2))
    assert torch.equal(saved["gossip"]["state"]["total"], total)
    optimizer.load_state_dict(saved)
    train(net, optimizer, range(2))
    assert torch.equal(saved["gossip"]["state"]["total"], total)
    assert not torch.equal(optimizer.state_dict()["gossip"]["state"]["total"], total)


def test_a_scheduled_learning_rate_is_loaded_too() -> None:
    for lr in (0.1, Cosine(lr=0.1, steps=10)):
        net = model()
        optimizer = gossip.Optimizer(net.parameters(), DecentralizedSGD(lr=lr))
        if lr == 0.1:
            optimizer.param_groups[0]["lr"] = 0.03
        train(net, optimizer, range(4))
        again = gossip.Optimizer(model().parameters(), DecentralizedSGD(lr=lr))
        again.load_state_dict(optimizer.state_dict())
        assert again.param_groups[0]["lr"] == optimizer.param_groups[0]["lr"] != 0.1


def test_states_of_others_are_refused() -> None:
    optimizer = gossip.Optimizer(model().parameters(), DecentralizedSGD())
    with pytest.raises(ValueError, match="a state of ChocoSGD cannot be loaded by DecentralizedSGD"):
        optimizer.load_state_dict(gossip.Optimizer(model().parameters(), ChocoSGD(gamma="theory")).state_dict())
    with pytest.raises(ValueError, match="this is a state of 2 trained parameters, and there are 4"):
        optimizer.load_state_dict(gossip.Optimizer(model()[0].parameters(), DecentralizedSGD()).state_dict())


@pytest.mark.parametrize(
    "algorithm", [GradientTracking(lr=0.1), DecentralizedAdamW(), Nids(lr=0.1, prox=L1())], ids=str
)
def test_stored_gradients_and_moments_are_saved(algorithm: Algorithm) -> None:
    net, other = model(), model(2)
    optimizer = gossip.Optimizer(net.parameters(), algorithm)
    train(net, optimizer, range(3))
    saved = optimizer.state_dict(), {name: value.clone() for name, value in net.state_dict().items()}
    train(net, optimizer, range(3, 6))
    again = gossip.Optimizer(other.parameters(), algorithm)
    again.load_state_dict(saved[0])
    other.load_state_dict(saved[1])
    train(other, again, range(3, 6))
    assert torch.equal(vector(other), vector(net))


def fresh(algorithm: Algorithm, local: Any = None, net: nn.Module | None = None) -> gossip.Optimizer:
    return gossip.Optimizer((net or model()).parameters(), algorithm, local=local)


def sgd(params: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(params, lr=0.1, momentum=0.9)


@pytest.mark.parametrize("local", [None, sgd])
@pytest.mark.parametrize(
    "given",
    [
        sgd(model().parameters()).state_dict(),
        model().state_dict(),
        {},
        {"gossip": None},
        None,
        "optimizer.pt",
        [1, 2],
    ],
)
def test_what_is_no_state_of_such_an_optimizer_is_refused(given: Any, local: Any) -> None:
    with pytest.raises(UsageError, match=r"this is no state of a gossip\.Optimizer") as raised:
        fresh(DecentralizedSGD(), local).load_state_dict(given)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("other", "says"),
    [
        (fresh(GradientTracking()), "a state of GradientTracking cannot be loaded by DecentralizedSGD"),
        (fresh(DecentralizedSGD(momentum=0.5)), "with momentum = 0.5, and this one has momentum = 0.9: make it with"),
        (fresh(DecentralizedSGD(momentum=0.9, order="consensus")), "with order = 'consensus', and this one has order"),
        (fresh(DecentralizedSGD(momentum=0.9, period=3)), "with period = 3, and this one has period = 1"),
        (fresh(DecentralizedSGD(optimizer=AdamW())), "with momentum = 0.0, and this one has"),
        (fresh(DecentralizedSGD(momentum=0.9), adamw), "with the local optimizer AdamW, and .* no local optimizer"),
        (fresh(DecentralizedSGD(momentum=0.9), net=nn.Linear(4, 5)), "of 2 trained parameters, and there are 4"),
        (
            fresh(DecentralizedSGD(momentum=0.9), net=nn.Sequential(nn.Linear(4, 5), nn.Linear(5, 2))),
            r"number 2 has shape \[2, 5\] there and \[3, 5\] here",
        ),
    ],
)
def test_the_state_of_something_else_is_refused_and_changes_nothing(other: gossip.Optimizer, says: str) -> None:
    nets = model(), model()
    optimizers = [fresh(DecentralizedSGD(lr=0.1, momentum=0.9), net=net) for net in nets]
    for net, optimizer in zip(nets, optimizers, strict=True):
        train(net, optimizer, range(3))
    with pytest.raises(UsageError, match=says) as raised:
        optimizers[0].load_state_dict(other.state_dict())
    assert "\n" not in str(raised.value)
    for net, optimizer in zip(nets, optimizers, strict=True):
        train(net, optimizer, range(3, 5))
    assert torch.equal(vector(nets[0]), vector(nets[1]))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"node": 2, "n": 4}, "this is the state of one of 4 nodes, and there are 1"),
        ({"node": 2}, "this is the state of node 2 of 1; each rank loads its own, and this is node 0"),
        ({"local": "AdamW"}, "with the local optimizer AdamW"),
    ],
)
def test_the_state_of_another_node_is_refused(changes: dict[str, Any], says: str) -> None:
    optimizer = fresh(DecentralizedSGD())
    state = optimizer.state_dict()
    state["gossip"] |= changes
    with pytest.raises(UsageError, match=says):
        optimizer.load_state_dict(state)


@pytest.mark.parametrize("entry", ["node", "n", "shapes", "settings", "local", "state", "round"])
def test_the_state_of_an_older_release_is_refused_in_one_line(entry: str) -> None:
    optimizer = fresh(DecentralizedSGD())
    state = optimizer.state_dict()
    del state["gossip"][entry]
    with pytest.raises(UsageError, match="saved by an older gossip and does not say whose it is"):
        optimizer.load_state_dict(state)


def test_another_division_into_groups_is_refused() -> None:
    net = model()
    two = gossip.Optimizer([{"params": net[0].parameters()}, {"params": net[2].parameters()}], DecentralizedSGD())
    with pytest.raises(UsageError, match=r"of parameter groups of \[2, 2\] parameters, .* \[4\]"):
        fresh(DecentralizedSGD()).load_state_dict(two.state_dict())


def test_learning_rate_and_weight_decay_are_those_of_the_state() -> None:
    """They are in the groups, as torch's are, and need not be given anew."""
    net, other = model(), model()
    optimizer = gossip.Optimizer(net.parameters(), DecentralizedAdamW(lr=0.02, weight_decay=0.3))
    train(net, optimizer, range(2))
    again = gossip.Optimizer(other.parameters(), DecentralizedAdamW(lr=0.5, weight_decay=0.0))
    again.load_state_dict(optimizer.state_dict())
    other.load_state_dict(net.state_dict())
    for each, used in ((net, optimizer), (other, again)):
        train(each, used, range(2, 5))
    assert torch.equal(vector(net), vector(other))
