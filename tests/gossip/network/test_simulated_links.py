"""Networks that are graphs, links that fail, and computing times from files, against closed forms."""

from __future__ import annotations

from pathlib import Path

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gossip
from algorithms import DecentralizedSGD
from gossip import SimulatedNetwork
from gossip.errors import DataError, UsageError
from gossip.network.simulation.compute import Compute, Trace
from gossip.network.simulation.description import Level
from gossip.network.simulation.failures import Cable, Failures, Outage
from gossip.network.simulation.graph import Link, LinkGraph
from gossip.network.simulation.times import NetworkTimes
from gossip.options.command_line import parse
from gossip.workloads import LeastSquares
from topologies import complete, path, ring, star

LATENCY, BANDWIDTH, BYTES = 0.5, 100.0, 50
MESSAGE = BYTES / BANDWIDTH  # seconds on a link
NAMES = "abcdefgh"


def cable(one: str, other: str, latency: float = LATENCY, bandwidth: float = BANDWIDTH, overhead: float = 0.0) -> Link:
    return Link(one, other, latency, bandwidth, overhead)


def switched(n: int) -> LinkGraph:
    return LinkGraph(tuple(NAMES[:n]), tuple(cable(node, "switch", LATENCY / 2) for node in NAMES[:n]))


def times(graph: LinkGraph, failures: Failures | None = None) -> NetworkTimes:
    network = SimulatedNetwork(graph=graph, failures=failures or Failures())
    return NetworkTimes(network, len(graph.nodes), 0, seed=1)


def seconds(nanoseconds: np.ndarray) -> list[float]:
    assert nanoseconds.dtype == np.int64
    return (nanoseconds / 1e9).tolist()


@settings(deadline=None, max_examples=10)
@given(st.integers(2, 8))
def test_nodes_on_one_switch_are_a_network_of_one_level(n: int) -> None:
    level = NetworkTimes(SimulatedNetwork((Level(LATENCY, BANDWIDTH),)), n, 0, seed=1)
    graph = times(switched(n))
    for topology in (complete(n), star(n), path(n)):
        assert seconds(graph.send(topology, BYTES)) == seconds(level.send(topology, BYTES))
    assert seconds(graph.reduce(BYTES)) == seconds(level.reduce(BYTES))
    assert seconds(graph.gather(BYTES, range(n))) == seconds(level.gather(BYTES, range(n)))


def test_messages_take_the_way_of_the_shortest_latency() -> None:
    graph = LinkGraph(("a", "b"), (cable("a", "b", 1.0), cable("a", "s", 0.1), cable("s", "b", 0.2, BANDWIDTH / 2)))
    assert seconds(times(graph).send(path(2), BYTES)) == [0.3 + 2 * MESSAGE] * 2  # as the slowest link is half as fast
    level = LinkGraph(("a", "b"), (cable("a", "s", 0.5), cable("s", "b", 0.5), cable("a", "b", 1.0)))
    assert times(level)._links.way(0, 1) == ([4], 10**9)  # of two of the same latency, that over one link


def test_ways_that_share_a_link_wait_for_each_other() -> None:
    """Two hosts of two nodes each, with one cable between the hosts."""
    fast = [cable(node, host, 0.0, 1e9) for node, host in ("ax", "bx", "cy", "dy")]
    graph = LinkGraph(tuple("abcd"), (*fast, cable("x", "y")))
    there = seconds(times(graph).send(complete(4), BYTES))
    assert max(there) == pytest.approx(LATENCY + 4 * MESSAGE)
    assert seconds(times(graph).send(path(4), BYTES))[1:3] == pytest.approx([LATENCY + MESSAGE] * 2)


def test_one_way_links() -> None:
    around = tuple(cable(*ends) for ends in ("ab", "bs", "st", "ta"))
    graph = LinkGraph(("a", "b"), around, directed=True)
    assert seconds(times(graph).send(path(2), BYTES)) == pytest.approx([3 * LATENCY + MESSAGE, LATENCY + MESSAGE])
    with pytest.raises(ValueError, match="no way over links between a and b"):
        LinkGraph(("a", "b"), (cable("a", "b"),), directed=True)


