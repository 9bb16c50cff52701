"""Trains with `gossip.Optimizer`, one node a rank, and compares each step with all nodes in this one process.

optimizer_trajectories.py TRANSPORT
"""

from __future__ import annotations

import sys
from typing import Any

import torch
from torch import Tensor, nn

import gossip
from algorithms import (
    Algorithm,
    ChocoSGD,
    DecentralizedSGD,
    ExactDiffusion,
    GossipPGA,
    Identity,
    PushDiging,
    PushSumSGD,
    RelaySGD,
    Sample,
    TopK,
)
from gossip.network import Communicator, connect
from gossip.processes import launcher
from gossip.processes.ending import speak_once
from tests.mpi.suits import suits
from topologies import Schedule, Topology, complete, exponential, one_peer_exponential, path, randomized_gossip, ring

STEPS = 7
ALGORITHMS: tuple[Algorithm, ...] = (
    DecentralizedSGD(lr=0.05),
    DecentralizedSGD(lr=0.02, momentum=0.9, nesterov=True, period=3),
    DecentralizedSGD(lr=0.05, order="combine-then-adapt", period=2),
    DecentralizedSGD(lr=0.05, order="combine-then-adapt", momentum=0.9),
    DecentralizedSGD(lr=0.05, order="consensus", momentum=0.5),
    DecentralizedSGD(lr=0.05, order="consensus", period=2),
    ExactDiffusion(lr=0.05),
    PushSumSGD(lr=0.05, momentum=0.5),
    PushSumSGD(lr=0.05, overlap=True),
    PushDiging(lr=0.05),
    RelaySGD(lr=0.05, momentum=0.5),
    GossipPGA(lr=0.05, period=4),
    ChocoSGD(lr=0.05, gamma=0.2, compressor=TopK(k=3)),
    ChocoSGD(lr=0.05, gamma=0.2, compressor=TopK(fraction=0.3), order="overlapped", momentum=0.9),
    ChocoSGD(lr=0.05, gamma=0.9, compressor=Identity(), order="overlapped"),
)


class Quadratic:
    """Element-wise, so that its gradients do not depend on where in memory the parameters lie."""

    def __init__(self, shapes: list[tuple[int, ...]], node: int) -> None:
        random = torch.Generator().manual_seed(node)
        self.targets = [torch.randn(shape, generator=random) for shape in shapes]

    def loss(self, parameters: Any) -> Tensor:
        losses = [((p - t) * (p - t) / 2).sum() for p, t in zip(parameters, self.targets, strict=True)]
        return torch.stack(losses).sum()


def reference(
    algorithm: Algorithm, topology: Schedule, shapes: list[tuple[int, ...]], x: Tensor
) -> list[tuple[Tensor, Tensor, int, Tensor]]:
    """After each step: points and models (n, d), the round, the bytes."""
    network = connect(topology, Communicator(), seed=5)
    problems = [Quadratic(shapes, node) for node in range(topology.n)]
    state = algorithm.start(x, network)
    network.finish_step()
    seen = []
    for _ in range(STEPS):
        gradient = torch.empty_like(x)
        for node, problem in enumerate(problems):
            sizes = [int(torch.Size(shape).numel()) for shape in shapes]
            leaves = [
                part.reshape(shape).clone().requires_grad_()
                for part, shape in zip(state.x[node].split(sizes), shapes, strict=True)
            ]
            gradients = torch.autograd.grad(problem.loss(leaves), leaves)
            gradient[node] = torch.cat([g.reshape(-1) for g in gradients])
        algorithm.advance(state, Sample(gradient, torch.zeros(topology.n)), network)
        seen.append((state.x.clone(), algorithm.model(state).clone(), network.round, network.traffic.bytes.clone()))
    return seen


def compare(algorithm: Algorithm, topology: Schedule, shapes: list[tuple[int, ...]], broadcast: bool) -> None:
    n = topology.n
    node = processes.rank
    starts = [
        [torch.randn(shape, generator=torch.Generator().manual_seed(9 + i)) for shape in shapes] for i in range(n)
    ]
    x = torch.stack([torch.cat([p.reshape(-1) for p in start]) for start in starts])
    expected = reference(algorithm, topology, shapes, x[:1].expand_as(x).clone() if broadcast else x)

    parameters = [nn.Parameter(p.clone()) for p in starts[node]]
    optimizer = gossip.Optimizer(
        parameters,
        algorithm,
        topology,
        broadcast=broadcast,
        seed=5,
        transport=sys.argv[1],  # type: ignore[arg-type]
    )
    problem = Quadratic(shapes, node)
    for step, (points, models, round, sent) in enumerate(expected):
        optimizer.zero_grad()
        problem.loss(parameters).backward()
        optimizer.step()
        found = torch.cat([p.detach().reshape(-1) for p in parameters])
        assert torch.equal(found, points[node]), (algorithm, topology, shapes, step)
        if step % 3 == 1:
            with optimizer.average():
                average = torch.cat([p.detach().reshape(-1) for p in parameters])
                torch.testing.assert_close(average, models.mean(0))
                if n > 2:
                    assert not torch.equal(average, found)
            assert torch.equal(torch.cat([p.detach().reshape(-1) for p in parameters]), points[node])
        assert optimizer.network.round == round
        ahead = getattr(algorithm, "overlap", False) or getattr(algorithm, "order", None) == "consensus"
        assert ahead or int(optimizer.traffic.bytes) == int(sent[node])
    optimizer.close()


processes = launcher.world()
speak_once(processes)
n = processes.size
push = Topology(path(n).graph, "push")
for topology in (ring(n), exponential(n), one_peer_exponential(n), complete(n), path(n), push, randomized_gossip(n)):
    for algorithm in ALGORITHMS:
        if suits(algorithm, topology):
            compare(algorithm, topology, [(3, 2), (), (5,)], broadcast=True)
# Wide enough to be worked on in blocks of columns.
for algorithm in (ALGORITHMS[0], ALGORITHMS[2], ALGORITHMS[4], ALGORITHMS[6], ALGORITHMS[8], ALGORITHMS[13]):
    compare(algorithm, ring(n), [(300, 300), (60_001,)], broadcast=False)
print(f"rank {processes.rank} agrees", flush=True)
processes.close()
