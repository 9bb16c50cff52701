"""Simulated time, by hand; and what a clock must leave as it is."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch

import gossip
from algorithms import (
    CocodSGD,
    DecentralizedSGD,
    ElasticAveraging,
    FedAvg,
    LocalSGD,
    OverlapLocalSGD,
    Posted,
    TopK,
    elastic_averaging_sgd,
)
from algorithms.star import from_server, to_server
from gossip import SimulatedClock
from gossip.network import Communicator, connect
from gossip.network.clock import WallClock
from gossip.network.clocked import ClockedNetwork
from gossip.workloads import LeastSquares
from tests.algorithms.federated.literal import drawn
from topologies import Schedule, elastic_averaging, ring, star

LATENCY, BANDWIDTH = 0.5, 160.0
ROW = 80  # bytes of a row of ten numbers
RING = 1.5  # seconds of an exchange of these on a ring: 0.5 + 2 * 80 / 160
MEAN = 2.75  # of an average over four nodes: 4 * 0.5 + 2 * 3/4 * 80 / 160


def network_of(topology: Schedule, compute: float = 1.0, auxiliary: int = 0, **options: Any) -> ClockedNetwork:
    clock = SimulatedClock(compute, LATENCY, BANDWIDTH, **options)
    network = connect(topology, Communicator(), seed=3, clock=clock, auxiliary=auxiliary)
    assert isinstance(network, ClockedNetwork)
    return network


def times(network: ClockedNetwork) -> list[float]:
    latest = network.seconds
    now: list[float] = network.times.now.tolist()
    assert latest == max(now)
    return now


def stack(n: int = 4) -> torch.Tensor:
    return torch.ones(n, 10, dtype=torch.float64)


def test_an_exchange_comes_after_the_gradient_and_waits_for_neighbours_only() -> None:
    network = network_of(ring(4), slow_nodes=(1,), slowdown=3.0)
    network.finish_gradients(0)
    assert times(network) == [1, 3, 1, 1]
    network.mix(stack())
    assert times(network) == [3 + RING, 3, 3 + RING, 1 + RING]
    network.neighbors(stack())
    assert times(network) == [5.5, 6, 5.5, 6]  # the first rows of node 1 leave its port at 4


def test_what_was_posted_travels_meanwhile() -> None:
    for compute, passed in ((1.0, RING), (2.0, 2.0)):  # the longer of the two, not their sum
        network, x = network_of(ring(4), compute), stack()
        posted = network.post(x)
        network.finish_gradients(0)
        network.mix(posted)
        assert times(network) == [passed] * 4


def test_an_average_begins_when_the_last_node_comes_and_ends_for_all() -> None:
    network = network_of(star(4), slow_nodes=(2,), slowdown=5.0)
    network.finish_gradients(0)
    network.mean(stack())
    assert times(network) == [5 + MEAN] * 4


def test_a_posted_average_travels_over_several_steps() -> None:
    network, x = network_of(ring(4)), stack()
    posted = network.post_mean(x)
    for step in range(2):
        network.finish_gradients(step)
    network.mean(posted)
    assert times(network) == [MEAN] * 4
    posted = network.post_mean(x)
    for step in range(3):
        network.finish_gradients(step)
    network.mean(posted)
    assert times(network) == [MEAN + 3] * 4


def test_what_is_sent_waits_for_the_port() -> None:
    network, x, y = network_of(ring(4)), stack(), stack()
    posted = network.post(x), network.post(y)
    network.mix(posted[0])
    assert times(network) == [RING] * 4
    network.mix(posted[1])
    assert times(network) == [1 + RING] * 4  # two rows have left by then


def test_compressed_rows_take_as_long_as_they_are() -> None:
    network = network_of(ring(4))
    message = TopK(k=1).compress(stack(), network.draw("test"), sent=torch.tensor([True, False, False, False]))
    sizes = message.nbytes.tolist()
    assert sizes[0] > sizes[1] == 1  # byte, the flag of a silent row
    network.mix(message)
    heard = [LATENCY + 2 * size / BANDWIDTH for size in sizes]
    assert times(network) == [heard[1], heard[0], heard[1], heard[0]]


def test_what_all_hear_of_some_begins_when_the_last_node_comes_and_ends_for_all() -> None:
    network = network_of(ring(4), slow_nodes=(2,), slowdown=5.0)
    network.finish_gradients(0)
    network.gather(stack())
    gathered = 5 + 2 * LATENCY + 3 / 4 * 4 * ROW / BANDWIDTH
    assert times(network) == [gathered] * 4
    network.rows(stack(), [1, 3])
    some = gathered + 2 * LATENCY + 3 / 4 * 2 * ROW / BANDWIDTH
    assert times(network) == [some] * 4
    message = TopK(k=1).compress(stack(), network.draw("test"), sent=torch.tensor([True, False, False, False]))
    network.mean(message)
    size = int(message.nbytes.sum())
    assert times(network) == [some + 2 * LATENCY + 3 / 4 * size / BANDWIDTH] * 4


def test_a_server_waits_for_those_that_take_part_only() -> None:
    network = network_of(ring(4), slow_nodes=(1,), slowdown=9.0)
    network.finish_gradients(0)
    network.mix(stack(), over=to_server(4, 3, [0, 2]))
    arrived = 1 + LATENCY + 2 * ROW / BANDWIDTH  # through one port
    assert times(network) == [1, 9, 1, arrived]
    network.mix(stack(), over=from_server(4, 3, [0, 2]))
    told = arrived + LATENCY + 2 * ROW / BANDWIDTH
    assert times(network) == [told, 9, told, arrived]


def test_nodes_without_data_compute_nothing() -> None:
    network = network_of(ring(4), auxiliary=1)
    network.finish_gradients(0)
    assert times(network) == [1, 1, 1, 0]


def test_idle_nodes_compute_nothing() -> None:
    network = network_of(ring(4), slow_nodes=(1,), slowdown=3.0)
    network.finish_gradients(0, idle=[1, 2])
    assert times(network) == [1, 0, 0, 1]
    network.finish_gradients(1, idle=[])
    assert times(network) == [2, 3, 1, 2]


def test_a_federated_round_takes_its_slowest_client_and_the_way_up_and_down() -> None:
    random = np.random.default_rng(0)
    workload = LeastSquares(random.normal(size=(4, 3, 10)), random.normal(size=(4, 3)))
    clock = SimulatedClock(1.0, LATENCY, BANDWIDTH, slow_nodes=(1,), slowdown=7.0)
    algorithm = FedAvg(0.01, local_steps=2, participation=2)
    result = gossip.run(workload, ring(4), algorithm, steps=20, clock=clock, evaluate_every=2, output=None)
    taking_part = [np.flatnonzero(drawn((1.0,) * 4, 2, "uniform", "sampled")(r)) for r in range(11)]
    assert {1 in clients for clients in taking_part[:10]} == {True, False}
    way = LATENCY + 2 * ROW / BANDWIDTH  # two rows share the server's port, in both directions
    wanted = [LATENCY + 4 * ROW / BANDWIDTH + way]  # all clients send where they start
    for clients in taking_part[:10]:
        wanted.append(wanted[-1] + 2 * (7.0 if 1 in clients else 1.0) + 2 * way)
    assert [record["simulated_seconds"] for record in result.history] == pytest.approx(wanted)


def test_computing_times_are_drawn_for_each_node_and_step() -> None:
    def drawn(n: int, steps: int) -> np.ndarray:
        network = network_of(ring(n), 2.0, exponential_seconds=0.5)
        passed = [network.times.now]
        for step in range(steps):
            network.finish_gradients(step)
            times(network)
            passed.append(network.times.now)
        return np.diff(passed, axis=0)

    one, other = drawn(4, 500), drawn(5, 3)
    assert np.array_equal(one[:3], other[:, :4])
    assert one.min() >= 2
    assert one.mean() == pytest.approx(2.5, rel=0.05)
    assert one.std() == pytest.approx(0.5, rel=0.1)
    assert len(np.unique(one)) == one.size


def test_measuring_takes_no_time() -> None:
    network = network_of(ring(4))
    x = stack()
    posted = network.post_mean(x)
    with network.unrecorded():
        network.mean(posted)
        network.mean(x)
        network.mix(x)
    assert times(network) == [0] * 4
    network.mean(posted)
    assert times(network) == [MEAN] * 4


def test_many_events_are_settled_on_the_way() -> None:
    network = network_of(ring(4))
    for _ in range(1500):
        network.mix(stack())
    assert times(network) == [1500 * RING] * 4


def test_a_saved_clock_goes_on_with_what_was_under_way() -> None:
    def begin() -> tuple[ClockedNetwork, torch.Tensor, torch.Tensor]:
        return network_of(ring(4)), stack(), stack()

    def end(network: ClockedNetwork, x: Posted[torch.Tensor], y: Posted[torch.Tensor]) -> list[float]:
        network.finish_gradients(1)
        network.mix(x)
        network.mean(y)
        network.mean(y)
        return times(network)

    network, x, y = begin()
    network.finish_gradients(0)
    average, posted = network.post_mean(y), network.post(x)
    saved = json.loads(json.dumps(network.clock_state()))
    sent = network.traffic
    wanted = end(network, posted, average)

    resumed, x, y = begin()
    resumed.finish_gradients(7)
    resumed.load_clock_state(saved)
    average, posted = Posted(y), Posted(x)
    resumed.resume(0, sent, [posted], [average])
    assert resumed.posted == ([posted], [average])
    assert end(resumed, posted, average) == wanted
    assert resumed.posted == ([], [])


def test_a_saved_wall_clock_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("time.perf_counter", lambda: now)
    network = connect(ring(2), Communicator())
    now = 103.0
    with network.unrecorded():
        now = 110.0
    now = 111.0
    assert network.seconds == 4
    again = connect(ring(2), Communicator())
    again.load_clock_state(network.clock_state())
    now = 112.0
    assert again.seconds == 5
    assert WallClock().seconds == 0


# Whole runs


def squares(n: int = 4) -> LeastSquares:
    random = np.random.default_rng(0)
    return LeastSquares(random.normal(size=(n, 12, 10)), random.normal(size=(n, 12)))


@pytest.mark.parametrize(
    ("algorithm", "seconds"),
    [
        (DecentralizedSGD(lr=0.1), 12 * (1 + RING)),
        (DecentralizedSGD(lr=0.1, order="consensus"), 12 * RING),
        (DecentralizedSGD(lr=0.1, period=3), 12 + 4 * RING),
        (LocalSGD(lr=0.1, period=1), 12 * (1 + MEAN)),
        (LocalSGD(lr=0.1, period=4), 12 + 3 * MEAN),
        (CocodSGD(lr=0.1, period=4), 12),
        (CocodSGD(lr=0.1, period=2), 2 + 5 * MEAN),  # the averages follow each other; the last one is not waited for
        (OverlapLocalSGD(lr=0.1, period=3), 12 + MEAN),  # and the start waits for one
        (ElasticAveraging(lr=0.1, period=4), 12 + MEAN),
        (ElasticAveraging(lr=0.1, period=4, overlap=False), 12 + 4 * MEAN),
    ],
    ids=str,
)
def test_simulated_seconds_of_algorithms(algorithm: Any, seconds: float) -> None:
    clock = SimulatedClock(1.0, LATENCY, BANDWIDTH)
    arguments = {"steps": 12, "output": None}
    often, seldom = (
        gossip.run(squares(), ring(4), algorithm, clock=clock, evaluate_every=every, **arguments) for every in (1, 12)
    )
    assert often.summary["simulated_seconds"] == seldom.summary["simulated_seconds"]
    assert often.summary["simulated_seconds"] == pytest.approx(seconds, rel=1e-12)
    passed = [record["simulated_seconds"] for record in often.history]
    assert passed == sorted(passed)
    without = gossip.run(squares(), ring(4), algorithm, **arguments)
    assert torch.equal(without.model, often.model)
    assert "simulated_seconds" not in without.summary
    assert without.summary["bytes_sent_per_node"] == often.summary["bytes_sent_per_node"]


def test_an_anchor_on_a_node_of_its_own_sends_ahead_what_the_others_will_need() -> None:
    workload, clock = squares(3), SimulatedClock(1.0, LATENCY, BANDWIDTH)
    topology, algorithm = elastic_averaging(4), elastic_averaging_sgd(0.1, period=4)
    summary = gossip.run(workload, topology, algorithm, steps=12, output=None, clock=clock).summary
    assert summary["simulated_seconds"] == 12 + LATENCY + 3 * ROW / BANDWIDTH  # when the anchor has all it is sent


def test_no_steps_take_no_time() -> None:
    clock = SimulatedClock(1.0, LATENCY, BANDWIDTH)
    result = gossip.run(squares(), ring(4), DecentralizedSGD(), steps=0, output=None, clock=clock)
    assert [record["simulated_seconds"] for record in result.history] == [0]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"compute_seconds": -1.0}, "SimulatedClock: compute_seconds = -1.0 is not allowed; it must be >= 0"),
        ({"latency": float("nan")}, "latency = nan is not allowed"),
        ({"bandwidth": 0.0}, "bandwidth = 0.0 is not allowed; it must be > 0"),
        ({"exponential_seconds": float("inf")}, "exponential_seconds = inf"),
        ({"slowdown": 0.5}, "slowdown = 0.5 is not allowed; it must be >= 1"),
        ({"slow_nodes": (0, 4)}, r"slow_nodes = \(0, 4\) is not allowed; it must be among the nodes with data, 0 to 3"),
        ({"slow_nodes": (-1,)}, r"slow_nodes = \(-1,\)"),
    ],
)
def test_what_no_clock_can_be(options: dict[str, Any], says: str) -> None:
    given = {"compute_seconds": 1.0, "latency": 0.0, "bandwidth": 1.0} | options
    with pytest.raises(ValueError, match=says):
        gossip.run(squares(), ring(4), DecentralizedSGD(), steps=1, output=None, clock=SimulatedClock(**given))
