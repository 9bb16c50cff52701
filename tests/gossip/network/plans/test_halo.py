"""The halo plan against the dense matrix, without MPI."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from gossip.network.plans.halo import HaloPlan
from topologies.placement import blocks


@st.composite
def matrices_and_hosts(draw: st.DrawFn) -> tuple[np.ndarray, list[list[int]]]:
    n = draw(st.integers(1, 14))
    density = draw(st.sampled_from([0.0, 0.1, 0.4, 1.0]))
    random = np.random.default_rng(draw(st.integers(0, 1000)))
    matrix = random.normal(size=(n, n)) * (random.random((n, n)) < density)
    parts = [list(part) for part in blocks(n, draw(st.integers(1, n)))]
    order = draw(st.permutations(range(n)))
    return matrix, draw(st.sampled_from([parts, [sorted(order[node] for node in part) for part in parts]]))


@settings(deadline=None)
@given(matrices_and_hosts())
def test_plans_of_all_ranks_together_are_the_matrix(case: tuple[np.ndarray, list[list[int]]]) -> None:
    matrix, parts = case
    n = len(matrix)
    plans = [HaloPlan.build(csr_array(matrix), parts, rank) for rank in range(len(parts))]
    for rank, plan in enumerate(plans):
        mine = parts[rank]
        hosts = np.array([rank, *plan.sources])[plan.owners]
        assert plan.nodes.tolist() == [parts[h][row] for h, row in zip(hosts, plan.rows, strict=True)]

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
        assert needed == {parts[s][row] for s, rows in plan.receive.items() for row in rows.tolist()}
        for source, rows in plan.receive.items():
            assert plans[source].send[rank].tolist() == rows.tolist()
        for target in plan.send:
            assert rank in plans[target].receive
        for host, row, place in zip(hosts, plan.rows, plan.places, strict=True):
            assert row == (place if host == rank else plan.receive[host][place])