def test_each_message_has_an_overhead() -> None:
    network = SimulatedNetwork((Level(LATENCY, BANDWIDTH, overhead=0.25),))
    each = NetworkTimes(network, 5, 0, seed=1)
    assert seconds(each.send(ring(5), BYTES)) == [LATENCY + 2 * (0.25 + MESSAGE)] * 5
    each = NetworkTimes(network, 5, 0, seed=1)
    assert seconds(each.reduce(BYTES)) == pytest.approx([8 * (LATENCY + 0.25 + MESSAGE / 5)] * 5)
    linked = LinkGraph(("a", "b"), (cable("a", "b", overhead=0.25),))
    assert seconds(times(linked).send(path(2), BYTES)) == [LATENCY + 0.25 + MESSAGE] * 2


def test_an_oversubscribed_uplink_of_a_region_carries_all_that_crosses() -> None:
    """Two regions of two hosts of two nodes; all else is fast, and 16 messages leave each region, at a quarter."""
    levels = (Level(0.0, 1e9, members=2), Level(0.0, 1e9, members=2), Level(LATENCY, BANDWIDTH, up=BANDWIDTH / 4))
    there = seconds(NetworkTimes(SimulatedNetwork(levels), 8, 0, seed=1).send(complete(8), BYTES))
    assert max(there) == pytest.approx(LATENCY + 16 * 4 * MESSAGE)


def test_sums_along_the_tree_send_whole_vectors_up_and_down() -> None:
    """Of 8 nodes, three times up, and three times down, where node 0 sends to three others one after the other."""
    each = NetworkTimes(SimulatedNetwork((Level(LATENCY, BANDWIDTH),), sums="tree"), 8, 0, seed=1)
    one = LATENCY + MESSAGE
    assert seconds(each.reduce(BYTES))[4] == 3 * one + one
    there = seconds(NetworkTimes(SimulatedNetwork((Level(LATENCY, BANDWIDTH),), sums="tree"), 8, 0, 1).reduce(BYTES))
    assert there[0] == 3 * one and max(there) == 6 * one
    each = NetworkTimes(SimulatedNetwork((Level(LATENCY, BANDWIDTH),), sums="tree"), 4, 0, seed=1)
    # Nodes 1 and 3 send a row, node 2 two of them; it hears the other two, and 1 and 3 the other three.
    assert seconds(each.gather(BYTES, range(4))) == pytest.approx(
        [
            2 * LATENCY + 3 * MESSAGE,
            3 * LATENCY + (3 + 2 + 3) * MESSAGE,
            3 * LATENCY + 5 * MESSAGE,
            4 * LATENCY + (5 + 3) * MESSAGE,
        ]
    )


# What is down


def test_what_comes_to_a_link_that_is_down_waits_and_what_it_carries_goes_on_later() -> None:
    known = Cable([Outage(1.0, 2.0, level=0, member=0), Outage(4.0, 4.5, level=0, member=0)], Failures(), 0, 0)

    def carried(start: float, needed: float) -> tuple[float, float]:
        began, ended = known.carried(round(start * 1e9), round(needed * 1e9))
        return began / 1e9, ended / 1e9

    assert carried(0.0, 1.0) == (0.0, 1.0)
    assert carried(0.5, 1.0) == (0.5, 2.5)
    assert carried(1.0, 1.0) == (2.0, 3.0)
    assert carried(1.7, 2.5) == (2.0, 5.0)
    assert carried(0.0, 10.0) == (0.0, 11.5)
    assert carried(1.5, 0.0) == (2.0, 2.0)


