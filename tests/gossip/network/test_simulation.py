"""Times on simulated networks, against closed forms."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import gossip
from algorithms import ChocoSGD, DecentralizedSGD, LocalSGD, TopK
from gossip import SimulatedNetwork
from gossip.errors import DataError, UsageError
from gossip.network.simulation.description import NETWORKS, Compute, Level
from gossip.network.simulation.times import NetworkTimes
from gossip.options.command_line import parse
from gossip.workloads import LeastSquares
from topologies import complete, exponential, path, ring, star

LATENCY, BANDWIDTH, BYTES = 0.5, 100.0, 50
MESSAGE = BYTES / BANDWIDTH  # seconds on a link


def times(n: int, *levels: Level, compute: Compute = Compute()) -> NetworkTimes:  # noqa: B008
    return NetworkTimes(SimulatedNetwork(levels or (Level(LATENCY, BANDWIDTH),), compute), n, 0, seed=1)


def seconds(nanoseconds: np.ndarray) -> list[float]:
    assert nanoseconds.dtype == np.int64
    return (nanoseconds / 1e9).tolist()


@settings(deadline=None, max_examples=30)
@given(st.integers(3, 20))
def test_on_a_ring_both_messages_leave_one_after_the_other(n: int) -> None:
    assert seconds(times(n).send(ring(n), BYTES)) == [LATENCY + 2 * MESSAGE] * n


@settings(deadline=None, max_examples=30)
@given(st.integers(2, 12))
def test_messages_between_all_pairs_come_one_after_the_other(n: int) -> None:
    assert seconds(times(n).send(complete(n), BYTES)) == [LATENCY + (n - 1) * MESSAGE] * n
    degree = int(exponential(n).out_degrees[0])
    assert seconds(times(n).send(exponential(n), BYTES)) == pytest.approx([LATENCY + degree * MESSAGE] * n)


@settings(deadline=None, max_examples=30)
@given(st.integers(2, 12))
def test_the_centre_of_a_star_sends_and_hears_one_after_the_other(n: int) -> None:
    there = seconds(times(n).send(star(n), BYTES))
    assert there[0] == LATENCY + (n - 1) * MESSAGE
    assert there[1:] == [LATENCY + k * MESSAGE for k in range(1, n)]


def test_what_is_sent_later_waits_for_the_link() -> None:
    found = times(4)
    found.send(ring(4), BYTES)
    assert seconds(found.send(ring(4), BYTES)) == [LATENCY + 4 * MESSAGE] * 4


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 12), st.integers(0, 1000))
def test_all_reduce_along_a_ring(n: int, size: int) -> None:
    expected = 2 * (n - 1) * (LATENCY + size / n / BANDWIDTH)
    assert seconds(times(n).reduce(size)) == pytest.approx([expected] * n, abs=1e-7)
    expected = (n - 1) * (LATENCY + size / BANDWIDTH)
    assert seconds(times(n).gather(size, range(n))) == pytest.approx([expected] * n, abs=1e-7)


def test_nodes_of_a_host_share_its_links() -> None:
    """Two hosts of two nodes: within a host messages are fast, and between hosts they share one link."""
    levels = Level(0.1, 1000.0, members=2), Level(LATENCY, BANDWIDTH)
    there = seconds(times(4, *levels).send(complete(4), BYTES))
    # Both nodes of a host send to both of the other one, and hear as many through one link.
    assert max(there) == LATENCY + 4 * MESSAGE
    assert seconds(times(2, *levels).send(complete(2), BYTES)) == [0.15] * 2
    # Around a ring, a host's link carries one message a round, and the way between hosts is the slowest.
    assert seconds(times(4, *levels).reduce(400)) == pytest.approx([6 * (LATENCY + 100 / BANDWIDTH)] * 4)


def test_up_and_down_differ() -> None:
    there = seconds(times(3, Level(0.0, 1.0, up=10.0, down=100.0)).send(ring(3), 50))
    assert there == [10.0] * 3  # two messages of 5 seconds go up; each comes down while it goes up
    there = seconds(times(4, Level(0.0, 1.0, up=100.0, down=10.0)).send(star(4), 50))
    assert there[0] == 15.0


def test_a_message_is_passed_on_while_it_comes() -> None:
    """Over links of the same bandwidth it takes no longer than over one of them."""
    levels = Level(0.0, 10.0, members=1), Level(0.0, 10.0, members=1), Level(0.0, 10.0)
    assert seconds(times(2, *levels).send(complete(2), 50)) == [5.0, 5.0]


@settings(deadline=None, max_examples=30)
@given(st.integers(2, 9), st.integers(1, 12))
def test_a_delay_travels_along_a_path_by_one_node_a_round(n: int, rounds: int) -> None:
    found = times(n, Level(LATENCY, math.inf), compute=Compute(1.0))
    found.now[0] += 7 * 10**9
    for step in range(rounds):
        found.compute(step)
        found.wait(found.send(path(n), BYTES))
    usual = rounds * (1.0 + LATENCY)
    late = [usual + (7.0 if node == 0 else 7.0 if node <= rounds else 0.0) for node in range(n)]
    # A node that is late itself need not wait for its neighbours, so the first is ahead of them by a latency.
    assert found.now[1:] / 1e9 == pytest.approx(late[1:], abs=LATENCY + 1e-9)
    assert found.now[-1] / 1e9 == pytest.approx(usual if n - 1 > rounds else usual + 7.0, abs=LATENCY + 1e-9)


def test_all_wait_for_the_slowest_of_exponentials() -> None:
    """The expected maximum of n exponential variables is the n-th harmonic number."""
    n, steps = 4, 2000
    found = times(n, Level(0.0, math.inf), compute=Compute(1.0, "exponential", 0.5))
    for step in range(steps):
        found.compute(step)
        found.wait(found.reduce(0))
    harmonic = sum(1 / k for k in range(1, n + 1))
    assert found.seconds / steps == pytest.approx(1 + 0.5 * harmonic, rel=0.03)


@pytest.mark.parametrize(
    ("compute", "mean"),
    [
        (Compute(2.0), 2.0),
        (Compute(2.0, "exponential", 0.5), 3.0),
        (Compute(2.0, "lognormal", 0.3), 2.0 * math.exp(0.045)),
        (Compute(2.0, "pareto", 0.25), 2.0 * 4 / 3),
        (Compute(2.0, "two_state", 0.1), 2.0 * 1.9),
        (Compute(2.0, slow={1: 3.0}), 2.0 * 1.2),
    ],
)
def test_computing_times(compute: Compute, mean: float) -> None:
    drawn = np.array([compute.nanoseconds(10, seed=0, step=step) for step in range(1000)])
    assert drawn.mean() / 1e9 == pytest.approx(mean, rel=0.02)
    assert (drawn[0] == compute.nanoseconds(10, seed=0, step=0)).all()


def run(**options: Any) -> gossip.Result:
    random = np.random.default_rng(1)
    workload = LeastSquares(random.normal(size=(8, 6, 4)), random.normal(size=(8, 6)))
    algorithm = options.pop("algorithm", DecentralizedSGD(lr=0.05))
    return gossip.run(workload, ring(8), algorithm, steps=6, evaluate_every=2, output=None, **options)


@pytest.mark.parametrize("algorithm", [LocalSGD(lr=0.05, period=2), ChocoSGD(lr=0.05, gamma=0.3, compressor=TopK(k=1))])
def test_a_run_tells_the_time_and_is_no_other_run(algorithm: Any) -> None:
    plain, simulated = run(algorithm=algorithm), run(algorithm=algorithm, network="wan")
    assert torch.equal(plain.model, simulated.model)
    told = [record["simulated_seconds"] for record in simulated.history]
    assert told[0] <= told[1] < told[2] < told[3] and told[1] >= 0.02
    assert [record["simulated_seconds"] for record in run(algorithm=algorithm, network="wan").history] == told


def test_time_in_whole_runs_is_that_of_the_closed_form() -> None:
    """Eight nodes on a homogeneous ring: every step takes the gradient, and two messages behind each other."""
    network = SimulatedNetwork((Level(1e-3, 1e4),), Compute(0.01))
    told = [record["simulated_seconds"] for record in run(network=network).history]
    row = 4 * 8  # bytes of four numbers
    assert told == pytest.approx([step * (0.01 + 1e-3 + 2 * row / 1e4) for step in (0, 2, 4, 6)], abs=1e-8)


def test_a_run_that_is_resumed_goes_on_in_time(tmp_path: Path) -> None:
    whole = run(network="edge").history[-1]["simulated_seconds"]
    random = np.random.default_rng(1)
    workload = LeastSquares(random.normal(size=(8, 6, 4)), random.normal(size=(8, 6)))
    for steps in (4, 6):
        result = gossip.run(
            workload, ring(8), DecentralizedSGD(lr=0.05), steps=steps, evaluate_every=2, output=tmp_path,
            checkpoint_every=2, resume="auto", network="edge", report=False,
        )  # fmt: skip
    assert result.history[-1]["simulated_seconds"] == whole


def test_networks_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "two.yaml"
    file.write_text(
        "levels:\n- {latency: 0.001, bandwidth: 1.0e+9, members: 4}\n- {latency: 0.02, bandwidth: 1.0e+8, up: 5.0e+7}\n"
        "compute: {seconds: 0.1, jitter: pareto, spread: 0.3, slow: {2: 3.0}}\n"
    )
    expected = SimulatedNetwork((Level(0.001, 1e9, 4), Level(0.02, 1e8, up=5e7)), Compute(0.1, "pareto", 0.3, {2: 3.0}))
    assert SimulatedNetwork.of(file) == expected
    assert parse(["--network", str(file)], 1).network == expected
    assert parse(["--network", "lan"], 1).network == NETWORKS["lan"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[]", "a network has levels"),
        ("levels: [{latency: 1}]", "missing 1 required positional argument: 'bandwidth'"),
        ("levels: [{latency: 1, bandwidth: 1e9}]", "bandwidth = '1e9' is not a number; in YAML"),
        ("levels: [{latency: 1, bandwidth: 0}]", "Level: bandwidth = 0 is not allowed; it must be > 0"),
        ("levels: [{latency: 1, bandwith: 1}]", "it has latency, bandwidth, members, up, down"),
        ("levels: [{latency: 1, bandwidth: 1}, {latency: 1, bandwidth: 1}]", "members = None"),
        ("levels: [{latency: 1, bandwidth: 1}]\ncompute: {jitter: much}", "jitter = 'much'"),
        ("levels: []", "levels = () is not allowed; it must be one or more"),
        ("level: []", "a network has levels"),
        ("a: [", "is no YAML"),
        ("a: " + 3000 * "[" + 3000 * "]", "to a depth of more than 50"),
    ],
)
def test_files_that_are_no_network(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "network.yaml"
    file.write_text(text)
    with pytest.raises(UsageError) as raised:
        parse(["--network", str(file)], 1)
    assert says in str(raised.value) and "\n" not in str(raised.value)


def test_networks_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match="there is no network 'wlan'; it may be lan, hpc, wan, edge, or a YAML or GraphML file"
    ):
        parse(["--network", "wlan"], 1)
    with pytest.raises(DataError, match="cannot read the network"):
        parse(["--network", str(tmp_path / "none.yaml")], 1)
    with pytest.raises(UsageError, match="give one of them"):
        run(network="lan", clock=gossip.SimulatedClock(1, 1, 1))
    with pytest.raises(UsageError, match="nodes with data, 0 to 7"):
        run(network=SimulatedNetwork((Level(0, 1),), Compute(1, slow={8: 2.0})))


def test_the_configuration_of_a_run_says_the_network(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    workload = LeastSquares(random.normal(size=(4, 6, 4)), random.normal(size=(4, 6)))
    result = gossip.run(workload, ring(4), DecentralizedSGD(), steps=1, network="edge", output=tmp_path)
    assert result.directory is not None
    assert "bandwidth: 2500000.0" in (result.directory / "config.yaml").read_text()
    assert json.loads((result.directory / "summary.json").read_text())["simulated_seconds"] > 0.03
