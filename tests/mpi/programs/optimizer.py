"""What `gossip.Optimizer` does on several ranks, one aspect a call: optimizer.py ASPECT"""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from mpi4py import MPI
from torch import Tensor, nn

import gossip
from algorithms import Algorithm, ChocoSGD, DecentralizedSGD, ExactDiffusion, TopK
from gossip.processes import launcher
from topologies import Topology, complete, ring

rank, n = MPI.COMM_WORLD.rank, MPI.COMM_WORLD.size


def everyone(vector: Tensor) -> Tensor:
    """(n, d): this vector on all ranks."""
    return torch.from_numpy(np.array(MPI.COMM_WORLD.allgather(vector.numpy())))


def vector(net: nn.Module) -> Tensor:
    return torch.cat([p.detach().reshape(-1) for p in net.parameters()])


def model(seed: int) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))


def loss_of(net: nn.Module, node: int, step: int) -> Tensor:
    random = torch.Generator().manual_seed(100 * node + step)
    loss: Tensor = (net(torch.randn(6, 4, generator=random)) - node).square().mean()
    return loss


def train(net: nn.Module, optimizer: torch.optim.Optimizer, steps: range, node: int = rank) -> None:
    for step in steps:
        optimizer.zero_grad()
        loss_of(net, node, step).backward()
        optimizer.step()


def start() -> None:
    """All start from rank 0, what is frozen and the buffers too; or each from its own."""
    for broadcast in (True, False):
        net = nn.Sequential(model(rank), nn.BatchNorm1d(3))
        net[0][0].bias.requires_grad_(False)  # type: ignore[index]
        net[1].running_mean.fill_(rank)  # type: ignore[union-attr,operator]
        expected = 0 if broadcast else rank
        gossip.Optimizer(net.parameters(), DecentralizedSGD(), "ring", broadcast=broadcast, buffers=net.buffers())
        assert torch.equal(vector(net[0]), vector(model(expected)))
        assert net[1].running_mean.tolist() == [expected] * 3  # type: ignore[union-attr,operator]


def average() -> None:
    """The exact mean, the same bits on all ranks, and back; nothing of it counts as traffic."""
    for order in ("adapt-then-combine", "combine-then-adapt", "consensus"):
        net = nn.Sequential(model(0), nn.BatchNorm1d(3))
        optimizer = gossip.Optimizer(
            net.parameters(),
            DecentralizedSGD(lr=0.1, order=order),
            "ring",
            buffers=net.buffers(),  # type: ignore[arg-type]
        )
        train(net, optimizer, range(3))
        net[1].running_var[rank] = 7.0  # type: ignore[union-attr,index,operator]
        before, sent = (
            {name: value.clone() for name, value in net.state_dict().items()},
            optimizer.traffic.bytes.clone(),
        )
        models = everyone(optimizer.algorithm.model(optimizer._state)[0])
        variances = everyone(net[1].running_var)  # type: ignore[arg-type]
        with optimizer.average():
            torch.testing.assert_close(vector(net), torch.cat([models.mean(0)]))
            torch.testing.assert_close(net[1].running_var, variances.mean(0))
            assert len(everyone(vector(net)).unique(dim=0)) == 1
        assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
        assert torch.equal(optimizer.traffic.bytes, sent)
        train(net, optimizer, range(3, 5))


def buffers() -> None:
    """Averaged with the neighbours in the round that just ended, whenever there was one; integers are not."""
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
        train(plain, optimizers[1], range(step, step + 1))
        optimizers[0].zero_grad()
        loss_of(net, rank, step).backward()
        batch_norm.num_batches_tracked.fill_(rank)
        before = everyone(batch_norm.running_mean)
        optimizers[0].step()
        expected = W[rank] @ before if step % 2 else before[rank]
        torch.testing.assert_close(batch_norm.running_mean, expected)
        assert batch_norm.num_batches_tracked == rank
        assert optimizers[0].network.round == optimizers[1].network.round == (step + 1) // 2
    assert torch.equal(vector(net), vector(plain))
    extra = optimizers[0].traffic.bytes - optimizers[1].traffic.bytes
    degree = {1: 0, 2: 1}.get(n, 2)
    assert extra.tolist() == [2 * degree * 6 * 4]  # two rounds, six numbers of four bytes


def infinite() -> None:
    """A rank that finds an infinite gradient takes part with a zero one."""
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


