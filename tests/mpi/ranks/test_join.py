"""`gossip.Optimizer.join`, compared with a transcription in which a rank without batches has a zero gradient."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import gossip
from algorithms import DecentralizedSGD
from gossip.network import Communicator
from tests.mpi.own_loop import loss_of, model, train, vector
from topologies import ring

BATCHES = 3, 0, 4, 2  # of each rank
MOMENTUM, RATE = 0.9, 0.1


def gradient(net: nn.Module, node: int, step: int) -> Tensor:
    return torch.cat([g.reshape(-1) for g in torch.autograd.grad(loss_of(net, node, step), list(net.parameters()))])


def transcribed(n: int, rounds: int, period: int) -> Tensor:
    """(n, d): `rounds` times, each node makes steps with its batches and with a zero gradient from then on."""
    nets = [model(0) for _ in range(n)]
    x = torch.stack([vector(net) for net in nets])
    m, W, t = torch.zeros_like(x), torch.from_numpy(ring(n).matrix.toarray()).float(), 0
    for _ in range(rounds):
        for step in range(max(BATCHES[:n])):
            for net, row in zip(nets, x, strict=True):
                nn.utils.vector_to_parameters(row.clone(), net.parameters())
            g = [
                gradient(net, node, step) if step < BATCHES[node] else torch.zeros_like(row)
                for node, (net, row) in enumerate(zip(nets, x, strict=True))
            ]
            m = MOMENTUM * m + torch.stack(g)
            x, t = x - RATE * m, t + 1
            x = W @ x if t % period == 0 else x
    return x


@pytest.mark.ranks(2, 4)
@pytest.mark.parametrize("period", [1, 2])
@pytest.mark.parametrize("transport", ["shared-memory", "peer-to-peer"])
def test_ranks_with_fewer_batches_go_along(processes: Communicator, transport: str, period: int) -> None:
    rank, n = processes.rank, processes.size
    net = model(0)
    algorithm = DecentralizedSGD(lr=RATE, momentum=MOMENTUM, period=period)
    optimizer = gossip.Optimizer(net.parameters(), algorithm, "ring", transport=transport)  # type: ignore[arg-type]
    for _ in range(2):
        with optimizer.join():
            train(net, optimizer, range(BATCHES[rank]), rank)
    expected = transcribed(n, 2, period)
    assert processes.gather(optimizer._state.step) == [2 * max(BATCHES[:n])] * n
    torch.testing.assert_close(vector(net), expected[rank])
    train(net, optimizer, range(2), rank)
    optimizer.close()


@pytest.mark.ranks(4)
def test_two_optimizers_and_an_average_within(processes: Communicator) -> None:
    """Ranks without batches go along with all calls of the loop, and buffers are averaged on."""
    rank, n = processes.rank, processes.size
    nets = [model(0), nn.Sequential(model(0), nn.BatchNorm1d(3))]
    first, second = (
        gossip.Optimizer(net.parameters(), DecentralizedSGD(lr=RATE), "complete", buffers=net.buffers()) for net in nets
    )
    means = []
    with first.join(second):
        for step in range(BATCHES[rank]):
            train(nets[0], first, range(step, step + 1), rank)
            train(nets[1], second, range(step, step + 1), rank)
            if step >= 2:
                with second.average():
                    means.append(vector(nets[1]))
            assert not first.stopping
    assert processes.gather((first._state.step, second._state.step)) == [(4, 4)] * n
    alike = [each[0] for each in processes.gather(means) if each]  # after three steps, of the ranks that made as many
    assert len(alike) == 2
    assert torch.equal(*alike)
    for net in nets:
        models = processes.gather([vector(net), *[each for each in net.buffers() if each.is_floating_point()]])
        for each in models:
            torch.testing.assert_close(each, models[0])
    second.close()
    first.close()


@pytest.mark.ranks(2)
def test_what_cannot_be_joined(processes: Communicator) -> None:
    net = model(0)
    optimizer = gossip.Optimizer(net.parameters(), DecentralizedSGD(lr=RATE), "ring")
    with optimizer.join():
        with pytest.raises(RuntimeError, match="within another join"), optimizer.join():
            pass
        with pytest.raises(RuntimeError, match=r"close\(\) is for all ranks together: leave"):
            optimizer.close()
    optimizer.close()
