"""Ranks that are asked for different things are refused, on all of them, with the rank and what differs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import networkx as nx
import numpy as np
import pytest
import torch

import gossip
from algorithms import DecentralizedSGD, Full, Minibatch
from gossip.errors import UsageError
from gossip.network import Communicator
from gossip.workloads import Averaging, LogisticRegression
from tests.mpi.own_loop import model
from topologies import Topology, path, ring

SAME = "every rank must ask for the same"


def drawn(rank: int) -> LogisticRegression:
    random = np.random.default_rng(rank)
    return LogisticRegression(random.standard_normal((20, 3)), np.arange(20) % 2)


def squares() -> list[torch.nn.Parameter]:
    """Two of one shape."""
    torch.manual_seed(0)
    return [torch.nn.Parameter(torch.randn(3, 3)) for _ in range(2)]


RUNS: dict[str, tuple[Callable[[int], dict[str, Any]], str]] = {
    "topology": (
        lambda rank: {"topology": Topology(nx.gnp_random_graph(6, 0.9, seed=rank))},
        "another topology than rank 0, in topology.weights; a random graph needs a seed",
    ),
    "graph": (
        lambda rank: {"topology": nx.path_graph(6) if rank == 2 else nx.cycle_graph(6)},
        "rank 2 has another topology than rank 0, in topology.weights; a random graph needs a seed",
    ),
    "workload": (
        lambda rank: {"workload": drawn(rank)},
        "2 ranks, rank 1 the first, have another workload than rank 0, in workload.features; data that are drawn",
    ),
    "algorithm": (
        lambda rank: {"algorithm": DecentralizedSGD(lr=0.1 + 0.1 * (rank == 1))},
        f"rank 1 has another algorithm than rank 0: algorithm.lr is 0.2 there and 0.1 on rank 0; {SAME}",
    ),
    "kind": (
        lambda rank: {"oracle": Minibatch(batch=2) if rank else Full()},
        "2 ranks, rank 1 the first, have another oracle than rank 0: oracle is Minibatch there and Full on rank 0",
    ),
    "seed": (lambda rank: {"seed": rank}, "another seed than rank 0: seed is 1 there and 0 on rank 0"),
    "steps": (lambda rank: {"steps": 2 + (rank == 2)}, "another number of steps than rank 0: steps is 3 there and 2"),
    "start": (
        lambda rank: {"start": torch.full((10,), float(rank))},
        "another start than rank 0; a start",
    ),
    "transport": (
        lambda rank: {"transport": "peer-to-peer" if rank == 1 else "auto"},
        "rank 1 has another transport than rank 0: transport is peer-to-peer there and auto on rank 0",
    ),
}


@pytest.mark.ranks(3)
@pytest.mark.parametrize("what", RUNS)
def test_runs(processes: Communicator, what: str) -> None:
    differing, says = RUNS[what]
    alike: dict[str, Any] = {
        "workload": Averaging(),
        "topology": ring(6),
        "algorithm": DecentralizedSGD(lr=0.1),
        "steps": 2,
        "output": None,
        "progress": processes.rank == 5,
    }
    with pytest.raises(UsageError) as refused:
        gossip.run(**alike | differing(processes.rank))
    assert says in str(refused.value)
    assert len(set(processes.gather(str(refused.value)))) == 1


OPTIMIZERS: dict[str, tuple[Callable[[int], dict[str, Any]], str]] = {
    "topology": (
        lambda rank: {"topology": path(3) if rank == 2 else ring(3)},
        "rank 2 has another topology than rank 0: topology is path there and ring on rank 0; a random graph needs",
    ),
    "name": (lambda rank: {"topology": ring(3) if rank else "ring"}, "another topology than rank 0"),
    "algorithm": (lambda rank: {"algorithm": DecentralizedSGD(momentum=0.1 * rank)}, "algorithm.momentum is 0.1 there"),
    "seed": (lambda rank: {"seed": rank}, "another seed than rank 0"),
    "transport": (lambda rank: {"transport": "peer-to-peer" if rank else "auto"}, "another transport than rank 0"),
    "broadcast": (lambda rank: {"broadcast": rank > 1}, "rank 2 has another broadcast than rank 0"),
    "local": (
        lambda rank: {"local": torch.optim.SGD if rank else torch.optim.AdamW},
        "another local optimizer than rank 0",
    ),
    "order": (
        lambda rank: {"params": squares()[:: -1 if rank == 1 else 1]},
        "rank 1 has its parameters in another order than rank 0: their values are the same ones in other places",
    ),
    "names": (
        lambda rank: {"params": [*zip("ab" if rank < 2 else "ba", squares(), strict=True)]},
        "rank 2 has its parameters in another order than rank 0: number 0 is b, not a",
    ),
    "frozen": (
        lambda rank: {"params": [p.requires_grad_(rank == 0 or i > 0) for i, p in enumerate(squares())]},
        "rank 1 has parameters or buffers of other types than rank 0: number 0 is torch.float32, frozen, not",
    ),
}


@pytest.mark.ranks(3)
@pytest.mark.parametrize("what", OPTIMIZERS)
def test_optimizers(processes: Communicator, what: str) -> None:
    differing, says = OPTIMIZERS[what]
    alike: dict[str, Any] = {"params": model(0).parameters(), "algorithm": DecentralizedSGD(), "topology": "ring"}
    with pytest.raises(UsageError) as refused:
        gossip.Optimizer(**alike | differing(processes.rank))
    assert says in str(refused.value)
    assert len(set(processes.gather(str(refused.value)))) == 1
