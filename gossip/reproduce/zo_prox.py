"""Minimising with function values only: variance reduction, and estimates by coordinates or along random directions.

Huang, Gu, Huo, Chen, Huang, "Faster Gradient-Free Proximal Stochastic Methods for Nonconvex Nonsmooth Optimization",
AAAI 2019, arXiv 1902.06158.

Black-box classification: the sigmoid loss, which is not convex, of a linear model on the breast cancer data, plus
l1 |x|_1. ZO-ProxSGD, ZO-ProxSVRG and ZO-ProxSAGA are a proximal step on the estimates of three oracles; CooSGE takes
2 d function values for the gradient of an example, GauSGE 2. First on one node, as in the paper, then on a ring of
nodes that share the data, by exact diffusion with the proximal step.

All methods may ask for the same number of function values, counted in passes: the number that CooSGE takes for all
examples once. Each has its own learning rate, the best of its estimator's candidates on one node, by the objective at
the end: the mean over the last quarter of a run. What is compared is the suboptimality of the average model: that
objective minus the least one found, by full gradients and many steps or by any of the methods.

The candidates for CooSGE end at 3 because they serve the ring too: with 10, which one node would choose for SVRG, no
method stays near the least objective on the ring.

For GauSGE the claim that variance reduction wins is put to the test although theory gives little hope here, and it
fails. The variance of an estimate, about d |grad f_l|^2, is d times the spread of the gradients over the examples,
which is all that variance reduction removes. What is left of the rest depends on how many estimates there are on the
way: SGD with a learning rate k times smaller averages over k times as many, for k times the function values. The m
directions of a snapshot leave an error of variance d |grad f_l|^2 / m that stays for a whole period. With a period of
m / batch it adds up to the noise of SGD, at three times as many function values per step; with one k times shorter, to
k times less, for 2 + k times as many. Likewise SAGA, whose table keeps its directions for about m / batch steps, at
twice as many. Several directions for each example change nothing of this. It is the term d sigma^2 of the paper's rates
for GauSGE, O(d / T + d sigma^2).

Directions that all examples share, as in the code of Liu et al., "Zeroth-Order Stochastic Variance Reduction for
Nonconvex Optimization", NeurIPS 2018, arXiv 1805.10367, leave SVRG with d |grad f|^2 instead. At the optimum that is
not 0, but what the l1 term pulls back, and less in the end only if 3 m |grad f|^2 < 2 mean |grad f_l|^2; here it is 13
times as much. With a weight of 1e-3 it would be less. But after 100 passes that SVRG was still at 1.5e-3, and SGD with
a direction for each example at 1.2e-3, each with its best learning rate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from matplotlib.figure import Figure

import gossip
from algorithms import L1, Algorithm, DecentralizedSGD, ExactDiffusion, Full, Minibatch, Oracle, Saga, Svrg, ZerothOrder
from gossip.reproduce.study import Claim, Findings, Say, Study, history_of
from gossip.workloads import SigmoidLoss
from topologies import complete, ring

Estimator = Literal["coordinate", "gaussian"]
METHODS = ("SGD", "SVRG", "SAGA")
RATES: dict[Estimator, tuple[float, ...]] = {"coordinate": (0.3, 1.0, 3.0), "gaussian": (0.03, 0.1)}
SMOOTHING = 1e-4
WEIGHT = 1e-2  # of |x|_1
EVALUATIONS = 30  # of a run


def oracle(method: str, estimator: Estimator, batch: int, period: int) -> Oracle:
    """What gives the gradient estimates."""
    below = {"SGD": Minibatch(batch), "SVRG": Svrg(batch, period), "SAGA": Saga(batch)}[method]
    return ZerothOrder(below, estimator, SMOOTHING)


def queries_of_a_step(method: str, estimator: Estimator, d: int, examples: int, batch: int, period: int) -> float:
    """Function values that a node asks for per iteration, on average."""
    estimates = {
        "SGD": batch,
        "SVRG": 2 * batch + examples / period,
        "SAGA": batch if estimator == "coordinate" else 2 * batch,  # old directions for the difference, new to store
    }[method]
    return estimates * (2 * d if estimator == "coordinate" else 2)


def train(
    problem: SigmoidLoss,
    nodes: int,
    method: str,
    estimator: Estimator,
    lr: float,
    seed: int,
    passes: float,
    batch: int,
    period: int,
) -> list[tuple[float, float]]:
    """(passes, objective) from the start until so many passes; empty if it diverged.

    Args:
        batch: Examples per iteration, of all nodes together.
        period: Iterations from one snapshot of SVRG to the next.
    """
    prox = L1(problem.l1)
    algorithm: Algorithm = ExactDiffusion(lr, prox) if nodes > 1 else DecentralizedSGD(lr, prox=prox)
    shards = problem.shard(nodes, seed)
    d, examples = shards.layout.d, min(shards.examples(node) for node in range(nodes))
    own = max(1, batch // nodes)
    one_pass = 2 * d * examples
    steps = round(passes * one_pass / queries_of_a_step(method, estimator, d, examples, own, period))
    history = history_of(
        problem,
        ring(nodes) if nodes > 1 else complete(1),
        algorithm,
        oracle=oracle(method, estimator, own, period),
        steps=steps,
        seed=seed,
        evaluate_every=max(1, steps // EVALUATIONS),
    )
    return [(metrics["queries_per_node"] / one_pass, metrics["objective"]) for metrics in history]


def least(problem: SigmoidLoss, steps: int) -> float:
    """The objective where proximal gradient descent with full gradients ends up."""
    algorithm = DecentralizedSGD(max(RATES["coordinate"]), prox=L1(problem.l1))
    last = gossip.run(problem, complete(1), algorithm, oracle=Full(), steps=steps, evaluate_nodes=0, output=None)
    return float(last.history[-1]["objective"])


def run(
    seeds: Sequence[int],
    say: Say,
    nodes: int = 8,
    passes: float = 20,
    batch: int = 16,
    period: int = 28,
    descent: int = 20_000,
) -> Findings:
    """Tune every method on one node, then run it there and on the ring.

    Args:
        nodes: Nodes on the ring.
        passes: Function values of a run, in passes.
        batch: Examples per iteration, of all nodes together.
        period: Iterations from one snapshot of SVRG to the next.
        descent: Steps of the search for the least objective.
    """
    problem = SigmoidLoss(l1=WEIGHT)
    sizes: dict[str, Any] = {"passes": passes, "batch": batch, "period": period}
    say("the least objective, by full gradients")
    found = least(problem, descent)
    curves: dict[str, Any] = {}
    for estimator, rates in RATES.items():
        for method in METHODS:
            name = f"ZO-Prox{method}, {estimator}"
            tried = {}
            for lr in rates:
                say(f"{name}, one node, learning rate {lr}")
                tried[lr] = [train(problem, 1, method, estimator, lr, seed, **sizes) for seed in seeds]
            lr = min(tried, key=lambda lr: float(np.mean([_final(run) for run in tried[lr]])))
            say(f"{name}, ring of {nodes}, learning rate {lr}")
            on_ring = [train(problem, nodes, method, estimator, lr, seed, **sizes) for seed in seeds]
            curves[name] = {"learning rate": lr, "tried": tried, "one node": tried[lr], "ring": on_ring}
    found = min([found, *(_final(run) for curve in curves.values() for run in curve["one node"] + curve["ring"])])
    table = [
        {
            "method": name,
            "learning rate": curve["learning rate"],
            **{
                f"suboptimality, {where}": float(np.mean([_final(run) for run in curve[where]])) - found
                for where in ("one node", "ring")
            },
        }
        for name, curve in curves.items()
    ]
    return Findings(table, _claims(table), lambda figure: _draw(figure, curves, found), curves | {"least": found})


def _final(run: Sequence[tuple[float, float]]) -> float:
    """The mean objective over the last quarter of a run: constant learning rates leave it fluctuating."""
    last = run[-max(1, len(run) // 4) :]
    return float(np.mean([objective for _, objective in last])) if run else float("inf")


def _claims(table: Sequence[Mapping[str, Any]]) -> list[Claim]:
    claims = []
    for where in ("one node", "ring"):
        gaps = {row["method"]: float(row[f"suboptimality, {where}"]) for row in table}
        for estimator in RATES:
            sgd, *reduced = (gaps[f"ZO-Prox{method}, {estimator}"] for method in METHODS)
            claims.append(
                Claim(
                    f"{where}, {estimator}: variance reduction wins",
                    f"suboptimality {reduced[0]:.2g} (SVRG) and {reduced[1]:.2g} (SAGA) against {sgd:.2g} (SGD)",
                    max(reduced) < sgd,
                )
            )
        pairs = [tuple(gaps[f"ZO-Prox{method}, {estimator}"] for estimator in RATES) for method in METHODS]
        listed = ", ".join(
            f"{coordinate:.2g} against {gaussian:.2g} ({method})"
            for method, (coordinate, gaussian) in zip(METHODS, pairs, strict=True)
        )
        claims.append(
            Claim(
                f"{where}: with variance reduction, coordinates beat random directions",
                listed,
                all(coordinate < gaussian for coordinate, gaussian in pairs[1:]),
            )
        )
    return claims


def _draw(figure: Figure, curves: Mapping[str, Any], found: float) -> None:
    """Suboptimality over passes: mean over the seeds."""
    figure.set_size_inches(9, 4.2)
    for axes, where in zip(figure.subplots(1, 2, sharey=True), ("one node", "ring"), strict=True):
        for name, curve in curves.items():
            runs = np.array([run for run in curve[where] if run])
            if runs.size:
                style = "-" if name.endswith("coordinate") else "--"
                color = f"C{next(i for i, method in enumerate(METHODS) if method in name)}"
                gaps = np.maximum(runs[:, :, 1].mean(axis=0) - found, 1e-8)
                axes.semilogy(runs[:, :, 0].mean(axis=0), gaps, style, color=color, label=name)
        axes.set_title(where, fontsize=10)
        axes.set_xlabel("function values, in passes of CooSGE")
    figure.axes[0].set_ylabel("objective - least objective")
    figure.axes[1].legend(fontsize=8, frameon=False)


STUDY = Study(
    paper="Huang, Gu, Huo, Chen, Huang 2019, arXiv 1902.06158",
    claim="variance reduction helps gradient-free proximal methods, and coordinate estimates beat Gaussian ones",
    run=run,
)
