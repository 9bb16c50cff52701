"""What `gossip.Optimizer` does on several ranks."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import gossip
from algorithms import Algorithm, ChocoSGD, DecentralizedSGD, ExactDiffusion, GradientTracking, TopK
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


CHANGES: dict[str, Callable[[nn.Sequential], object]] = {
    "clamp": lambda net: [p.clamp_(-0.1, 0.1) for p in net.parameters()],
    "clamp of data": lambda net: [p.data.clamp_(-0.1, 0.1) for p in net.parameters()],
    "other data": lambda net: [setattr(p, "data", 0.5 * p.data) for p in net.parameters()],
    "load_state_dict": lambda net: net.load_state_dict(model(7).state_dict()),
    "vector_to_parameters": lambda net: nn.utils.vector_to_parameters(0.5 * vector(net), net.parameters()),
}


@pytest.mark.ranks(2, 3)
@pytest.mark.parametrize("transport", ["shared-memory", "peer-to-peer"])
@pytest.mark.parametrize("order", ["adapt-then-combine", "combine-then-adapt"])
@pytest.mark.parametrize("period", [1, 2])
def test_changes_where_nobody_reads(processes: Communicator, transport: Any, order: Any, period: int) -> None:
    """Nodes that do something to their parameters between steps get the average of what they have made of them."""
    rank, n = processes.rank, processes.size
    net, plain = model(0), model(0)
    algorithm = DecentralizedSGD(lr=0.1, order=order, period=period)
    optimizer = gossip.Optimizer(net.parameters(), algorithm, ring(n), transport=transport)
    W = torch.from_numpy(ring(n).matrix.toarray()).float()
    ahead = order == "combine-then-adapt"
    if ahead:
        nn.utils.vector_to_parameters(W[rank] @ everyone(processes, vector(plain)), plain.parameters())
    for step, change in enumerate(CHANGES.values()):
        for each in (net, plain):
            with torch.no_grad():
                change(each)
        train(net, optimizer, range(step, step + 1), rank)
        train(plain, torch.optim.SGD(plain.parameters(), lr=0.1), range(step, step + 1), rank)
        if (step + 1 + ahead) % period == 0:
            mixed = W[rank] @ everyone(processes, vector(plain))
            nn.utils.vector_to_parameters(mixed, plain.parameters())
        torch.testing.assert_close(vector(net), vector(plain), rtol=1e-4, atol=1e-6)
    optimizer.close()


@pytest.mark.ranks(2)
@pytest.mark.parametrize("transport", ["shared-memory", "peer-to-peer"])
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("algorithm", [DecentralizedSGD(order="consensus"), GradientTracking()], ids=["dsgd", "diging"])
def test_changes_where_neighbours_read(
    processes: Communicator, transport: Any, change: str, algorithm: Algorithm
) -> None:
    """What travels during the next gradient must not change, in whatever way that is tried."""
    net = model(0)
    optimizer = gossip.Optimizer(net.parameters(), algorithm, "ring", transport=transport)
    with torch.no_grad():
        CHANGES[change](net)  # nothing is on its way yet
    train(net, optimizer, range(2), processes.rank)
    with torch.no_grad():
        CHANGES[change](net)
    with pytest.raises(RuntimeError, match="while neighbours may have been reading them"):
        train(net, optimizer, range(1), processes.rank)
    optimizer.close()


@pytest.mark.ranks(3)
def test_a_model_that_one_rank_loads_before_the_first_step(processes: Communicator) -> None:
    """Methods that keep what they began from begin again: as if each had begun from its own model."""
    rank = processes.rank
    nets = model(0), model(0)
    for net, later in zip(nets, (False, True), strict=True):
        if rank == 1 and not later:
            net.load_state_dict(model(5).state_dict())
        algorithm = ExactDiffusion(lr=0.05)
        optimizer = gossip.Optimizer(net.parameters(), algorithm, "ring", broadcast=later)
        if rank == 1 and later:
            net.load_state_dict(model(5).state_dict())
        train(net, optimizer, range(4), rank)
        optimizer.close()
    assert torch.equal(vector(nets[0]), vector(nets[1]))


TAKEN_UP: dict[str, Algorithm] = {
    "dsgd": DecentralizedSGD(lr=0.05, momentum=0.5),
    "combine-then-adapt": DecentralizedSGD(lr=0.05, momentum=0.5, order="combine-then-adapt"),
    "consensus": DecentralizedSGD(lr=0.05, order="consensus"),
    "exact-diffusion": ExactDiffusion(lr=0.05),
    "diging": GradientTracking(lr=0.05),
    "choco-overlapped": ChocoSGD(lr=0.05, gamma=0.5, compressor=TopK(fraction=1.0), order="overlapped"),
    "local": DecentralizedSGD(),
}


@pytest.mark.ranks(2, 3)
@pytest.mark.parametrize("transport", ["shared-memory", "peer-to-peer"])
@pytest.mark.parametrize("algorithm", TAKEN_UP)
def test_unfreezing(processes: Communicator, transport: Any, algorithm: str) -> None:
    """What is frozen does not travel; unfrozen on all ranks it is trained by the same method, from that step on."""
    rank = processes.rank
    net = model(0)
    net[0].requires_grad_(False)
    local = (lambda params: torch.optim.SGD(params, lr=0.05)) if algorithm == "local" else None
    optimizer = gossip.Optimizer(net.parameters(), TAKEN_UP[algorithm], "ring", local=local, transport=transport)
    before = vector(net[0])
    train(net, optimizer, range(4), rank)
    assert torch.equal(vector(net[0]), before)
    sent = optimizer.traffic.bytes.item()
    other = model(0)
    head = gossip.Optimizer(other[2].parameters(), TAKEN_UP[algorithm], "ring", local=local, transport=transport)
    train(other, head, range(4), rank)
    assert sent == head.traffic.bytes.item()
    head.close()
    net[0].requires_grad_(True)
    train(net, optimizer, range(4, 8), rank)
    moved = everyone(processes, vector(net[0]))
    assert not torch.allclose(vector(net[0]), before)
    for step in range(60):
        optimizer.zero_grad()
        (0 * loss_of(net, rank, step)).backward()
        optimizer.step()
    models = everyone(processes, vector(net))
    spread = (models - models.mean(0)).abs().max()
    assert spread < 0.2 * (moved - moved.mean(0)).abs().max() + 1e-6  # the nodes come together in what was taken up too
    assert optimizer.traffic.bytes.item() > sent
    optimizer.close()


@pytest.mark.ranks(3)
def test_unfreezing_is_as_of_two_optimizers(processes: Communicator) -> None:
    """Diffusion with momentum of all parameters is that of the parts, of which one begins later; weights vary."""
    rank = processes.rank
    nets = model(0), model(0)
    algorithm = DecentralizedSGD(lr=0.05, momentum=0.9)
    nets[0][0].requires_grad_(False)
    whole = gossip.Optimizer(nets[0].parameters(), algorithm, "ring")
    head = gossip.Optimizer(nets[1][2].parameters(), algorithm, "ring")
    train(nets[0], whole, range(3), rank)
    train(nets[1], head, range(3), rank)
    nets[0][0].requires_grad_(True)
    body = gossip.Optimizer(nets[1][0].parameters(), algorithm, "ring")
    for step in range(3, 7):
        train(nets[0], whole, range(step, step + 1), rank)
        nets[1].zero_grad()
        loss_of(nets[1], rank, step).backward()
        head.step()
        body.step()
    assert torch.equal(vector(nets[0]), vector(nets[1]))
    for optimizer in (body, head, whole):
        optimizer.close()


@pytest.mark.ranks(2, 3)
def test_a_node_without_a_gradient_takes_part_in_averages_alone(processes: Communicator) -> None:
    rank, n = processes.rank, processes.size
    net = model(0)
    groups = [{"params": [*net.parameters()], "weight_decay": 0.3}]
    optimizer = gossip.Optimizer(groups, DecentralizedSGD(lr=0.1, momentum=0.9), ring(n))
    train(net, optimizer, range(3), rank)
    W = torch.from_numpy(ring(n).matrix.toarray()).float()
    for _ in range(3):
        expected = W[rank] @ everyone(processes, vector(net))
        optimizer.zero_grad()
        optimizer.step()
        torch.testing.assert_close(vector(net), expected)
    optimizer.close()


@pytest.mark.ranks(3)
def test_the_state_of_another_rank(processes: Communicator) -> None:
    """What rank 0 has saved, loaded by all, is refused on all; they can go on."""
    rank = processes.rank
    net = model(0)
    optimizer = gossip.Optimizer(net.parameters(), GradientTracking(lr=0.05), "ring")
    train(net, optimizer, range(2), rank)
    own = optimizer.state_dict()
    of_root = processes.broadcast(own)
    with pytest.raises(gossip.errors.UsageError, match=r"the state of node 0 of 3; each rank loads its own, and .* 1"):
        optimizer.load_state_dict(of_root)
    with pytest.raises(gossip.errors.UsageError, match=r"this is no state of a gossip\.Optimizer"):
        optimizer.load_state_dict({} if rank == 2 else own)
    optimizer.load_state_dict(own)
    train(net, optimizer, range(2, 4), rank)
    optimizer.close()


@pytest.mark.ranks(3)
def test_a_gradient_and_a_parameter_of_their_own_storages(processes: Communicator) -> None:
    net = model(0)
    for transport in ("shared-memory", "peer-to-peer"):
        optimizer = gossip.Optimizer(net.parameters(), DecentralizedSGD(), "ring", transport=transport)  # type: ignore[arg-type]
        kept = []
        for step in range(12):  # more than there are places in shared memory
            train(net, optimizer, range(step, step + 1), processes.rank)
            assert all(p.untyped_storage().nbytes() == p.nbytes for p in net.parameters())
            if step < 3:
                kept.append((net[2].weight.data, net[2].weight.detach().clone()))
        assert all(torch.equal(*each) for each in kept)
        optimizer.close()
