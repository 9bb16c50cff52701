"""Placements: as many nodes for each rank as before, and fewer messages between hosts."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from topologies import Topology, erdos_renyi, exponential, one_peer_exponential, randomized_gossip, ring, torus
from topologies.placement import Placement, blocks, crossing, place

METHODS: tuple[Placement, ...] = ("contiguous", "spectral", "metis", "auto")


@settings(deadline=None)
@given(st.integers(1, 50), st.integers(1, 50))
def test_blocks_are_contiguous_and_even(n: int, ranks: int) -> None:
    if ranks > n:
        with pytest.raises(ValueError, match=f"{ranks} ranks for {n} nodes"):
            blocks(n, ranks)
        return
    parts = blocks(n, ranks)
    assert [node for part in parts for node in part] == list(range(n))
    assert len(parts) == ranks
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 24), st.integers(1, 9), st.integers(1, 4), st.sampled_from(METHODS), st.integers(0, 3))
def test_every_node_has_one_rank_and_ranks_keep_their_sizes(
    n: int, ranks: int, most: int, method: Placement, seed: int
) -> None:
    ranks = min(n, ranks)
    hosts = np.random.default_rng(seed).integers(0, most, ranks)
    hosted = place(exponential(n), hosts, method)
    assert sorted(node for nodes in hosted for node in nodes) == list(range(n))
    assert [len(nodes) for nodes in hosted] == [len(nodes) for nodes in blocks(n, ranks)]
    assert all(list(nodes) == sorted(nodes) for nodes in hosted)


def shuffled_torus(side: int) -> Topology:
    order = np.random.default_rng(0).permutation(side * side)
    return Topology.from_matrix(torus(side * side).matrix.toarray()[np.ix_(order, order)])


@pytest.mark.parametrize("method", ["spectral", "metis", "auto"])
def test_what_was_shuffled_is_found_again(method: Placement) -> None:
    """An 8 x 8 torus on four hosts of four ranks: quarters or strips of it cut 32 edges, random blocks 96 or so."""
    hosts = np.repeat(np.arange(4), 4)
    topology = shuffled_torus(8)
    before = crossing(topology, hosts, blocks(64, 16))
    after = crossing(topology, hosts, place(topology, hosts, method))
    assert before > 150
    assert after <= 90  # messages, two for each edge; the best is 64


@pytest.mark.parametrize("method", ["spectral", "metis"])
def test_two_cliques_with_hosts_in_turn(method: Placement) -> None:
    """Ranks 0, 2 on one host and 1, 3 on the other: each clique gets a host, and only the link between them crosses."""
    order = np.random.default_rng(0).permutation(12)
    topology = Topology.from_matrix(Topology(nx.barbell_graph(6, 0)).matrix.toarray()[np.ix_(order, order)])
    hosts = np.array([0, 1, 0, 1])
    assert crossing(topology, hosts, place(topology, hosts, method)) == 2


def test_crossing_by_hand() -> None:
    hosts = np.array([0, 0, 1])
    assert crossing(ring(6), hosts, blocks(6, 3)) == 4  # edges 3-4 and 5-0, both ways
    assert crossing(ring(6), np.zeros(3, int), blocks(6, 3)) == 0
    # Of 8 nodes on two hosts, steps of 1, 2 and 4 take 2, 4 and 8 messages across, a round each.
    assert crossing(one_peer_exponential(8), np.array([0, 1]), blocks(8, 2)) == pytest.approx(14 / 3)


def test_auto_keeps_contiguous_blocks_that_are_as_good() -> None:
    hosts = np.repeat(np.arange(2), 3)
    assert place(ring(12), hosts, "auto") == blocks(12, 6)
    for topology in (torus(16), erdos_renyi(16), randomized_gossip(16)):
        chosen = place(topology, hosts, "auto")
        assert crossing(topology, hosts, chosen) <= crossing(topology, hosts, blocks(16, 6))


def test_without_pymetis(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pymetis", None)
    monkeypatch.setattr("topologies.placement._has_metis", lambda: False)
    hosts = np.repeat(np.arange(4), 4)
    with pytest.raises(ValueError, match="placement metis needs pymetis: pip install pymetis, or take"):
        place(shuffled_torus(8), hosts, "metis")
    assert crossing(shuffled_torus(8), hosts, place(shuffled_torus(8), hosts)) <= 90
