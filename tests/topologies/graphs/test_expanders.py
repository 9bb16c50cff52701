"""Expanders."""

from __future__ import annotations

import networkx as nx
import numpy as np

from topologies import Topology, ramanujan, star
from topologies.graphs.expanders import is_ramanujan


def test_ramanujan_is_certified() -> None:
    for n, degree in ((12, 3), (50, 4), (64, 6)):
        topology = ramanujan(n, degree, seed=1)
        eigenvalues = np.sort(np.abs(np.linalg.eigvalsh(nx.to_numpy_array(topology.graph))))
        others = eigenvalues[np.abs(eigenvalues - degree) > 1e-9]
        assert others.max() <= 2 * np.sqrt(degree - 1) + 1e-9 and (topology.in_degrees == degree).all()
    assert not is_ramanujan(Topology(nx.circulant_graph(100, [1, 2])))
    assert not is_ramanujan(star(5))