@pytest.mark.parametrize("graph", [False, True])
def test_only_messages_over_that_link_are_late(graph: bool) -> None:
    if graph:
        found = times(switched(4), Failures([Outage(0.0, 3.0, link=("a", "switch"))]))
    else:
        failures = Failures([Outage(0.0, 3.0, level=0, member=0)])
        found = NetworkTimes(SimulatedNetwork((Level(LATENCY, BANDWIDTH),), failures=failures), 4, 0, seed=1)
    there = seconds(found.send(path(4), BYTES))
    assert there[0] == pytest.approx(3.0 + LATENCY + MESSAGE)  # what node 1 sends it leaves the switch later
    assert there[1] == pytest.approx(3.0 + LATENCY + MESSAGE)
    assert there[3] == LATENCY + MESSAGE
    found = times(switched(4), Failures([Outage(1.0, 3.0, link=("c", "switch"))]))
    carrying = MESSAGE / 4
    # The links are used from 0 and from 0.625 on, for 0.125 each time, and would be from 1.25 on: they are up at 3.
    assert seconds(found.reduce(BYTES)) == pytest.approx([6 * (LATENCY + carrying) + 3 - 1.25] * 4)


def test_drawn_failures_are_there_for_the_share_that_they_should() -> None:
    """Up for a mean of 1 / rate and down for a mean of repair: down for repair / (repair + 1 / rate) of the time."""
    rate, repair = 0.5, 0.4
    each = [Cable((), Failures(rate=rate, repair=repair), 3, number) for number in range(40)]
    needed = 10**11
    taken = np.mean([one.carried(0, needed)[1] for one in each]) / needed
    assert taken == pytest.approx(1 + rate * repair, rel=0.03)
    again = Cable((), Failures(rate=rate, repair=repair), 3, 7)
    late = again.carried(10**11, 10**9)  # asked in another order
    assert again.carried(0, needed) == each[7].carried(0, needed) and late == each[7].carried(10**11, 10**9)
    assert len({one.carried(0, needed) for one in each}) == 40


def test_failures_that_never_happen_change_no_bit() -> None:
    one, other = times(switched(5)), times(switched(5), Failures([Outage(1e6, 1e7, link=("a", "switch"))]))
    for each in (one, other):
        each.wait(each.send(ring(5), BYTES))
        each.wait(each.reduce(333))
        each.wait(each.gather(17, [1, 2]))
    assert one.now.tolist() == other.now.tolist() and one.free.tolist() == other.free.tolist()


# Files

VERTICES = {"n0": {}, "n1": {}, "s": {"kind": "switch"}}
EDGES = {("n0", "s"): {"latency": "50 us", "bandwidth": "1 Gbit/s"}, ("n1", "s"): {"latency": 5e-5, "bandwidth": 125e6}}


def written(file: Path, vertices: dict, edges: dict, kind: type[nx.Graph] = nx.Graph) -> Path:
    graph = kind()
    graph.add_nodes_from(vertices.items())
    graph.add_edges_from((*ends, about) for ends, about in edges.items())
    nx.write_graphml(graph, file)
    return file


def test_a_network_in_graphml(tmp_path: Path) -> None:
    file = written(tmp_path / "two.graphml", VERTICES, EDGES)
    links = (cable("n0", "s", 5e-5, 125e6), cable("n1", "s", 5e-5, 125e6))
    expected = SimulatedNetwork(graph=LinkGraph(("n0", "n1"), links))
    assert parse(["--network", str(file)], 1).network == expected
    yaml = tmp_path / "two.yaml"
    yaml.write_text(
        "graph: two.graphml\ncompute: {seconds: 0.5}\nfailures:\n  rate: 0.1\n  repair: 2.0\n"
        "  outages: [{link: [n0, s], start: 1.0, end: 2.0}]\n"
    )
    failures = Failures((Outage(1.0, 2.0, link=("n0", "s")),), 0.1, 2.0)
    assert SimulatedNetwork.of(yaml) == SimulatedNetwork((), Compute(0.5), expected.graph, failures)
    timed = {"10": {"seconds": 0.25}, "9": {"seconds": "3 ms"}, "s": {"kind": "switch"}}
    edges = {("10", "s"): EDGES["n0", "s"], ("s", "9"): EDGES["n1", "s"]}
    found = SimulatedNetwork.of(written(tmp_path / "timed.graphml", timed, edges))
    assert found.graph is not None and found.graph.nodes == ("9", "10")
    assert found.compute.nanoseconds(2, 0, 5).tolist() == [3_000_000, 250_000_000]


