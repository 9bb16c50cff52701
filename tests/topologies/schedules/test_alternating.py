"""Graphs by turns."""

from __future__ import annotations

import numpy as np
import pytest

from topologies import alternating_hierarchical, contraction_per_round, round_robin


def test_hosts_and_graphs_by_turns() -> None:
    schedule = alternating_hierarchical(6, 2)
    np.testing.assert_allclose(schedule[0].matrix.toarray(), np.kron(np.eye(2), np.full((3, 3), 1 / 3)))
    np.testing.assert_allclose(schedule[1].matrix.toarray(), np.kron(np.full((2, 2), 1 / 2), np.eye(3)))
    assert contraction_per_round(schedule) == 1  # two equal hosts
    turns = round_robin(5, ("ring", "star"))
    assert turns[0].in_degrees.max() == 2 and turns[3].in_degrees.max() == 4 and turns.period == 2
    with pytest.raises(ValueError, match="no base graph 'x'"):
        round_robin(5, ("ring", "x"))
