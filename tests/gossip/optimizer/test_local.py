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