@pytest.mark.parametrize(
    ("vertices", "edges", "says"),
    [
        (
            {},
            {("n1", "s"): {"latency": 1}},
            "edge n1-s has no bandwidth; it has latency; give it one, such as 1 Gbit/s",
        ),
        ({}, {("n1", "s"): {"bandwidth": 1}}, "edge n1-s has no latency"),
        (
            {},
            {("n1", "s"): {"latency": "1 km", "bandwidth": 1}},
            "latency of edge n1-s = '1 km' is no number, alone or",
        ),
        ({}, {("n1", "s"): {"latency": 1, "bandwidth": "1 Gbps"}}, "with one of the units B/s"),
        (
            {},
            {("n1", "s"): {"latency": -1, "bandwidth": 1}},
            "the link n1-s has the latency -1.0; allowed is >= 0, in seconds",
        ),
        ({"s": {"kind": "router"}}, {}, "kind = 'router' of vertex s is none of node, host, switch"),
        ({"n1": {"seconds": 1.0}}, {}, "node n1 has seconds and node n0 has none"),
        ({"s": {"kind": "host", "seconds": 1.0}}, {}, "vertex s is a host, which computes nothing"),
        ({"n2": {}}, {}, "no way over links between n0 and n2; add a link"),
        ({"s": {"kind": "switch"}, "n0": {"kind": "host"}, "n1": {"kind": "host"}}, {}, "no vertex is a node"),
        ({}, {("n0", "n0"): EDGES["n0", "s"]}, "the link n0-n0 leads to where it begins"),
    ],
)
def test_graphs_that_are_no_network(tmp_path: Path, vertices: dict, edges: dict, says: str) -> None:
    file = written(tmp_path / "network.graphml", VERTICES | vertices, EDGES | edges)
    with pytest.raises(UsageError) as raised:
        parse(["--network", str(file)], 1)
    assert says in str(raised.value) and str(file) in str(raised.value) and "\n" not in str(raised.value)


def test_files_that_are_no_graphml(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot read the network"):
        parse(["--network", str(tmp_path / "none.graphml")], 1)
    file = tmp_path / "network.graphml"
    for text in ("", "<graphml>", "levels: []", "<graphml></graphml>", "\0"):
        file.write_text(text)
        with pytest.raises(UsageError, match=r"is no GraphML"):
            parse(["--network", str(file)], 1)


def run(network: SimulatedNetwork | Path, n: int = 3) -> gossip.Result:
    random = np.random.default_rng(1)
    workload = LeastSquares(random.normal(size=(n, 6, 4)), random.normal(size=(n, 6)))
    return gossip.run(workload, ring(n), DecentralizedSGD(lr=0.05), steps=4, network=network, output=None)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("failures: {rate: 1.0}", "Failures: repair = 0.0 is not allowed; it must be > 0 with a rate"),
        ("failures: {outages: [{start: 1, end: 1, level: 0, member: 0}]}", "end = 1 is not allowed"),
        ("failures: {outages: [{start: 1, end: .inf, level: 0, member: 0}]}", "end = inf is not allowed"),
        ("failures: {outages: [{start: 1, end: 2}]}", "link = None is not allowed; it must be given, or else level"),
        ("failures: {outages: [{start: 1, end: 2, level: 0}]}", "it must be given together with level"),
        ("failures: {outages: [{start: 1, end: 2, level: 0, member: 3}]}", "no member 3 at level 0 that could be down"),
        ("failures: {outages: [{start: 1, end: 2, link: [a, b]}]}", "is one of a graph; on levels give level"),
        ("failures: {outages: 3}", "outages = 3 is not a list"),
        ("sums: star", "sums = 'star' is not allowed; it must be one of ring, tree"),
        ("failures: {often: 3}", "it has outages, rate, repair"),
        ("graph: none.graphml", "left out beside a graph"),
        ("compute: {trace: columns.csv, seconds: 1.0}", "seconds = 1.0 is not allowed; it must be left out beside"),
        ("compute: {trace: columns.csv}", "the computing times are those of 2 nodes, and 3 nodes have data"),
        ("compute: {trace: bad.csv}", "bad.csv, line 2: 'x' is no number of seconds"),
        ("compute: {trace: ragged.csv}", "ragged.csv, line 3: it has 1 columns, and the first line has 2"),
        ("compute: {trace: empty.csv}", "empty.csv has no computing times"),
        ("compute: {trace: gap.csv}", "gap.csv has no seconds of node 1, but of node 2"),
    ],
)
def test_what_no_network_can_have(tmp_path: Path, text: str, says: str) -> None:
    written(tmp_path / "none.graphml", VERTICES, EDGES)
    for name, lines in {
        "columns": "1,2\n3,4\n",
        "bad": "1,2\n3,x\n",
        "ragged": "a,b\n1,2\n3\n",
        "empty": "a,b\n",
        "gap": "node,seconds\n0,1\n2,1\n2,3\n",
    }.items():
        (tmp_path / f"{name}.csv").write_text(lines)
    file = tmp_path / "network.yaml"
    file.write_text(f"levels: [{{latency: 0, bandwidth: 1}}]\n{text}\n")
    with pytest.raises(ValueError) as raised:
        run(file)
    assert says in str(raised.value) and "\n" not in str(raised.value)


