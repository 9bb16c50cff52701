"""EquiTopo."""

from __future__ import annotations

import numpy as np
import pytest

from topologies import contraction_per_round, od_equi_dyn, ou_equi_dyn, spectral_gap, u_equi_static


def test_equidyn() -> None:
    n = 7
    for t in range(20):
        W = od_equi_dyn(n, eta=0.5)[t].matrix.toarray()
        (u,) = {(i - int(np.flatnonzero(W[i] * (np.arange(n) != i))[0])) % n for i in range(n)}
        np.testing.assert_allclose(W, 0.5 * np.eye(n) + 0.5 * (6 / 7 * np.roll(np.eye(n), u, axis=0) + np.eye(n) / 7))
        V = ou_equi_dyn(n, eta=1.0)[t]
        assert V.symmetric and V.in_degrees.max() == 1 and V.in_degrees.sum() >= 4
        assert {round(value, 12) for value in V.matrix.data} <= {round(6 / 7, 12), round(1 / 7, 12), 1.0}
    # E[W^T W] = (a^2 + b^2) I + 2 a b E[S], E[S] = (n J - I) / (n - 1), a + b = 1
    b = 0.5 * 6 / 7
    rate = (1 - b) ** 2 + b**2 - 2 * (1 - b) * b / (n - 1)
    assert 1 - contraction_per_round(od_equi_dyn(n)) == pytest.approx(np.sqrt(rate), abs=0.05)
    assert spectral_gap(u_equi_static(64, 6)) > 0.15
    with pytest.raises(ValueError, match=r"eta in \(0, 1\], got 0"):
        od_equi_dyn(5, eta=0)
