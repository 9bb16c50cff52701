"""MATCHA."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest

from topologies import Matcha, Topology, contraction_per_round, matcha
from topologies.schedules import matcha as matchings


@pytest.mark.parametrize("seed", range(8))
def test_matchings_are_few_and_cover_all_edges(seed: int) -> None:
    topology = Topology(nx.gnp_random_graph(11, 0.2 + 0.1 * seed, seed=seed), connected=False)
    parts = matchings.matchings(topology)
    assert len(parts) <= topology.in_degrees.max(initial=0) + 1
    assert all(len(np.unique(part)) == part.size for part in parts)
    assert {tuple(edge) for part in parts for edge in part.tolist()} == {
        tuple(sorted(edge)) for edge in topology.graph.edges
    }


def test_matcha_spends_its_budget_well() -> None:
    graph = nx.barbell_graph(4, 0)
    schedule = Matcha(graph, 0.5)
    p = schedule.probabilities
    assert p.sum() == pytest.approx(0.5 * len(p), abs=1e-6) and p.min() >= 0 and p.max() <= 1
    bridge = next(j for j, part in enumerate(schedule.matchings) if [3, 4] in part.tolist())
    assert p[bridge] == p.max()  # without the bridge nothing is averaged
    even = sum(0.5 * each.toarray() for each in schedule._laplacians)
    best = sum(q * each.toarray() for q, each in zip(p, schedule._laplacians, strict=True))
    assert np.linalg.eigvalsh(best)[1] > np.linalg.eigvalsh(even)[1] + 1e-3
    samples = np.mean([(W := schedule[t].matrix.toarray()).T @ W for t in range(2000)], axis=0)
    np.testing.assert_allclose(samples, schedule.second_moment(), atol=0.05)
    assert schedule.rho == pytest.approx(np.linalg.norm(schedule.second_moment() - 1 / 8, 2), abs=1e-9)
    assert 1 - contraction_per_round(schedule) == pytest.approx(np.sqrt(schedule.rho))
    whole = Matcha(graph, 1.0)
    assert (whole.probabilities == 1).all() and whole[0].graph.number_of_edges() == 13
    for budget in (0, 1.1):
        with pytest.raises(ValueError, match=r"budget in \(0, 1\]"):
            Matcha(graph, budget)


def test_probabilities_by_cvxpy(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("cvxpy")
    exact = matcha(16).probabilities
    monkeypatch.setattr(matchings, "find_spec", lambda name: None)
    np.testing.assert_allclose(matcha(16).probabilities, exact, atol=5e-3)
