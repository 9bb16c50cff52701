"""Federated averaging by robust aggregates."""

from __future__ import annotations

import numpy as np
import pytest

from algorithms import (
    Attacked,
    CenteredClipping,
    Delivery,
    FedAvg,
    FoolsGold,
    Krum,
    Mean,
    RobustFedAvg,
    RobustSGD,
    Scaling,
)
from tests.algorithms.federated.literal import assert_serves
from tests.algorithms.helpers import Array, least_squares, run, same_curvature, starts
from topologies import ring

N, STEPS = 7, 24


def models(algorithm: RobustFedAvg | RobustSGD | FedAvg | Attacked, steps: int = STEPS) -> Array:
    problem = least_squares(N)
    return run(algorithm, ring(N), problem, starts(problem), steps).models[:, :N]


@pytest.mark.parametrize("server", ["node", "replicated"])
def test_the_equations(server: str) -> None:
    """Rounds of 3 iterations, then a clipped mean of the updates around the last one."""
    problem, last = least_squares(N), np.zeros(least_squares(N).d)
    w = starts(problem).mean(axis=0)
    wanted = [w]
    for _ in range(STEPS // 3):
        U = np.tile(w, (N, 1))
        for _ in range(3):
            U = U - 0.05 * problem.gradient(U)
        away = w - U - last
        last = last + np.mean([row * min(1, 0.3 / np.linalg.norm(row)) for row in away], axis=0)
        w = w - 1.5 * last
        wanted += [wanted[-1], wanted[-1], w]
    algorithm = RobustFedAvg(0.05, 1.5, 3, aggregator=CenteredClipping(radius=0.3), server=server)  # type: ignore[arg-type]
    assert_serves(models(algorithm), np.stack(wanted))


def test_what_fools_gold_remembers_is_of_all_clients() -> None:
    """Those that do not take part in a round keep their sums."""
    problem = least_squares(N)
    seen: list[tuple[Array, Array]] = []

    class Watched(FoolsGold):
        def recall(self, rows, memory, center, draw):  # type: ignore[no-untyped-def]
            made, after = super().recall(rows, memory, center, draw)
            seen.append((memory.numpy().copy(), rows.numpy().copy()))
            return made, after

    algorithm = RobustFedAvg(0.05, local_steps=2, participation=3, aggregator=Watched())
    run(algorithm, ring(N), problem, starts(problem), STEPS)
    assert len(seen) == STEPS // 2
    total, before = sum(rows.sum(axis=0) for _, rows in seen[:-1]), np.zeros((0, problem.d))
    for memory, rows in seen:
        sums = np.concatenate([before, np.zeros((1, problem.d))])
        assert all((np.abs(sums - row).max(axis=1) < 1e-12).any() for row in memory)  # of someone's past, or none
        before = np.concatenate([before, memory + rows])
    assert np.abs(total).max() > 0


def test_with_a_mean_it_is_federated_averaging() -> None:
    common = {"lr": 0.05, "local_steps": 3, "participation": 4}
    found = models(RobustFedAvg(**common, aggregator=Mean()))  # type: ignore[arg-type]
    np.testing.assert_allclose(found, models(FedAvg(**common)), rtol=0, atol=1e-10)  # type: ignore[arg-type]


def test_with_one_local_step_it_is_robust_sgd() -> None:
    rule = Krum(forged=2)
    found = models(RobustFedAvg(0.05, local_steps=1, aggregator=rule))
    np.testing.assert_allclose(found, models(RobustSGD(0.05, rule, momentum=0.0)), rtol=0, atol=1e-10)


def test_replaced_models_do_not_get_through() -> None:
    """Two of nine send their updates 9 times as large, of data of their own."""
    problem = same_curvature(9, 1.0)
    problem.b[:] = problem.b[:1]
    problem.b[[1, 4]] += 3.0
    honest = np.linalg.lstsq(problem.A[0], problem.b[0], rcond=None)[0]

    def error(algorithm: RobustFedAvg | FedAvg) -> float:
        attacked = Attacked(algorithm, Scaling(9.0), attackers=(1, 4))
        found = run(attacked, ring(9), problem, starts(problem), 40)
        return float(np.abs(found.final[0] - honest).max())

    assert error(RobustFedAvg(0.2, local_steps=2)) < 0.1 < 1 < error(FedAvg(0.2, local_steps=2))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"weighting": "all"}, "weighting = 'all' is not allowed; it must be sampled"),
        ({"weights": "examples"}, "weights = 'examples' is not allowed; it must be equal"),
        ({"sampling": "independent"}, "sampling = 'independent' is not allowed; it must be uniform"),
        ({"delivery": Delivery(dropout=0.1)}, "delivery = .* must be left out: as many clients must deliver"),
        ({"participation": 4, "aggregator": Krum(forged=1)}, "Krum: forged = 1 needs 5 rows or more, and there are 4"),
    ],
)
def test_what_rules_cannot_do_is_refused(options: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        models(RobustFedAvg(**options), steps=0)  # type: ignore[arg-type]
