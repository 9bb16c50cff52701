"""Nodes that share the cores of a host, against closed forms."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gossip
from algorithms import DecentralizedSGD
from gossip import SimulatedNetwork
from gossip.network.simulation.description import Compute, Level
from gossip.network.simulation.host import Host
from gossip.network.simulation.times import NetworkTimes
from gossip.workloads import LeastSquares
from topologies import complete, ring

SECOND, FAST = 10**9, Level(0.0, math.inf)
NODES, CORES = st.integers(2, 12), st.integers(1, 5)


def times(n: int, host: Host | None, link: Level = FAST, compute: float = 0.0, **more: Any) -> NetworkTimes:
    return NetworkTimes(SimulatedNetwork((link,), Compute(compute), host=host, **more), n, 0, seed=1)


@settings(deadline=None, max_examples=30)
@given(NODES, CORES, st.integers(1, 4))
def test_gradients_take_turns_on_the_cores_of_their_host(n: int, cores: int, nodes: int) -> None:
    """The j-th node of a host is ready after floor(j / cores) + 1 gradients, step after step."""
    found = times(n, Host(cores, nodes), compute=0.5)
    for step in (1, 2):
        found.compute(step)
    turns = [(node % nodes) // cores + 1 for node in range(n)]
    each = [min(nodes, n - node // nodes * nodes) for node in range(n)]  # nodes on the host
    if all(count % cores == 0 for count in each):  # or else a core is free for the next step before others
        rounds = [count // cores for count in each]
        expected = [(before + turn) * SECOND // 2 for before, turn in zip(rounds, turns, strict=True)]
        assert found.now.tolist() == expected
    assert found.now.max() >= max(math.ceil(2 * count / cores) for count in each) * SECOND // 2


@settings(deadline=None, max_examples=30)
@given(NODES, CORES)
def test_messages_take_a_core_at_either_end(n: int, cores: int) -> None:
    """Between all pairs on one host, where links take no time: 2 n (n - 1) pieces of work for its cores."""
    host = Host(cores, message=1e-3, byte=1e-6)
    there = times(n, host).send(complete(n), 1000)
    assert there.max() == math.ceil(2 * n * (n - 1) / cores) * 2_000_000


def test_handling_hides_behind_a_slow_link_and_a_fast_link_behind_it() -> None:
    """Two hosts with a core each, which take 2 ms for each message that they send or hear. Node 1 hears what node 0
    sends, which comes at once, before it sends itself."""
    host = Host(1, nodes=1, message=1e-3, byte=1e-6)
    for bandwidth, carried in ((1e9, 2_000_000), (1e5, 10_000_000)):
        there = times(2, host, Level(0.0, bandwidth)).send(ring(2), 1000)
        assert there.tolist() == [2_000_000 + carried, carried]


def test_cores_that_compute_handle_messages_later() -> None:
    """Node 1 is slow; its core has no time for what node 0 sends until it is ready, and then hears before it sends."""
    network = SimulatedNetwork((FAST,), Compute(0.1, slow={1: 3.0}), host=Host(1, nodes=1, message=0.01))
    found = NetworkTimes(network, 2, 0, seed=1)
    found.compute(1)
    there = found.send(ring(2), 1)
    assert there.tolist() == [320_000_000, 310_000_000]


@pytest.mark.parametrize("sums", ["ring", "tree"])
def test_sums(sums: Any) -> None:
    """Of two nodes on one core: around a ring two rounds, in each of which both send and hear; along the tree two
    messages, one after the other, which take the core twice each, at the same time as they travel."""
    there = times(2, Host(1, message=1e-3), sums=sums).reduce(8)
    assert there.max() == (8_000_000 if sums == "ring" else 4_000_000)


def test_many_cores_for_nothing_are_none() -> None:
    told = set()
    for host in (None, Host(8)):
        found = times(8, host, Level(1e-3, 1e6, overhead=1e-4), compute=0.01)
        for step in range(3):
            found.compute(step)
            found.wait(found.send(ring(8), 1000))
            found.wait(found.reduce(1000))
        told.add(tuple(found.now.tolist()))
    assert len(told) == 1


def test_a_run_in_parts_tells_the_same_time(tmp_path: Any) -> None:
    """What the cores still have to do is in checkpoints; and a file says it as Python does."""
    file = tmp_path / "shared.yaml"
    file.write_text(
        "levels: [{latency: 1.0e-3, bandwidth: 1.0e+5}]\ncompute: {seconds: 0.01}\n"
        "host: {cores: 2, nodes: 3, message: 1.0e-3, byte: 1.0e-5}\n"
    )
    shared = SimulatedNetwork((Level(1e-3, 1e5),), Compute(0.01), host=Host(2, 3, 1e-3, 1e-5))
    random = np.random.default_rng(0)
    workload = LeastSquares(random.normal(size=(6, 5, 4)), random.normal(size=(6, 5)))

    def run(steps: int, **more: Any) -> gossip.Result:
        algorithm = DecentralizedSGD(lr=0.01, order="consensus")
        return gossip.run(workload, ring(6), algorithm, steps=steps, report=False, output=tmp_path, **more)

    whole = run(6, network=shared)
    part = run(3, network=file, checkpoint_every=3)
    again = run(6, network=file, resume=part.directory)
    assert whole.history[-1]["simulated_seconds"] == again.history[-1]["simulated_seconds"] > 0.06


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("{cores: 0}", "cores = 0 is not allowed; it must be a whole number, >= 1"),
        ("{cores: 2, byte: -1.0}", "byte = -1.0 is not allowed; it must be >= 0, in seconds"),
        ("{cores: 2, nodes: 0}", "nodes = 0 is not allowed"),
        ("{nodes: 2}", "host of a network: missing 1 required positional argument: 'cores'"),
        ("{cores: 2, speed: 3}", "is no host of a network; it has cores, nodes, message, byte"),
        ("3", "is no host of a network"),
    ],
)
def test_wrong_hosts_take_one_line(said: str, reason: str, tmp_path: Any) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text(f"levels: [{{latency: 0.0, bandwidth: 1.0}}]\nhost: {said}\n")
    with pytest.raises(ValueError) as error:
        SimulatedNetwork.of(file)
    assert reason in str(error.value)
