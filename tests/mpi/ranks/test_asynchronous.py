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
from tests.gossip.drivers.test_replay import METHODS, oracle_of
from tests.mpi.agreement import SHARED
from tests.mpi.helpers import Results, assert_same, kept, results_of, trained

CLOCK = SimulatedClock(0.01, 2e-3, 1e6, 0.01, slow_nodes=(1,), slowdown=3.0)
SOME = ("a2cid2", "ad-psgd-compressed", "fed-at", "push-sum")
TIMED = ("simulated_seconds", "updates_per_second")


def options(name: str) -> dict[str, Any]:
    method, topology = METHODS[name]
    everything: dict[str, Any] = {"workload": LogisticRegression(), "topology": topology, "algorithm": method}
    return everything | {"oracle": oracle_of(name, Minibatch(8)), "steps": 12, "evaluate_every": 5, "seed": 3}


def results(processes: Communicator, name: str, **more: Any) -> Results:
    model, history, _ = trained(processes, **options(name) | more)
    return {key: value for key, value in results_of(model, history).items() if key not in TIMED}


@pytest.mark.ranks(3)
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


@pytest.mark.ranks(2, 4)
@pytest.mark.parametrize("name", SOME)
def test_a_simulated_run_happens_again_on_other_ranks(processes: Communicator, name: str) -> None:
    test_a_simulated_run_happens_again(processes, name)


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


@pytest.mark.ranks(2, 3)
@pytest.mark.parametrize("name", SOME)
def test_a_real_run_goes_on_from_its_checkpoint(processes: Communicator, name: str) -> None:
    """On as many ranks, or on others; its schedule is that of both parts, and gives the models."""
    folder = Path(os.environ[SHARED]) / f"saved-{name}"
    if processes.size == 2:  # which run first
        trained(processes, **options(name) | {"output": folder, "steps": 7, "checkpoint_every": 4})
        processes.barrier()
    model, history, _ = trained(
        processes, **options(name) | {"output": folder, "resume": "auto", "steps": 4 * processes.size + 1}
    )
    assert [record["step"] for record in history][:2] == [0, 5]
    processes.barrier()
    if processes.rank == 0:
        (schedule,) = folder.glob("*/*/schedule.npz")
        again, _, _ = trained(Communicator(), **options(name) | {"replay": schedule, "steps": 30})
        assert np.array_equal(again.numpy(), model.numpy())


@pytest.mark.ranks(2)
def test_a_simulated_clock_is_for_one_process(processes: Communicator) -> None:
    with pytest.raises(ValueError, match="on a simulated clock runs in one process, and 2 ranks were started"):
        trained(processes, **options("push-sum") | {"clock": CLOCK})
