"""On ranks with a node each the server gets no vector that is not masked."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest

from algorithms.blocks.secure.secure_sum import Recovery, secure_sum
from gossip.network import Communicator, connect
from topologies import Topology, ring, with_servers

D = 4096


class Heard:
    """A network that keeps all that this rank's node gets, and can do nothing else than to exchange rows."""

    def __init__(self, network: Any) -> None:
        self.network, self.n, self.nodes = network, network.n, network.nodes
        self.rows: list[np.ndarray] = []

    def neighbors(self, value: Any, *, over: Any) -> Any:
        heard = self.network.neighbors(value, over=over)
        self.rows += [row.numpy().copy() for each in heard for row in each.rows]
        return heard


@pytest.mark.ranks(3, 4)
@pytest.mark.parametrize("recovers", [True, False], ids=["recovers", "all"])
def test_what_the_server_receives(processes: Communicator, recovers: bool) -> None:
    m, server = processes.size - 1, processes.size - 1
    topology = with_servers(ring(m), 1)
    assert isinstance(topology, Topology)
    vectors = (np.arange(m, dtype=np.uint32)[:, None] * 1000 + np.arange(D, dtype=np.uint32)).astype(np.uint32)
    survivors = list(range(m))[-2:]
    recovery = Recovery(2, survivors, survivors) if recovers else None
    network = connect(topology, processes)
    try:
        heard = Heard(network)
        assert list(heard.nodes) == [processes.rank]
        own = np.zeros((1, D), np.uint32) if processes.rank == server else vectors[[processes.rank]]
        total = secure_sum(own, list(range(m)), heard, recovery)  # type: ignore[arg-type]
    finally:
        network.close()
    if processes.rank != server:
        assert total is None
        assert all(len(row) < 4 * D for row in heard.rows)  # clients get nobody's vector
        return
    counted = survivors if recovers else list(range(m))
    np.testing.assert_array_equal(total, vectors[counted].sum(axis=0, dtype=np.uint32))
    masked = [row.view(np.uint32) for row in heard.rows if len(row) == 4 * D]
    assert len(masked) == len(counted)
    for size in range(1, len(masked) + recovers):  # without masks of their own those of all cancel
        for some in combinations(range(len(masked)), size):
            assert_uniform(np.sum([masked[each] for each in some], axis=0, dtype=np.uint32))


def assert_uniform(vector: np.ndarray) -> None:
    """Pearson's test on its bytes: 255 degrees of freedom, five standard deviations."""
    counts = np.bincount(vector.view(np.uint8), minlength=256)
    expected = counts.sum() / 256
    statistic = ((counts - expected) ** 2 / expected).sum()
    assert abs(statistic - 255) < 5 * np.sqrt(2 * 255) + 20
    assert np.mean(vector >> 31) == pytest.approx(0.5, abs=0.05)
