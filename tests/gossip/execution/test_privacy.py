"""What a run says of epsilon, against closed forms and published numbers, and what has none."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from scipy.special import gammaln, logsumexp
from scipy.stats import norm

import gossip
from algorithms import (
    DPFTRL,
    AdaComm,
    AdditiveNoise,
    Attacked,
    DecentralizedSGD,
    DPFedAvg,
    FedAvg,
    Full,
    LeaderSGD,
    LocalSGD,
    Minibatch,
    NoisyMessages,
    Oracle,
    PrivateMinibatch,
    Spending,
    Zeno,
)
from gossip.errors import UsageError
from gossip.execution import privacy
from gossip.execution.privacy import epsilon
from gossip.workloads import Averaging, LogisticRegression
from topologies import ring

DELTA = 1e-5
ORDERS = np.arange(2, 64)


def converted(rdp: np.ndarray, orders: np.ndarray) -> float:
    """Canonne, Kamath, Steinke 2020, proposition 12."""
    return float(np.min(rdp + np.log1p(-1 / orders) - (math.log(DELTA) + np.log(orders)) / (orders - 1)))


def of_poisson_samples(q: float, z: float) -> np.ndarray:
    """Mironov, Talwar, Zhang 2019, section 3.3: the Renyi divergence at whole orders."""
    divergences = []
    for order in ORDERS.tolist():
        k = np.arange(order + 1)
        binomial = gammaln(order + 1) - gammaln(k + 1) - gammaln(order - k + 1)
        terms = binomial + k * math.log(q) + (order - k) * math.log1p(-q) + (k * k - k) / (2 * z * z)
        divergences.append(logsumexp(terms) / (order - 1))
    return np.array(divergences)


def delta_of_gaussian(eps: float, z: float) -> float:
    """Balle & Wang 2018, theorem 8: the least delta of the Gaussian mechanism."""
    return float(norm.cdf(1 / (2 * z) - eps * z) - math.exp(eps) * norm.cdf(-1 / (2 * z) - eps * z))


def test_the_gaussian_mechanism() -> None:
    for z, uses in ((1.0, 1), (4.0, 16), (0.7, 3), (30.0, 50)):
        found = epsilon([Spending(z, uses, "replace")], DELTA)
        assert delta_of_gaussian(found, z / math.sqrt(uses)) < DELTA  # it composes to one of less noise
        assert delta_of_gaussian(0.85 * found, z / math.sqrt(uses)) > DELTA
        fine = np.linspace(1.01, 400, 40_000)
        assert found == pytest.approx(converted(uses * fine / (2 * z * z), fine), rel=0.01)
        assert epsilon([Spending(z, uses, "replace", discrete=True)], DELTA) == pytest.approx(found, rel=1e-9)


@pytest.mark.parametrize(
    ("z", "steps", "batch", "examples", "published"),
    [(4.0, 10_000, 1, 100, 1.26), (1.1, 14_062, 256, 60_000, 3.01)],
    ids=["Abadi et al. 2016", "TensorFlow Privacy's tutorial"],
)
def test_dp_sgd(z: float, steps: int, batch: int, examples: int, published: float) -> None:
    found = epsilon([Spending(z, steps, "add or remove", (batch, examples))], DELTA)
    assert found == pytest.approx(converted(steps * of_poisson_samples(batch / examples, z), ORDERS), rel=0.005)
    assert 0.8 * published < found < published  # with a conversion that has become better since


def test_samples_without_replacement_and_trees() -> None:
    whole = epsilon([Spending(2.0, 50, "replace")], DELTA)
    assert epsilon([Spending(2.0, 50, "replace", (5, 100))], DELTA) < whole / 4
    alone = epsilon([Spending(2.0, 4 * 3, "replace")], DELTA)
    for steps in (8, 15):  # four vertices hold a step
        assert epsilon([Spending(2.0, 3, "zero", steps=steps)], DELTA) == pytest.approx(alone, rel=1e-9)


def test_the_worst_node_counts() -> None:
    some = [
        Spending(1.0, uses, "add or remove", (size, 100)) for uses, size in ((3, 9), (5, 2), (5, 4), (2, 9), (0, 9))
    ]
    assert epsilon(some, DELTA) == max(epsilon([each], DELTA) for each in some)
    assert epsilon([], DELTA) == epsilon(some[-1:], DELTA) == 0
    assert epsilon([Spending(0.0, 1, "replace")], DELTA) == math.inf


def test_what_runs_record(tmp_path: Path) -> None:
    def run(*what: object, **more: object) -> list[dict[str, float]]:
        return gossip.run(LogisticRegression(), ring(5), *what, steps=6, evaluate_every=3, output=None, **more).history

    oracle = PrivateMinibatch(8, noise_multiplier=1.5)
    found = [record["epsilon"] for record in run(DecentralizedSGD(), oracle=oracle)]
    sizes = [LogisticRegression().shard(5, 0).examples(node) for node in range(5)]
    assert found[0] == 0
    assert found[1:] == [epsilon([Spending(1.5, uses, "add or remove", (8, min(sizes)))], DELTA) for uses in (3, 6)]
    method = DPFedAvg(local_steps=3, participation=2, noise_multiplier=0.8, delta=1e-3)
    assert [record["epsilon"] for record in run(method)] == [
        epsilon([Spending(0.8, uses, "add or remove", (2, 5))] if uses else [], 1e-3) for uses in (0, 1, 2)
    ]
    uniform = DPFedAvg(local_steps=3, participation=2, noise_multiplier=0.8, sampling="uniform")
    assert run(uniform)[-1]["epsilon"] == epsilon([Spending(0.4, 2, "replace", (2, 5))], DELTA)
    tree = DPFTRL(local_steps=1, participation=2, noise_multiplier=3.0)
    assert [record["epsilon"] for record in run(tree)][1:] == [
        epsilon([Spending(3.0, trees, "zero", steps=2)], DELTA) for trees in (2, 3)
    ]
    noisy = NoisyMessages(DecentralizedSGD(period=2), noise_multiplier=5.0)
    assert run(noisy)[-1]["epsilon"] == epsilon([Spending(2.5, 3, "replace")], DELTA)
    assert "epsilon" not in run(DecentralizedSGD())[-1]


def test_it_goes_on_from_a_checkpoint(tmp_path: Path) -> None:
    for algorithm, oracle in (
        (DPFedAvg(local_steps=2, participation=2), Full()),
        (NoisyMessages(DecentralizedSGD()), Full()),
        (FedAvg(local_steps=2, participation=2), PrivateMinibatch(8)),
    ):
        what = LogisticRegression(), ring(5), algorithm
        options = {"oracle": oracle, "evaluate_every": 1, "report": False}
        whole = gossip.run(*what, steps=6, output=None, **options).history
        half = gossip.run(*what, steps=3, output=tmp_path, checkpoint_every=3, **options).directory
        rest = gossip.run(*what, steps=6, output=tmp_path, resume=half, **options).history
        assert [record["epsilon"] for record in rest] == [record["epsilon"] for record in whole]
        assert rest[-1]["epsilon"] > rest[2]["epsilon"] > 0


@pytest.mark.parametrize(
    ("algorithm", "oracle", "message"),
    [
        (DPFedAvg(), PrivateMinibatch(8), "there would be two epsilons"),
        (Attacked(DPFedAvg(), attackers=(1,)), Full(), "Attacked around DPFedAvg: of this no epsilon is known"),
        (DecentralizedSGD(), AdditiveNoise(PrivateMinibatch(8)), "AdditiveNoise around a private oracle"),
        (
            FedAvg(sampling="power-of-choice", participation=2, candidates=3),
            PrivateMinibatch(8),
            "FedAvg acts on losses, to which PrivateMinibatch adds no noise",
        ),
        (LeaderSGD(), PrivateMinibatch(8), "LeaderSGD acts on losses"),
        (Zeno(), PrivateMinibatch(8), "Zeno acts on losses"),
        (LocalSGD(period=AdaComm()), PrivateMinibatch(8), "LocalSGD acts on losses"),
    ],
    ids=range(7),
)
def test_what_has_no_epsilon_is_refused(algorithm: DecentralizedSGD, oracle: Oracle, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        gossip.run(LogisticRegression(), ring(5), algorithm, steps=4, oracle=oracle, output=None)
    assert "\n" not in str(caught.value)


def test_workloads_without_gradients_of_single_examples_are_refused() -> None:
    with pytest.raises(UsageError, match="single examples, which Averaging does not give; linear models do"):
        gossip.run(Averaging(), ring(5), DecentralizedSGD(), steps=1, oracle=PrivateMinibatch(1), output=None)


def test_without_the_library_a_line_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(privacy, "PACKAGE", "a_package_that_is_not_there")
    with pytest.raises(UsageError, match=r"pip install 'gossip-mpi\[privacy\]'"):
        gossip.run(LogisticRegression(), ring(5), DPFedAvg(), steps=1, output=None)
    gossip.run(LogisticRegression(), ring(5), FedAvg(), steps=1, oracle=Minibatch(4), output=None)
