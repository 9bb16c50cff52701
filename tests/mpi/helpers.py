"""Runs on ranks, and what they are compared with: the same ones in a single process."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

import gossip
from gossip import SimulatedClock
from gossip.errors import say
from gossip.execution.run import conduct
from gossip.execution.training import Training
from gossip.network import Communicator
from gossip.processes.signals import Signals
from tests.cases import NODES, Case
from tests.mpi.agreement import SHARED
from topologies import Schedule

if TYPE_CHECKING:
    from gossip.processes.mpi import MpiCommunicator

Results = dict[str, NDArray[Any]]


def split_into_hosts(ranks: int) -> MpiCommunicator:
    """All ranks, as if each block of so many were on a host of its own."""
    from mpi4py import MPI

    from gossip.processes.mpi import MpiCommunicator

    return MpiCommunicator(MPI.COMM_WORLD, ranks_per_host=ranks)


def trained(processes: Communicator, **options: Any) -> tuple[torch.Tensor, list[dict[str, Any]], dict[str, Any]]:
    """What `gossip.run` would give on these processes: (models (n, d), history, summary)."""
    return trained_as_parsed(Training(**{"output": None, "report": False} | options), processes)


def trained_as_parsed(
    training: Training, processes: Communicator
) -> tuple[torch.Tensor, list[dict[str, Any]], dict[str, Any]]:
    """The same of what the command line makes."""
    finished = conduct(training, processes, Signals(), warn=say, all_models=True)
    return finished.model, finished.history, finished.summary


def results_of(model: torch.Tensor, history: list[dict[str, Any]]) -> Results:
    """The models and all that is measured, but for times."""
    found = {"model": model.numpy()}
    for measured in sorted(history[0].keys() - {"seconds"}):
        found[measured] = np.array([record[measured] for record in history])
    return found


def run(case: Case, topology: Schedule | None = None, **options: Any) -> Results:
    """`gossip.run` of a case, on all ranks or on those of the communicator among the options."""
    result = gossip.run(
        case.workload((topology.n if topology else NODES) - case.algorithm.auxiliary),  # type: ignore[arg-type]
        topology or case.topology(NODES),
        case.algorithm,
        oracle=case.oracle,
        steps=case.steps,
        clock=None if case.clock is None else SimulatedClock(**case.clock),  # type: ignore[arg-type]
        **{"output": None, "evaluate_every": case.steps // 2} | options,
    )
    return results_of(result.model, result.history)


def kept(name: str, compute: Callable[[], Results]) -> Results:
    """What this gives, which is computed once for all launches; for rank 0."""
    file = Path(os.environ[SHARED]) / f"{blake2b(name.encode(), digest_size=16).hexdigest()}.npz"
    if not file.exists():
        np.savez(file, **compute())  # type: ignore[arg-type]
    with np.load(file) as saved:
        return dict(saved)


@contextmanager
def torch_threads(number: int) -> Iterator[None]:
    """So many threads of torch meanwhile."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def assert_same(together: Results, alone: Results) -> None:
    """The same names, and of each the same bits, all finite."""
    assert together.keys() == alone.keys()
    different = [name for name in alone if not np.array_equal(alone[name], together[name])]
    assert not different
    assert all(np.isfinite(values).all() for values in together.values())
