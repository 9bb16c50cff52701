"""Graphs of cliques."""

from __future__ import annotations

import numpy as np

from topologies import complete


def test_complete_is_the_exact_average() -> None:
    np.testing.assert_allclose(complete(7).matrix.toarray(), np.full((7, 7), 1 / 7), rtol=1e-14)