def resume() -> None:
    """Saved in the middle of a run, while messages are under way, and loaded: the same bits."""
    algorithms: tuple[Algorithm, ...] = (
        DecentralizedSGD(lr=0.05, momentum=0.9, period=3),
        DecentralizedSGD(lr=0.05, order="combine-then-adapt", period=2),
        DecentralizedSGD(lr=0.05, order="consensus", momentum=0.9),
        ExactDiffusion(lr=0.05),
        ChocoSGD(lr=0.05, gamma=0.3, compressor=TopK(k=3), momentum=0.9),
        ChocoSGD(lr=0.05, gamma=0.3, compressor=TopK(k=3), order="overlapped"),
    )
    for algorithm in algorithms:
        for live in (True, False):  # into an optimizer that has something under way itself, or into a new one
            net, other = model(0), model(1)
            optimizer = gossip.Optimizer(net.parameters(), algorithm, "ring", seed=4)
            train(net, optimizer, range(4))
            file = io.BytesIO()
            torch.save((net.state_dict(), optimizer.state_dict()), file)
            train(net, optimizer, range(4, 9))
            again = gossip.Optimizer(other.parameters(), algorithm, "ring", seed=4)
            train(other, again, range(3 if live else 0))
            file.seek(0)
            weights, state = torch.load(file)
            again.load_state_dict(state)
            other.load_state_dict(weights)
            train(other, again, range(4, 9))
            assert torch.equal(vector(other), vector(net)), (algorithm, live)
            assert again.network.round == optimizer.network.round
            again.close()
            optimizer.close()


def local() -> None:
    """AdamW on complete graphs: every node takes its own step from the common point, then they average."""
    net, nodes = model(0), [model(0) for _ in range(n)]
    adams = [torch.optim.AdamW(each.parameters(), lr=0.01, weight_decay=0.1) for each in nodes]
    optimizer = gossip.Optimizer(
        net.parameters(),
        DecentralizedSGD(),
        complete(n),
        local=lambda params: torch.optim.AdamW(params, lr=0.01, weight_decay=0.1),
    )
    for step in range(6):
        train(net, optimizer, range(step, step + 1))
        for node, (each, adam) in enumerate(zip(nodes, adams, strict=True)):
            train(each, adam, range(step, step + 1), node)
        mean = torch.stack([vector(each) for each in nodes]).mean(0)
        with torch.no_grad():
            for each in nodes:
                nn.utils.vector_to_parameters(mean.clone(), each.parameters())
    torch.testing.assert_close(vector(net), mean, rtol=1e-4, atol=1e-5)


def changed() -> None:
    """An in-place change while neighbours may be reading is an error on the rank that made it, and ends the job."""
    net = model(0)
    optimizer = gossip.Optimizer(net.parameters(), DecentralizedSGD(order="consensus"), "ring")
    train(net, optimizer, range(2))
    if rank == 0:
        with torch.no_grad():
            net[0].weight.clamp_(-0.01, 0.01)
    train(net, optimizer, range(2))


def failing() -> None:
    """An exception on one rank ends the job."""
    net = model(0)
    optimizer = gossip.Optimizer(net.parameters(), DecentralizedSGD(), "ring")
    if rank == n - 1:
        raise KeyError("deliberate")
    train(net, optimizer, range(10**6))


def exiting() -> None:
    """No close, with messages under way and one rank far ahead of the others."""
    for width in (1, 50_000):
        for transport in ("shared-memory", "peer-to-peer"):
            net = nn.Sequential(nn.Linear(4, width), nn.Linear(width, 3))
            algorithm = DecentralizedSGD(lr=1e-6, order="consensus")
            optimizer = gossip.Optimizer(net.parameters(), algorithm, transport=transport)  # type: ignore[arg-type]
            train(net, optimizer, range(2))
            if rank == 0:
                time.sleep(0.5)
            train(net, optimizer, range(2))


def groups_of_ranks() -> None:
    """A communicator of some of the ranks."""
    launcher.world().barrier()  # MPI's own Split spins until all ranks have come
    half = MPI.COMM_WORLD.Split(rank % 2)
    net = model(rank % 2)
    optimizer = gossip.Optimizer(net.parameters(), DecentralizedSGD(), complete, communicator=half)
    assert (optimizer.n, optimizer.node) == (half.size, half.rank)
    assert torch.equal(vector(net), vector(model(rank % 2)))
    train(net, optimizer, range(3))
    optimizer.close()
    launcher.world().barrier()


def wrong_name() -> None:
    gossip.Optimizer(model(0).parameters(), DecentralizedSGD(), "rung")


def wrong_number() -> None:
    gossip.Optimizer(model(0).parameters(), DecentralizedSGD(), ring(n + 1))


def wrong_kind() -> None:
    gossip.Optimizer(
        model(0).parameters(), ExactDiffusion(), Topology.from_matrix(np.roll(np.eye(n), 1, 0) / 2 + np.eye(n) / 2)
    )


def wrong_model() -> None:
    net = nn.Linear(2, 3 if rank == 0 else 4)
    gossip.Optimizer(net.parameters(), DecentralizedSGD())


def wrong_type() -> None:
    net = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2).double())
    gossip.Optimizer(net.parameters(), DecentralizedSGD())


aspect: Callable[[], None] = globals()[sys.argv[1]]
aspect()
print(f"rank {rank} done", flush=True)
