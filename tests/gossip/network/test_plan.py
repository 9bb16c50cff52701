"""The halo plan against the dense matrix, without MPI."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from gossip.network.plan import HaloPlan, blocks


@st.composite
def matrices_and_ranks(draw: st.DrawFn) -> tuple[np.ndarray, int]:
    n = draw(st.integers(1, 14))
    density = draw(st.sampled_from([0.0, 0.1, 0.4, 1.0]))
    random = np.random.default_rng(draw(st.integers(0, 1000)))
    matrix = random.normal(size=(n, n)) * (random.random((n, n)) < density)
    return matrix, draw(st.integers(1, n))


@settings(deadline=None)
@given(matrices_and_ranks())
def test_plans_of_all_ranks_together_are_the_matrix(case: tuple[np.ndarray, int]) -> None:
    matrix, ranks = case
    n = len(matrix)
    parts = blocks(n, ranks)
    plans = [HaloPlan.build(csr_array(matrix), parts, rank) for rank in range(ranks)]
    for rank, plan in enumerate(plans):
        mine = list(parts[rank])
        hosts = np.array([rank, *plan.sources])[plan.owners]
        assert plan.nodes.tolist() == [parts[h].start + row for h, row in zip(hosts, plan.rows, strict=True)]

        dense = np.zeros((len(mine), n))
        for i in range(len(mine)):
            terms = slice(plan.indptr[i], plan.indptr[i + 1])
            assert (np.diff(plan.nodes[terms]) > 0).all()  # the order they are summed in
            dense[i, plan.nodes[terms]] = plan.weights[terms]
        assert np.array_equal(dense, matrix[mine])
        off_diagonal = matrix - np.diag(np.diag(matrix))
        assert plan.out_degree.tolist() == (off_diagonal[:, mine] != 0).sum(axis=0).tolist()

        # What one rank sends is, row by row, what the other receives, and all that it needs.
        needed = {j for i in mine for j in range(n) if matrix[i, j] != 0} - set(mine)
        assert needed == {parts[s].start + row for s, rows in plan.receive.items() for row in rows.tolist()}
        for source, rows in plan.receive.items():
            assert plans[source].send[rank].tolist() == rows.tolist()
        for target in plan.send:
            assert rank in plans[target].receive
        for host, row, place in zip(hosts, plan.rows, plan.places, strict=True):
            assert row == (place if host == rank else plan.receive[host][place])


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
