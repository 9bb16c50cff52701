"""Who may do what with the tensors of a sample: an algorithm may keep them, and changes none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from algorithms import Sample
from gossip import SimulatedClock
from gossip.network import Communicator, connect
from gossip.workloads import Workload
from tests.cases import FAMILIES, NODES, table
from topologies import with_servers

CASES = {f"{family}/{name}": case for family in FAMILIES for name, case in table(family).items()}
STEPS = 7


@pytest.mark.parametrize("name", CASES)
def test_samples_stay_as_they_are(name: str) -> None:
    case, random = CASES[name], np.random.default_rng(0)
    topology = case.topology(NODES)
    with_data = topology.n - case.algorithm.auxiliary
    workload: Any = case.workload(with_data)
    if isinstance(workload, Workload):
        workload = workload.shard(with_data, 0)
    algorithm = case.algorithm.for_layout(workload.layout).for_examples(range(1, with_data + 1))
    clock: Any = case.clock
    n, d = topology.n + algorithm.servers, workload.layout.d
    network = connect(
        with_servers(topology, algorithm.servers), Communicator(), clock=SimulatedClock(**clock) if clock else None
    )
    state = algorithm.start(torch.from_numpy(random.normal(size=(n, d))), network)
    network.finish_step()
    samples, copies = [], []
    for step in range(STEPS):
        algorithm.post(state, network)
        network.finish_gradients(step)
        gradient, loss = torch.from_numpy(random.normal(size=(n, d))), torch.from_numpy(random.random(n))
        sample = Sample(gradient, loss, losses=lambda x, row, batch: x.square().sum(dim=1))
        samples.append(sample)
        copies.append(Sample(sample.gradient.clone(), sample.loss.clone()))
        algorithm.advance(state, sample, network)
        for kept, copy in zip(samples, copies, strict=True):
            assert torch.equal(kept.gradient, copy.gradient) and torch.equal(kept.loss, copy.loss)
