"""Runs of asynchronous methods on simulated nodes, of which each is as fast as it happens to be."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from algorithms import Full, Sample
from algorithms.asynchronous import Asynchronous
from gossip import SimulatedClock, workloads
from gossip.drivers.events import EventDriver
from gossip.drivers.gradients import NodeGradients
from tests.algorithms.helpers import least_squares, starts
from topologies import Topology

CLOCK = SimulatedClock(0.01, 3e-3, 1e5, exponential_seconds=0.01, slow_nodes=(1,), slowdown=4.0)


def training(
    algorithm: Asynchronous,
    topology: Topology,
    steps: int | None = None,
    seed: int = 0,
    clock: SimulatedClock = CLOCK,
) -> EventDriver:
    """On the least squares of so many nodes."""
    problem = least_squares(topology.n)
    x = torch.from_numpy(starts(problem))
    gradients = NodeGradients(Full(), workloads.LeastSquares(problem.A, problem.b), x)
    programs = algorithm.programs(topology, range(topology.n), x)
    return EventDriver(programs, topology, gradients, clock, seed=seed, steps=steps)


def nothing(nodes: Sequence[int], x: Tensor, steps: Sequence[int]) -> Sample:
    """Gradients of 0, so that nothing but messages moves the models."""
    return Sample(torch.zeros_like(x), x.new_zeros(len(x)))


def averaging(
    algorithm: Asynchronous, topology: Topology, clock: SimulatedClock = CLOCK, steps: int = 20, seed: int = 0
) -> EventDriver:
    """From models of one number, that of the node."""
    x = torch.arange(float(topology.n), dtype=torch.float64)[:, None]
    programs = algorithm.programs(topology, range(topology.n), x)
    return EventDriver(programs, topology, nothing, clock, seed=seed, steps=steps)
