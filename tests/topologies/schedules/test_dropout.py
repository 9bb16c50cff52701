"""Drop-out of edges and nodes, single and in bursts."""

from __future__ import annotations

import numpy as np
import pytest

from topologies import Dropout, complete, edge_dropout, exponential, node_dropout, ring, star


def test_dropout_gives_the_weight_back() -> None:
    base = star(5)
    schedule = edge_dropout(5, "star", 0.5)
    counts = np.zeros(4)
    for t in range(300):
        W = schedule[t].matrix.toarray()
        down = (base.matrix.toarray() != 0) & (W == 0)
        expected = base.matrix.toarray() + np.diag((base.matrix.toarray() * down).sum(axis=1))
        np.testing.assert_allclose(W, np.where(down, 0, expected), atol=1e-15)
        counts += down[0, 1:]
    assert counts / 300 == pytest.approx(np.full(4, 0.5), abs=0.12)
    nodes = node_dropout(6, "complete", 0.5)
    for t in range(20):
        degrees = nodes[t].in_degrees
        up = degrees > 0
        assert set(degrees[up]) <= {up.sum() - 1}


@pytest.mark.parametrize(("fail", "repair"), [(0.1, 0.2), (0.9, 0.6), (0.3, 0.7)])
def test_gilbert_elliott_is_its_markov_chain(fail: float, repair: float) -> None:
    schedule = Dropout(complete(20), fail, repair, seed=2)
    down = np.stack([schedule.down(t) for t in range(120)])  # (rounds, edges)
    before, after = down[:-1], down[1:]
    for state, rate in ((False, fail), (True, 1 - repair)):
        among = after[before == state]
        assert among.mean() == pytest.approx(rate, abs=5 * np.sqrt(0.25 / among.size))
    assert down[0].mean() == pytest.approx(fail / (fail + repair), abs=5 * np.sqrt(0.25 / 190))
    half = Dropout(complete(20), fail, repair, loss=0.5, seed=2)
    lost = np.stack([half.down(t) for t in range(60)])
    assert (down[:60] | ~lost).all() and lost.mean() == pytest.approx(down[:60].mean() / 2, abs=0.03)


def test_no_failures_are_the_base() -> None:
    np.testing.assert_allclose(Dropout(ring(5), 0, 1)[3].matrix.toarray(), ring(5).matrix.toarray())
    for base in (exponential(8), edge_dropout(4)):
        with pytest.raises(ValueError, match="static and symmetric"):
            Dropout(base, 0.1, 0.5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="between 0 and 1, got"):
        edge_dropout(5, probability=1.5)
