"""The study of Cooperative SGD: its theory by another way, and its machinery at a tiny size."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from gossip.reproduce.error_floor import BETA, ETA, NODES, SIGMA, Bowl, Floors, GrowingNoise, bound, mixture, theory
from gossip.reproduce.studies import cooperative
from gossip.reproduce.studies.cooperative import ALPHAS, METHODS, PERIODS, ZETAS, run
from topologies import Topology, ring


def of_modes(lam: np.ndarray, period: int) -> Floors:
    """The floors where all nodes are alike and the noise does not grow: a geometric series for each eigenvalue."""
    c2, kick = (1 - ETA) ** 2, (ETA * SIGMA) ** 2
    gained = kick * (1 - c2 ** np.arange(period)) / (1 - c2)  # by local steps since the last averaging
    after = lam**2 * kick * (1 - c2**period) / (1 - c2) / (1 - lam**2 * c2**period)
    modes = np.array([np.mean(c2 ** np.arange(period) * each + gained) for each in after])
    return Floors(modes[np.argmax(lam)] / NODES / 2, modes.mean() / 2)


@pytest.mark.parametrize("period", PERIODS)
@pytest.mark.parametrize("topology", [mixture(0.8), ring(NODES)], ids=["mixture", "ring"])
def test_the_theory_is_a_geometric_series(topology: Topology, period: int) -> None:
    W = topology.matrix.toarray()
    wanted = of_modes(np.linalg.eigvalsh(W), period)
    growing = theory(W, period)
    floors = theory(W, period, beta=0.0)
    assert floors.average == pytest.approx(wanted.average, rel=1e-6)
    assert floors.own == pytest.approx(wanted.own, rel=1e-6)
    assert growing.average > floors.average and growing.own > floors.own


def test_half_of_the_network_term_is_the_disagreement() -> None:
    zeta, period = 0.5, 3
    W = mixture(zeta).matrix.toarray()
    # From equal models; in steady state the average itself is far slower.
    C = np.zeros((NODES, NODES))
    seen = []
    for t in range(300):
        C = (1 - 1e-5) ** 2 * C + 1e-10 * np.eye(NODES)
        C = W @ C @ W.T if t % period == period - 1 else C
        seen.append((np.trace(C) - C.sum() / NODES) / (NODES - 1))
    network = (1 + zeta**2) / (1 - zeta**2) * period - 1
    assert np.mean(seen[-period:]) == pytest.approx(1e-10 * network / 2, rel=1e-3)
    _, term = bound(zeta, period, Floors(0.0, 0.0), eta=1e-5, beta=0.0)
    assert term == pytest.approx(1e-10 * network)


def test_the_noise_is_that_of_the_assumption() -> None:
    workload = Bowl(20_000)
    x = 3 * np.ones((1, 20_000))
    oracle = GrowingNoise()

    state = oracle.start(workload, torch.from_numpy(x), [0], 0)
    noise = oracle.sample(state, workload, torch.from_numpy(x), [0], 0, 0).gradient.numpy() - x
    assert noise.mean() == pytest.approx(0, abs=0.3)
    assert noise.var() == pytest.approx(SIGMA**2 + 9 * BETA, rel=0.05)


@pytest.fixture(scope="module")
def findings() -> Any:
    said: list[str] = []
    sizes = {"components": 20, "discarded": 7, "steps": 14, "training": 8, "evaluations": 4, "most": 160}
    found = run([0, 1], said.append, **sizes)
    assert any("alpha" in text for text in said)
    return found


def test_the_table_and_the_plot(findings: Any) -> None:
    quadratic = (len(ZETAS) + 1) * len(PERIODS) + len(ALPHAS)
    assert len(findings.rows) == quadratic + len(METHODS)
    assert {tuple(row) for row in findings.rows} == {tuple(findings.rows[0])}
    assert len(findings.claims) == 10
    assert all(claim.text and any(map(str.isdigit, claim.measured)) for claim in findings.claims)
    for row in findings.rows[quadratic:]:
        tried = findings.curves["suboptimality"][row["what"]]["tuning"]
        assert tried[row["learning rate"]] == min(tried.values())
    synchronous = findings.rows[quadratic]
    assert synchronous["times faster"] == 1
    assert synchronous["seconds"] <= 8 * 5
    figure = Figure()
    findings.draw(figure)
    assert all(axes.has_data() for axes in figure.axes)


def test_wrong_results_are_noticed(findings: Any) -> None:
    rows = findings.rows
    times = rows[-len(METHODS) :]
    slow = [dict(row, **{"times faster": 3.9}) for row in times]
    assert [claim.holds for claim in cooperative._claims_about_time(slow)] == [False, False]
    fast = [dict(row, **{"times faster": 4.1}) for row in times]
    assert [claim.holds for claim in cooperative._claims_about_time(fast)] == [True, True]

    found = {
        (zeta, tau): {"average": zeta + tau, "own": zeta + tau, "disagreement": 0.5}
        for zeta in ZETAS
        for tau in PERIODS
    }
    lines = [{"/ theory": 1.0, "/ its theory": 0.96, "/ bound": 0.9}]
    assert all(claim.holds for claim in cooperative._claims_about_floors(lines, found))
    found[ZETAS[-1], PERIODS[0]]["average"] = 0.0
    found[ZETAS[0], PERIODS[0]]["disagreement"] = 1.1
    lines = [{"/ theory": 1.06, "/ its theory": 1.0, "/ bound": 1.1}]
    holds = [claim.holds for claim in cooperative._claims_about_floors(lines, found)]
    assert holds == [False, False, True, False, False]

    elastic = {alpha: {"own": 1.0, "average": 1.0} for alpha in ALPHAS}
    contractions = dict.fromkeys(ALPHAS, 0.5)
    assert [claim.holds for claim in cooperative._claims_about_alpha(elastic, contractions)] == [False, False, True]


def test_what_diverges_counts_as_useless(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cooperative, "train", lambda *arguments: [])
    lines = cooperative._times([0], lambda text: None, 8, 4, 0.01, 160)["table"]
    assert {row["times faster"] for row in lines} == {0.0}
