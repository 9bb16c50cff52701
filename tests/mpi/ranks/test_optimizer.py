"""What `gossip.Optimizer` does on several ranks."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import gossip
from algorithms import Algorithm, ChocoSGD, DecentralizedSGD, ExactDiffusion, TopK
from gossip.network import Communicator
from tests.mpi.own_loop import loss_of, model, train, vector
from topologies import complete, ring


def everyone(processes: Communicator, vector: Tensor) -> Tensor:
    """(n, d): this vector on all ranks."""
    return torch.from_numpy(np.array(processes.gather(vector.numpy())))


@pytest.mark.ranks(2)
@pytest.mark.parametrize("broadcast", [True, False])
def test_start(processes: Communicator, broadcast: bool) -> None:
    """All start from rank 0, what is frozen and the buffers too; or each from its own."""
    rank = processes.rank
    net = nn.Sequential(model(rank), nn.BatchNorm1d(3))
    net[0][0].bias.requires_grad_(False)  # type: ignore[index]
    net[1].running_mean.fill_(rank)  # type: ignore[union-attr,operator]
    optimizer = gossip.Optimizer(
        net.parameters(), DecentralizedSGD(), "ring", broadcast=broadcast, buffers=net.buffers()
    )
    expected = 0 if broadcast else rank
    assert torch.equal(vector(net[0]), vector(model(expected)))
    assert net[1].running_mean.tolist() == [expected] * 3  # type: ignore[union-attr,operator]
    optimizer.close()


@pytest.mark.ranks(3)
@pytest.mark.parametrize("order", ["adapt-then-combine", "combine-then-adapt", "consensus"])
def test_average(processes: Communicator, order: str) -> None:
    """The exact mean, the same bits on all ranks, and back; nothing of it counts as traffic."""
    rank = processes.rank
    net = nn.Sequential(model(0), nn.BatchNorm1d(3))
    optimizer = gossip.Optimizer(
        net.parameters(),
        DecentralizedSGD(lr=0.1, order=order),
        "ring",
        buffers=net.buffers(),  # type: ignore[arg-type]
    )
    train(net, optimizer, range(3), rank)
    net[1].running_var[rank] = 7.0  # type: ignore[union-attr,index,operator]
    before, sent = (
        {name: value.clone() for name, value in net.state_dict().items()},
        optimizer.traffic.bytes.clone(),
    )
    models = everyone(processes, optimizer.algorithm.model(optimizer._state)[0])
    variances = everyone(processes, net[1].running_var)  # type: ignore[arg-type]
    with optimizer.average():
        torch.testing.assert_close(vector(net), torch.cat([models.mean(0)]))
        torch.testing.assert_close(net[1].running_var, variances.mean(0))
        assert len(everyone(processes, vector(net)).unique(dim=0)) == 1
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert torch.equal(optimizer.traffic.bytes, sent)
    train(net, optimizer, range(3, 5), rank)
    optimizer.close()


@pytest.mark.ranks(2, 3)
def test_buffers(processes: Communicator) -> None:
    """Averaged with the neighbours in the round that just ended, whenever there was one; integers are not."""
    rank, n = processes.rank, processes.size
    net = nn.Sequential(model(0), nn.BatchNorm1d(3))
    plain = nn.Sequential(model(0), nn.BatchNorm1d(3))
    options: dict[str, Any] = {"topology": ring(n)}
    optimizers = [
        gossip.Optimizer(net.parameters(), DecentralizedSGD(lr=0.1, period=2), buffers=net.buffers(), **options),
        gossip.Optimizer(plain.parameters(), DecentralizedSGD(lr=0.1, period=2), **options),
    ]
    W = torch.from_numpy(ring(n).matrix.toarray()).float()
    batch_norm: Any = net[1]
    for step in range(4):
        train(plain, optimizers[1], range(step, step + 1), rank)
        optimizers[0].zero_grad()
        loss_of(net, rank, step).backward()
        batch_norm.num_batches_tracked.fill_(rank)
        before = everyone(processes, batch_norm.running_mean)
        optimizers[0].step()
        expected = W[rank] @ before if step % 2 else before[rank]
        torch.testing.assert_close(batch_norm.running_mean, expected)
        assert batch_norm.num_batches_tracked == rank
        assert optimizers[0].network.round == optimizers[1].network.round == (step + 1) // 2
    assert torch.equal(vector(net), vector(plain))
    extra = optimizers[0].traffic.bytes - optimizers[1].traffic.bytes
    degree = {1: 0, 2: 1}.get(n, 2)
    assert extra.tolist() == [2 * degree * 6 * 4]  # two rounds, six numbers of four bytes
    for optimizer in optimizers:
        optimizer.close()


@pytest.mark.ranks(2)
def test_infinite_gradients(processes: Communicator) -> None:
    """A rank that finds an infinite gradient takes part with a zero one."""
    rank, n = processes.rank, processes.size
    net = model(0)
    optimizer = gossip.Optimizer(net.parameters(), DecentralizedSGD(lr=0.1), complete(n))
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    start = vector(net)
    last = n - 1
    scale = float("inf") if rank == last else 1.0
    scaler.scale(loss_of(net, rank, 0) * scale).backward()
    scaler.step(optimizer)
    scaler.update()
    assert scaler.get_scale() == (512 if rank == last else 1024)
    gradients = []
    for node in range(n - 1):
        other = model(0)
        loss_of(other, node, 0).backward()
        gradients.append(torch.cat([p.grad.reshape(-1) for p in other.parameters()]))  # type: ignore[union-attr]
    torch.testing.assert_close(vector(net), start - 0.1 * torch.stack(gradients).sum(0) / n)
    optimizer.close()


RESUMED: dict[str, Algorithm] = {
    "dsgd-momentum": DecentralizedSGD(lr=0.05, momentum=0.9, period=3),
    "dsgd-combine-then-adapt": DecentralizedSGD(lr=0.05, order="combine-then-adapt", period=2),
    "dsgd-consensus": DecentralizedSGD(lr=0.05, order="consensus", momentum=0.9),
    "exact-diffusion": ExactDiffusion(lr=0.05),
    "choco": ChocoSGD(lr=0.05, gamma=0.3, compressor=TopK(k=3), momentum=0.9),
    "choco-overlapped": ChocoSGD(lr=0.05, gamma=0.3, compressor=TopK(k=3), order="overlapped"),
}


@pytest.mark.ranks(3)
@pytest.mark.parametrize("algorithm", RESUMED)
@pytest.mark.parametrize("live", [True, False], ids=["into-one-with-something-under-way", "into-a-new-one"])
def test_resume(processes: Communicator, algorithm: str, live: bool) -> None:
    """Saved in the middle of a run, while messages are under way, and loaded: the same bits."""
    rank = processes.rank
    net, other = model(0), model(1)
    optimizer = gossip.Optimizer(net.parameters(), RESUMED[algorithm], "ring", seed=4)
    train(net, optimizer, range(4), rank)
    file = io.BytesIO()
    torch.save((net.state_dict(), optimizer.state_dict()), file)
    train(net, optimizer, range(4, 9), rank)
    again = gossip.Optimizer(other.parameters(), RESUMED[algorithm], "ring", seed=4)
    train(other, again, range(3 if live else 0), rank)
    file.seek(0)
    weights, state = torch.load(file)
    again.load_state_dict(state)
    other.load_state_dict(weights)
    train(other, again, range(4, 9), rank)
    assert torch.equal(vector(other), vector(net))
    assert again.network.round == optimizer.network.round
    again.close()
    optimizer.close()


@pytest.mark.ranks(2)
def test_a_local_optimizer(processes: Communicator) -> None:
    """AdamW on complete graphs: every node takes its own step from the common point, then they average."""
    rank, n = processes.rank, processes.size
    net, nodes = model(0), [model(0) for _ in range(n)]
    adams = [torch.optim.AdamW(each.parameters(), lr=0.01, weight_decay=0.1) for each in nodes]
    optimizer = gossip.Optimizer(
        net.parameters(),
        DecentralizedSGD(),
        complete(n),
        local=lambda params: torch.optim.AdamW(params, lr=0.01, weight_decay=0.1),
    )
    for step in range(6):
        train(net, optimizer, range(step, step + 1), rank)
        for node, (each, adam) in enumerate(zip(nodes, adams, strict=True)):
            train(each, adam, range(step, step + 1), node)
        mean = torch.stack([vector(each) for each in nodes]).mean(0)
        with torch.no_grad():
            for each in nodes:
                nn.utils.vector_to_parameters(mean.clone(), each.parameters())
    torch.testing.assert_close(vector(net), mean, rtol=1e-4, atol=1e-5)
    optimizer.close()


@pytest.mark.ranks(3)
def test_a_communicator_of_some_of_the_ranks(processes: Communicator) -> None:
    from mpi4py import MPI

    rank = processes.rank
    processes.barrier()  # MPI's own Split spins until all ranks have come
    half = MPI.COMM_WORLD.Split(rank % 2)
    net = model(rank % 2)
    optimizer = gossip.Optimizer(net.parameters(), DecentralizedSGD(), complete, communicator=half)
    assert (optimizer.n, optimizer.node) == (half.size, half.rank)
    assert torch.equal(vector(net), vector(model(rank % 2)))
    train(net, optimizer, range(3), rank)
    optimizer.close()
    half.Free()