def test_a_graph_has_as_many_nodes_as_the_run() -> None:
    with pytest.raises(UsageError, match="the graph of the network has 4 nodes, and the run has 3, servers included"):
        run(SimulatedNetwork(graph=switched(4)))
    with pytest.raises(UsageError, match="there is no link between a and b that could be down"):
        run(SimulatedNetwork(graph=switched(3), failures=Failures([Outage(0, 1, link=("a", "b"))])))


def test_a_run_on_a_graph_with_failures_tells_the_time() -> None:
    row = 4 * 8  # bytes of four numbers
    whole = run(SimulatedNetwork(graph=switched(3), compute=Compute(1.0))).summary["simulated_seconds"]
    assert whole == pytest.approx(4 * (1.0 + LATENCY + 2 * row / BANDWIDTH))
    late = SimulatedNetwork(
        graph=switched(3), compute=Compute(1.0), failures=Failures([Outage(0.5, 2.0, link=("b", "switch"))])
    )
    assert run(late).summary["simulated_seconds"] == pytest.approx(whole + 1.0)


def test_computing_times_of_a_trace(tmp_path: Path) -> None:
    (tmp_path / "columns.csv").write_text("one, other\n0.1,0.2\n0.3,0.4\n0.5,0.6\n")
    (tmp_path / "pairs.csv").write_text("node,seconds\n1,0.2\n0,0.1\n1,0.4\n0,0.3\n\n0,0.5\n1,0.6\n")
    for name in ("columns.csv", "pairs.csv"):
        compute = Compute(trace=Trace.read(tmp_path / name), slow={1: 2.0})
        found = [compute.nanoseconds(2, seed=0, step=step) / 1e9 for step in range(4)]
        assert np.array(found).tolist() == [[0.1, 0.4], [0.3, 0.8], [0.5, 1.2], [0.1, 0.4]]  # it begins again
    assert np.mean([compute.nanoseconds(2, 0, step)[0] for step in range(300)]) == pytest.approx(0.3e9)
    with pytest.raises(DataError, match="cannot read the trace"):
        Trace.read(tmp_path / "none.csv")


def test_a_run_that_is_longer_than_a_trace_says_so() -> None:
    def traced(*lengths: int) -> SimulatedNetwork:
        return SimulatedNetwork((Level(0.0, 1e9),), Compute(trace=Trace([np.ones(length) for length in lengths])))

    with pytest.warns(UserWarning, match="has 3 steps of node 1, and the run 4: it begins again where it ends"):
        assert run(traced(5, 3, 4)).summary["simulated_seconds"] == pytest.approx(4.0)
    run(traced(4, 5, 6))
    run(traced(1, 1, 1))  # always the same
