"""The consensus step size: from theory, and from a search."""

from __future__ import annotations

import json
from math import cos, pi
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import gossip
from algorithms import ChocoGossip, ChocoSGD, Compressor, Identity, SparqSGD, Spectrum, SquarmSGD, TopK
from algorithms.blocks.gamma import choco_theory, search
from algorithms.compressed.squarm import squarm_theory
from gossip.train.__main__ import main
from gossip.workloads import LeastSquares
from tests.algorithms.helpers import Array, fixed, flat, least_squares, network_of, run, starts
from topologies import Topology, complete, erdos_renyi, exponential, laplacian_norm, ring


def of_ring(n: int) -> Spectrum:
    """By the formula of its eigenvalues."""
    eigenvalues = sorted(1 / 3 + 2 / 3 * cos(2 * pi * k / n) for k in range(n))
    return Spectrum(1 - max(eigenvalues[-2], -eigenvalues[0]), 1 - eigenvalues[0])


@pytest.mark.parametrize("n", [8, 9, 16])
def test_the_spectrum_of_a_ring(n: int) -> None:
    spectrum = network_of(ring(n)).spectrum
    np.testing.assert_allclose(spectrum, of_ring(n), atol=1e-12)


def test_the_spectrum_of_a_directed_matrix() -> None:
    W = np.array([[0.5, 0.3, 0.2], [0.1, 0.5, 0.4], [0.4, 0.2, 0.4]])
    spectrum = network_of(fixed(W)).spectrum
    deviation, laplacian = W - 1 / 3, np.eye(3) - W
    assert spectrum.gap == pytest.approx(1 - np.sqrt(np.linalg.eigvalsh(deviation.T @ deviation)[-1]), abs=1e-12)
    assert spectrum.laplacian_norm == pytest.approx(np.sqrt(np.linalg.eigvalsh(laplacian.T @ laplacian)[-1]), abs=1e-12)
    assert laplacian_norm(complete(7)) == pytest.approx(1)


def test_the_theory_by_hand() -> None:
    assert choco_theory(of_ring(9), 0.01) == pytest.approx(2.5e-5, rel=0.02)
    assert choco_theory(of_ring(8), 1.0) == pytest.approx(4e-3, rel=0.03)
    assert squarm_theory(of_ring(8), 0.01) == pytest.approx(9e-5, rel=0.02)
    # W = J: gap 1, |I - W| = 1.
    assert choco_theory(Spectrum(1, 1), 0.5) == pytest.approx(0.5 / (16 + 1 + 4 + 2 - 4))
    assert squarm_theory(Spectrum(1, 1), 0.5) == pytest.approx(1 / (64 + 1 + 16 + 8 - 8))


def test_theory_is_that_of_the_papers() -> None:
    problem = least_squares(8)
    for algorithm, theory in (
        (ChocoSGD(gamma="theory", compressor=TopK(k=2)), choco_theory),
        (ChocoGossip(gamma="theory", compressor=TopK(k=2)), choco_theory),
        (SquarmSGD(gamma="theory", compressor=TopK(k=2)), squarm_theory),
    ):
        state = run(algorithm, ring(8), problem, starts(problem), 0).state
        assert algorithm.chosen(state) == {"gamma": pytest.approx(theory(of_ring(8), 0.4), rel=1e-10)}


def errors(models: Array, publics: Array, mean: Array) -> Array:
    """sum_i |x_i - average|^2 + |x_i - h_i|^2 for each round."""
    return ((models - mean) ** 2 + (models - publics) ** 2).sum(axis=(1, 2))


def gossiped(algorithm: ChocoGossip, topology: Topology, rounds: int) -> Array:
    """The errors over the rounds."""
    x = starts(flat(topology.n, 5))
    network = network_of(topology)
    state = algorithm.start(torch.tensor(x), network)
    network.finish_step()
    models, publics = [x], [np.zeros_like(x)]
    for _ in range(rounds):
        algorithm.step(state, None, network)  # type: ignore[arg-type]
        network.finish_step()
        models.append(state.x.numpy().copy())
        publics.append(state.replicas.of_round[0].public.numpy().copy())
    return errors(np.stack(models), np.stack(publics), x.mean(axis=0))


@pytest.mark.parametrize("topology", [ring(8), complete(6), exponential(8), erdos_renyi(9)], ids=str)
@pytest.mark.parametrize("k", [1, 3])
def test_the_guaranteed_rate_holds(topology: Topology, k: int) -> None:
    gap = 1 - np.linalg.norm(topology.matrix.toarray() - 1 / topology.n, 2)
    got = gossiped(ChocoGossip(gamma="theory", compressor=TopK(k=k)), topology, 300)
    guaranteed = got[0] * (1 - gap**2 * (k / 5) / 82) ** np.arange(301)
    assert (got <= guaranteed * (1 + 1e-12)).all()
    assert got[-1] < got[0]


@pytest.mark.parametrize(("topology", "k"), [(ring(6), 1), (exponential(6), 3)], ids=str)
def test_the_search_beats_the_theory(topology: Topology, k: int) -> None:
    theory, auto = (gossiped(ChocoGossip(gamma=g, compressor=TopK(k=k)), topology, 200) for g in ("theory", "auto"))  # type: ignore[arg-type]
    assert auto[-1] < 1e-3 * theory[-1]


