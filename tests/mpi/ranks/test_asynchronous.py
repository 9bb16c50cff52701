"""`gossip.run` with asynchronous methods on ranks: in real time, and by a schedule, to the same bits."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from algorithms import Minibatch
from gossip import SimulatedClock
from gossip.network import Communicator
from gossip.workloads import LogisticRegression
from tests.gossip.drivers.test_replay import METHODS
from tests.mpi.agreement import SHARED
from tests.mpi.helpers import Results, assert_same, kept, results_of, trained

CLOCK = SimulatedClock(0.01, 2e-3, 1e6, 0.01, slow_nodes=(1,), slowdown=3.0)
COUNTED = ("gradients_per_node", "queries_per_node", "simulated_seconds", "updates")  # ahead of what is used


def options(name: str) -> dict[str, Any]:
    method, topology = METHODS[name]
    everything: dict[str, Any] = {"workload": LogisticRegression(), "topology": topology, "algorithm": method}
    return everything | {"oracle": Minibatch(8), "steps": 12, "evaluate_every": 5, "seed": 3}


def results(processes: Communicator, name: str, **more: Any) -> Results:
    model, history, _ = trained(processes, **options(name) | more)
    return {key: value for key, value in results_of(model, history).items() if key not in COUNTED}


@pytest.mark.ranks(2, 3, 4)
@pytest.mark.parametrize("name", sorted(METHODS))
def test_a_simulated_run_happens_again(processes: Communicator, name: str) -> None:
    folder = Path(os.environ[SHARED]) / f"schedule-{processes.size}-{name}"

    def alone() -> Results:
        return results(Communicator(), name, clock=CLOCK)

    if processes.rank == 0:
        trained(Communicator(), **options(name) | {"clock": CLOCK, "output": folder})
    processes.barrier()
    (schedule,) = folder.glob("*/*/schedule.npz")
    together = results(processes, name, replay=schedule)
    if processes.rank == 0:
        assert_same(together, kept(f"asynchronous {name}", alone))


@pytest.mark.ranks(3)
@pytest.mark.parametrize("name", sorted(METHODS))
def test_a_real_run_happens_again_in_one_process(processes: Communicator, name: str) -> None:
    folder = Path(os.environ[SHARED]) / f"real-{name}"
    model, history, summary = trained(processes, **options(name) | {"output": folder})
    assert [record["step"] for record in history] == [0, 5, 10, 12]
    assert summary["staleness"] >= 0
    processes.barrier()
    if processes.rank == 0:
        (schedule,) = folder.glob("*/*/schedule.npz")
        again, repeated, _ = trained(Communicator(), **options(name) | {"replay": schedule})
        assert np.array_equal(again.numpy(), model.numpy())
        for one, other in zip(history, repeated, strict=True):
            assert one["test_loss"] == other["test_loss"] and one["train_loss"] == other["train_loss"]
            assert one["bytes_sent_per_node"] == other["bytes_sent_per_node"]


@pytest.mark.ranks(2)
def test_a_simulated_clock_is_for_one_process(processes: Communicator) -> None:
    with pytest.raises(ValueError, match="on a simulated clock runs in one process, and 2 ranks were started"):
        trained(processes, **options("push-sum") | {"clock": CLOCK})


@pytest.mark.ranks(3)
@pytest.mark.parametrize("name", ["ad-psgd-all", "fed-at"])
def test_a_real_run_that_was_resumed_happens_again_as_a_whole(processes: Communicator, name: str) -> None:
    folder = Path(os.environ[SHARED]) / f"resumed-{name}"
    saving = options(name) | {"output": folder, "checkpoint_every": 4}
    trained(processes, **saving | {"steps": 7})
    model, history, _ = trained(processes, **saving | {"resume": "auto"})
    assert [record["step"] for record in history] == [0, 5, 10, 12]
    processes.barrier()
    if processes.rank == 0:
        (schedule,) = folder.glob("*/*/schedule.npz")
        again, past, _ = trained(Communicator(), **options(name) | {"replay": schedule})
        assert np.array_equal(model.numpy(), again.numpy())
        assert [record["train_loss"] for record in past] == [record["train_loss"] for record in history]
