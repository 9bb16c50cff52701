"""Training with `gossip.Optimizer`, one node a rank, has the bits of all nodes in one process, step by step."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import pytest
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
    Layout,
    PushDiging,
    PushSumSGD,
    RelaySGD,
    Sample,
    TopK,
)
from gossip.network import Communicator, connect
from tests.cases import FAMILIES, table
from tests.mpi.suits import suits
from topologies import Schedule, Topology, complete, exponential, one_peer_exponential, path, randomized_gossip, ring

STEPS = 7
SHAPES = ((3, 2), (), (5,))
ALGORITHMS: dict[str, Algorithm] = {
    "dsgd": DecentralizedSGD(lr=0.05),
    "dsgd-nesterov-period": DecentralizedSGD(lr=0.02, momentum=0.9, nesterov=True, period=3),
    "dsgd-combine-then-adapt": DecentralizedSGD(lr=0.05, order="combine-then-adapt", period=2),
    "dsgd-combine-then-adapt-momentum": DecentralizedSGD(lr=0.05, order="combine-then-adapt", momentum=0.9),
    "dsgd-consensus-momentum": DecentralizedSGD(lr=0.05, order="consensus", momentum=0.5),
    "dsgd-consensus-period": DecentralizedSGD(lr=0.05, order="consensus", period=2),
    "exact-diffusion": ExactDiffusion(lr=0.05),
    "push-sum": PushSumSGD(lr=0.05, momentum=0.5),
    "push-sum-overlap": PushSumSGD(lr=0.05, overlap=True),
    "push-diging": PushDiging(lr=0.05),
    "relay": RelaySGD(lr=0.05, momentum=0.5),
    "gossip-pga": GossipPGA(lr=0.05, period=4),
    "choco": ChocoSGD(lr=0.05, gamma=0.2, compressor=TopK(k=3)),
    "choco-overlapped": ChocoSGD(lr=0.05, gamma=0.2, compressor=TopK(fraction=0.3), order="overlapped", momentum=0.9),
    "choco-overlapped-identity": ChocoSGD(lr=0.05, gamma=0.9, compressor=Identity(), order="overlapped"),
}


def push_path(n: int) -> Topology:
    return Topology(path(n).graph, "push")


TOPOLOGIES: dict[str, Callable[[int], Schedule]] = {
    each.__name__: each
    for each in (ring, exponential, one_peer_exponential, complete, path, push_path, randomized_gossip)
}
CASES = {name: case for family in FAMILIES for name, case in table(family).items() if case.for_own_loops}


Shapes = tuple[tuple[int, ...], ...]


class Quadratic:
    """Element-wise, so that its gradients do not depend on where in memory the parameters lie."""

    def __init__(self, shapes: Shapes, node: int) -> None:
        random = torch.Generator().manual_seed(node)
        self.targets = [torch.randn(shape, generator=random) for shape in shapes]

    def gradient(self, x: Tensor) -> Tensor:
        """That of `loss` by hand: two halves of the difference, whose sum has the same bits."""
        return x - flat(self.targets)

    def loss(self, parameters: Any) -> Tensor:
        losses = [((p - t) * (p - t) / 2).sum() for p, t in zip(parameters, self.targets, strict=True)]
        return torch.stack(losses).sum()


def flat(parts: Iterable[Tensor]) -> Tensor:
    return torch.cat([part.detach().reshape(-1) for part in parts])


def starts_of(n: int, shapes: Shapes) -> list[list[Tensor]]:
    """The parameters of each node."""
    return [[torch.randn(shape, generator=torch.Generator().manual_seed(9 + i)) for shape in shapes] for i in range(n)]


def reference(
    algorithm: Algorithm, topology: Schedule, shapes: Shapes, broadcast: bool
) -> list[tuple[Tensor, Tensor, int, Tensor]]:
    """After each step: points and models (n, d), the round, the bytes."""
    network = connect(topology, Communicator(), seed=5)
    layout = Layout({str(i): shape for i, shape in enumerate(shapes)})
    algorithm = algorithm.replicated().for_layout(layout)  # in a loop of one's own every rank is a client
    problems = [Quadratic(shapes, node) for node in range(topology.n)]
    x = torch.stack([flat(start) for start in starts_of(topology.n, shapes)])
    state = algorithm.start(x[:1].expand_as(x).clone() if broadcast else x, network)
    network.finish_step()
    seen = []
    for _ in range(STEPS):
        gradient = torch.stack([problem.gradient(row) for problem, row in zip(problems, state.x, strict=True)])
        algorithm.advance(state, Sample(gradient, torch.zeros(topology.n)), network)
        seen.append((state.x.clone(), algorithm.model(state).clone(), network.round, network.traffic.bytes.clone()))
    return seen


@cache
def expected_of(topology: str, algorithm: str, n: int) -> list[tuple[Tensor, Tensor, int, Tensor]]:
    """That of some transports, which all give the same."""
    return reference(ALGORITHMS[algorithm], TOPOLOGIES[topology](n), SHAPES, True)


def compare(
    processes: Communicator,
    algorithm: Algorithm,
    topology: Schedule,
    shapes: Shapes,
    transport: str,
    *,
    expected: list[tuple[Tensor, Tensor, int, Tensor]] | None = None,
    broadcast: bool = True,
    closely: bool = True,
) -> None:
    """Compare the points after each step; closely, what is averaged and what is sent as well."""
    n, node = topology.n, processes.rank
    expected = expected or reference(algorithm, topology, shapes, broadcast)
    parameters = [nn.Parameter(p) for p in starts_of(n, shapes)[node]]
    optimizer = gossip.Optimizer(
        parameters,
        algorithm,
        topology,
        broadcast=broadcast,
        seed=5,
        transport=transport,  # type: ignore[arg-type]
    )
    problem = Quadratic(shapes, node)
    for step, (points, models, round, sent) in enumerate(expected):
        optimizer.zero_grad()
        problem.loss(parameters).backward()
        optimizer.step()
        found = flat(parameters)
        assert torch.equal(found, points[node]), f"step {step}"
        if step % 3 == 1 and closely:
            with optimizer.average():
                average = flat(parameters)
                torch.testing.assert_close(average, models.mean(0))
                if n > 2:
                    assert not torch.equal(average, found)
            assert torch.equal(flat(parameters), points[node])
        assert optimizer.network.round == round
        ahead = getattr(algorithm, "overlap", False) or getattr(algorithm, "order", None) == "consensus"
        assert ahead or not closely or int(optimizer.traffic.bytes) == int(sent[node])
    optimizer.close()


def pairs(ranks: int) -> list[tuple[str, str]]:
    """(topology, algorithm) where that is valid on as many nodes."""
    return [
        (topology, name)
        for topology, make in TOPOLOGIES.items()
        for name, algorithm in ALGORITHMS.items()
        if suits(algorithm, make(ranks))
    ]


def check(processes: Communicator, topology: str, algorithm: str, transport: str) -> None:
    schedule = TOPOLOGIES[topology](processes.size)
    expected = expected_of(topology, algorithm, processes.size)
    compare(processes, ALGORITHMS[algorithm], schedule, SHAPES, transport, expected=expected)


@pytest.mark.ranks(1)
@pytest.mark.parametrize(("topology", "algorithm"), pairs(1))
def test_alone(processes: Communicator, topology: str, algorithm: str) -> None:
    check(processes, topology, algorithm, "auto")


@pytest.mark.ranks(2)
@pytest.mark.parametrize(("topology", "algorithm"), pairs(2))
@pytest.mark.parametrize("transport", ["shared-memory", "peer-to-peer"])
def test_on_two_ranks(processes: Communicator, topology: str, algorithm: str, transport: str) -> None:
    check(processes, topology, algorithm, transport)


@pytest.mark.ranks(3)
@pytest.mark.parametrize(("topology", "algorithm"), pairs(3))
@pytest.mark.parametrize("transport", ["shared-memory", "peer-to-peer", "neighbor-collective"])
def test_on_three_ranks(processes: Communicator, topology: str, algorithm: str, transport: str) -> None:
    check(processes, topology, algorithm, transport)


WIDE = (
    "dsgd",
    "dsgd-combine-then-adapt",
    "dsgd-consensus-momentum",
    "exact-diffusion",
    "push-sum-overlap",
    "choco-overlapped",
)


def check_wide(processes: Communicator, algorithm: str, transport: str) -> None:
    """Wide enough to be worked on in blocks of columns."""
    shapes = ((300, 300), (60_001,))
    compare(processes, ALGORITHMS[algorithm], ring(processes.size), shapes, transport, broadcast=False)


@pytest.mark.ranks(1, 2, 3)
@pytest.mark.parametrize("algorithm", WIDE)
def test_wide(processes: Communicator, algorithm: str) -> None:
    check_wide(processes, algorithm, "auto" if processes.size == 1 else "shared-memory")


@pytest.mark.ranks(2, 3)
@pytest.mark.parametrize("algorithm", WIDE)
def test_wide_peer_to_peer(processes: Communicator, algorithm: str) -> None:
    check_wide(processes, algorithm, "peer-to-peer")


@pytest.mark.ranks(3)
@pytest.mark.parametrize("algorithm", WIDE)
def test_wide_neighbor_collective(processes: Communicator, algorithm: str) -> None:
    check_wide(processes, algorithm, "neighbor-collective")


@pytest.mark.ranks(3)
@pytest.mark.parametrize("name", CASES)
def test_case(processes: Communicator, name: str) -> None:
    case = CASES[name]
    compare(processes, case.algorithm, case.topology(processes.size), ((4,), (3, 2)), "auto", closely=False)