def test_what_the_search_tried_is_told() -> None:
    problem = least_squares(8)
    algorithm = ChocoSGD(gamma="auto", compressor=TopK(k=1))
    got = run(algorithm, ring(8), problem, starts(problem), 1)
    chosen = algorithm.chosen(got.state)
    gamma = chosen.pop("gamma")
    tried = {float(name.removeprefix("contraction_with_gamma_")): value for name, value in chosen.items()}
    assert gamma == min(tried, key=lambda each: tried[each])
    assert list(tried) == [2.0**-i for i in range(len(tried))]
    assert tried[gamma] < 1 and min(tried) == gamma / 4  # two smaller ones were worse
    again = run(algorithm, ring(8), problem, starts(problem), 1)
    np.testing.assert_array_equal(got.models, again.models)
    assert got.rounds == 2  # the search is part of the start, and counts
    assert got.bytes.min() > 50 * 2 * 24


def test_the_search_without_anybody_to_agree_with() -> None:
    problem = least_squares(1)
    algorithm = ChocoSGD(gamma="auto")
    assert algorithm.chosen(run(algorithm, complete(1), problem, starts(problem), 1).state)["gamma"] == 1.0


def test_a_matrix_that_never_averages_is_refused() -> None:
    problem = least_squares(4)
    with pytest.raises(ValueError, match=r"^ChocoSGD: gamma = 'theory' needs a mixing matrix .* where it is 1; "):
        run(ChocoSGD(gamma="theory"), Topology.from_matrix(np.roll(np.eye(4), 1, axis=1)), problem, starts(problem), 1)


@pytest.fixture
def squares() -> LeastSquares:
    random = np.random.default_rng(0)
    return LeastSquares(random.normal(size=(8, 12, 5)), random.normal(size=(8, 12)))


@pytest.mark.parametrize("gamma", [0.25, "theory", "auto"])
def test_a_run_keeps_what_it_used_and_who_fired(squares: LeastSquares, gamma: Any, tmp_path: Path) -> None:
    algorithm = SquarmSGD(lr=0.05, threshold=10.0, gamma=gamma, compressor=TopK(k=2))
    result = gossip.run(squares, ring(8), algorithm, steps=50, output=tmp_path)
    assert result.directory is not None
    summary = json.loads((result.directory / "summary.json").read_text())
    assert summary == {**result.summary}
    assert {0.25: summary["gamma"] == 0.25, "theory": summary["gamma"] < 0.01, "auto": summary["gamma"] > 0.1}[gamma]
    assert any(name.startswith("contraction_with") for name in summary) == (gamma == "auto")
    assert result.history[0]["share_fired"] == 0.0
    assert 0 < summary["share_fired"] < 1
    assert summary["share_fired"] * 8 * 10 == pytest.approx(round(summary["share_fired"] * 8 * 10), abs=1e-9)


def test_a_run_that_diverges_ends_with_its_own_exit_code_and_a_hint(capsys: pytest.CaptureFixture[str]) -> None:
    algorithm = "--algorithm ChocoSGD --algorithm.lr 1e9 --algorithm.gamma theory"
    options = f"{algorithm} --algorithm.compressor TopK --algorithm.compressor.k 10"
    run_as = "--workload Digits --nodes 3 --topology ring --steps 50 --output null --quiet"
    assert main(f"{options} {run_as}".split()) == 4
    said = capsys.readouterr().err
    assert "the run diverged" in said and "a smaller learning rate (or gamma) may help" in said


def test_the_command_line_takes_thresholds(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("SquarmSGD", "SparqSGD"):
        options = f"--algorithm {name} --algorithm.threshold StepwiseThreshold --algorithm.threshold.start 2.5"
        run_as = "--workload Digits --nodes 4 --topology ring --steps 6 --output null"
        assert main(f"{options} --algorithm.gamma auto {run_as}".split()) == 0
        said = capsys.readouterr().out
        assert "gamma: " in said and "contraction with gamma 1: " in said and "share fired" in said


def searched(topology: Topology, compressor: Compressor, dtype: torch.dtype = torch.float64) -> dict[float, float]:
    """What the search tries for 40 numbers per node."""
    return search(torch.zeros(topology.n, 40, dtype=dtype), compressor, network_of(topology))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("topology", [ring(8), complete(6), exponential(8), erdos_renyi(9)], ids=str)
def test_without_compression_the_search_finds_1(topology: Topology, dtype: torch.dtype) -> None:
    tried = searched(topology, Identity(), dtype)
    assert min(tried, key=lambda gamma: tried[gamma]) == 1.0
    errors = np.linalg.norm(np.linalg.matrix_power(topology.matrix.toarray() - 1 / topology.n, 25), 2) ** (2 / 25)
    assert tried[1.0] == pytest.approx(errors, rel=0.1, abs=1e-6)  # the square of the second eigenvalue


def test_without_compression_the_search_costs_next_to_nothing() -> None:
    network = network_of(ring(8))
    assert min(search(torch.zeros(8, 100_000), Identity(), network)) == 0.25
    assert int(network.traffic.bytes.max()) < 200_000


def test_stronger_compression_asks_for_a_smaller_gamma() -> None:
    best = []
    for k in (40, 10, 2):
        tried = searched(ring(8), TopK(k=k))
        best.append(min(tried, key=lambda gamma: tried[gamma]))
        assert tried[best[-1]] < 1
    assert best[0] > best[1] > best[2]


def test_the_search_is_the_default_and_leaves_the_copies_of_the_run_alone() -> None:
    problem = least_squares(8)
    for algorithm in (ChocoSGD(compressor=TopK(k=2)), SquarmSGD(compressor=TopK(k=2))):
        state = run(algorithm, ring(8), problem, starts(problem), 0).state
        assert state.gamma.value > 0.1
        assert not state.replicas.of_round[0].public.any() and not state.replicas.of_round[0].mixed.any()
        assert state.replicas.of_round[0].sent is None
    assert ChocoGossip().gamma == SparqSGD().gamma == "auto"
