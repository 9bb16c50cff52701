"""Mixing matrices with which averaging comes to no end."""

import networkx as nx
import numpy as np
import pytest

from topologies import Links, Topology, complete, exponential, path, ring, star
from topologies.spectra.convergence import no_consensus
from topologies.spectra.measures import consensus_curve, measure, rounds_until_consensus


def weighted_ring(weight: float) -> Topology:
    graph = nx.cycle_graph(4)
    nx.set_edge_attributes(graph, weight, "weight")
    return Topology(graph, "edge_weights", name="speeds")


@pytest.mark.parametrize(
    "topology", [ring(5), exponential(8), path(4), star(6, "fdla"), complete(1), weighted_ring(0.4)]
)
def test_these_average(topology: Topology) -> None:
    assert no_consensus(topology) is None
    assert measure(topology, 10, Links(1, 1)).rounds_to_consensus is not None


@pytest.mark.parametrize(("weight", "second"), [(10, -39), (1, -3)])
def test_weights_that_are_too_large(weight: float, second: float) -> None:
    topology = weighted_ring(weight)
    reason = no_consensus(topology)
    assert reason is not None and f"second eigenvalue {second}," in reason
    assert f"gives {2 * weight} to others, more than 1: scale the weights, or take metropolis" in reason
    measured = measure(topology, 10, Links(1, 1))
    assert measured.rounds_to_consensus is None and measured.seconds_to_consensus is None
    assert measured.effective_neighbors is None and measured.spectral_gap == pytest.approx(1 - abs(second))
    assert np.isfinite(consensus_curve(topology)).all()


def test_what_goes_back_and_forth_or_around() -> None:
    swap = Topology.from_matrix([[0, 1], [1, 0]])
    around = Topology.from_matrix(np.roll(np.eye(3), 1, axis=0))
    assert "second eigenvalue -1," in str(no_consensus(swap)) and "(I + W) / 2 has none" in str(no_consensus(swap))
    assert "second eigenvalue of modulus 1," in str(no_consensus(around))
    assert no_consensus(Topology.from_matrix((np.eye(3) + np.roll(np.eye(3), 1, axis=0)) / 2)) is None


def test_nan_is_no_consensus() -> None:
    assert rounds_until_consensus(np.array([1.0, np.nan])) is None
    assert rounds_until_consensus(np.array([1.0, 1e-7])) == 1
