"""What `gossip.Optimizer` saves and loads: it goes on with the same bits."""

from __future__ import annotations

import io

import pytest
import torch
from torch import nn

import gossip
from algorithms import (
    L1,
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
from tests.gossip.optimizer.helpers import ALGORITHMS, Recording, model, train, vector


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
