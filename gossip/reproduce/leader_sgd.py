"""Pulls towards the best worker, or towards the average: where the landscape is not convex, and on Mnist.

Teng, Gao, Chalus, Choromanska, Goldfarb, Weller, "Leader Stochastic Gradient Descent for Distributed Training of Deep
Learning Models", NeurIPS 2019, arXiv 1905.10395; its rival: Zhang, Choromanska, LeCun, NIPS 2015, arXiv 1412.6651.

8 workers, which communicate every so many iterations: a vector up and one down for EASGD, and for LSGD, which besides
needs a loss of each worker; with two groups LSGD sends more. Judged is the average of the workers' models.

First the completion of a symmetric matrix of low rank, with full gradients and a start of its own for every worker, as
in the paper. A rotation of a minimum is a minimum: the workers head for different ones, and their average lies between
these, which is where EASGD pulls them.

Then a perceptron on Mnist, with momentum 0.9 in both methods and a common start.

Every method has the best learning rate, and the best strength of its pull, of its candidates, with as many other seeds
as are in the table. On Mnist EASGD also runs with beta = 0.43, alpha = beta / 8, as the paper's code has it. Tuned,
it wins there, and the last claim fails: from a common start the workers are around the same minimum, where the average
of 8 is better than the best of them, and alpha = 2 / (m + 2), which is from later work (arXiv 1808.07576), uses that.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from algorithms import Algorithm, ElasticAveraging, Full, LeaderSGD, Minibatch, Oracle
from gossip.reproduce.study import Claim, Findings, History, Say, Study, history_of
from gossip.workloads import MatrixCompletion, Mnist, Workload
from topologies import complete

WORKERS = 8
BETA = 0.43  # of EASGD in the paper's code
ALPHAS = (0.9 / WORKERS, 2 / (WORKERS + 2))  # that of EASGD's paper, and the fastest mixing
EASGD, EASGD_OF_CODE, LSGD, GROUPS = "EASGD", "EASGD, beta 0.43", "LSGD", "LSGD, 2 groups"
COMPLETION, MNIST = "matrix completion", "Mnist"


@dataclass(frozen=True)
class Method:
    """A method with what is to be tuned.

    Args:
        make: The algorithm with a learning rate and a strength of the pull.
        strengths: Candidates.
    """

    make: Callable[[float, float], Algorithm]
    strengths: tuple[float, ...]


@dataclass(frozen=True)
class Landscape:
    """What is minimised, and what to look at.

    Args:
        workload: Data, model and loss.
        oracle: Where gradients come from.
        steps: Iterations of a run.
        period: Iterations from one communication to the next.
        momentum: Of the local iterations.
        rates: Candidates for the learning rate.
        pulls: Candidates for the pulls of LSGD.
        name: What is measured of the average model, the less the better.
        value: It, from the metrics of a run.
        target: Of it, until which iterations are counted.
        last: Evaluations at the end over which it is averaged.
    """

    workload: Workload
    oracle: Oracle
    steps: int
    period: int
    momentum: float
    rates: tuple[float, ...]
    pulls: tuple[float, ...]
    name: str
    value: Callable[[Mapping[str, float]], float]
    target: float
    last: int

    def methods(self) -> dict[str, Method]:
        """What is compared, by the names that the table gives them."""
        common: dict[str, Any] = {"period": self.period, "momentum": self.momentum}

        def elastic(lr: float, alpha: float) -> Algorithm:
            return ElasticAveraging(lr, alpha=alpha, **common)

        def leader(lr: float, pull: float) -> Algorithm:
            return LeaderSGD(lr, pull=pull, proximal=pull, nesterov=self.momentum > 0, **common)

        def leaders(lr: float, pull: float) -> Algorithm:
            options: dict[str, Any] = {"pull": pull, "proximal": pull, "global_pull": pull, "global_proximal": pull}
            return LeaderSGD(lr, groups=2, global_every=4, nesterov=self.momentum > 0, **options, **common)

        return {
            EASGD_OF_CODE: Method(elastic, (BETA / WORKERS,)),
            EASGD: Method(elastic, (BETA / WORKERS, *ALPHAS)),
            LSGD: Method(leader, self.pulls),
            GROUPS: Method(leaders, self.pulls),
        }

    def train(self, algorithm: Algorithm, seed: int) -> History:
        """What was measured from the start to the end; empty if it diverged."""
        return history_of(
            self.workload,
            complete(WORKERS),
            algorithm,
            oracle=self.oracle,
            steps=self.steps,
            seed=seed,
            evaluate_every=max(1, self.steps // 40),
            evaluate_nodes=0,
        )

    def steps_to_target(self, history: History) -> float:
        """The first step at which the target was met and stays so; infinite if there is none."""
        missed = [metrics["step"] for metrics in history if not self.value(metrics) <= self.target]
        met = [metrics["step"] for metrics in history if not missed or metrics["step"] > missed[-1]]
        return met[0] if met else math.inf

    def at_end(self, history: History) -> float:
        """The mean over the last evaluations; infinite if it diverged."""
        return float(np.mean([self.value(metrics) for metrics in history[-self.last :]])) if history else math.inf


def landscapes(size: int, hidden: int, steps: int) -> dict[str, Landscape]:
    """The two landscapes, by the names that the table gives them."""
    return {
        COMPLETION: Landscape(
            MatrixCompletion(size=size, rank=3, observed=0.8),
            Full(),
            steps=steps,
            period=4,
            momentum=0.0,
            rates=(3.0, 10.0, 20.0),
            pulls=(0.1, 0.3, 0.6),
            name="objective",
            value=lambda metrics: metrics["objective"],
            target=1e-4,
            last=1,
        ),
        MNIST: Landscape(
            Mnist(hidden=hidden),
            Minibatch(batch=16),
            steps=steps,
            period=16,
            momentum=0.9,
            rates=(0.01, 0.03),
            pulls=(0.03, 0.1, 0.3),
            name="test error",
            value=lambda metrics: 1 - metrics["test_accuracy"],
            target=0.1,
            last=8,
        ),
    }


def run(seeds: Sequence[int], say: Say, size: int = 50, hidden: int = 64, steps: int = 300) -> Findings:
    """On both landscapes, tune every method with as many other seeds, then train with these.

    Args:
        size: Of the matrix.
        hidden: Width of the perceptron's hidden layer.
        steps: Iterations of a run.
    """
    others = [max(seeds) + 1 + i for i in range(len(seeds))]
    table: list[dict[str, Any]] = []
    curves: dict[str, Any] = {}
    for where, landscape in landscapes(size, hidden, steps).items():
        curves[where] = {}
        for name, method in landscape.methods().items():
            say(f"{where}, {name}: {len(landscape.rates) * len(method.strengths)} candidates")
            tried = {}
            for lr, strength in product(landscape.rates, method.strengths):
                histories = [landscape.train(method.make(lr, strength), seed) for seed in others]
                tried[lr, strength] = tuple(
                    float(np.mean([f(history) for history in histories]))
                    for f in (landscape.steps_to_target, landscape.at_end)
                )
            lr, strength = min(tried, key=lambda options: _rank(where, *tried[options]))
            histories = []
            for seed in seeds:
                say(f"{where}, {name}: seed {seed}")
                histories.append(landscape.train(method.make(lr, strength), seed))
            to_target, at_end = (
                [f(history) for history in histories] for f in (landscape.steps_to_target, landscape.at_end)
            )
            curves[where][name] = {
                "tuning": [{"lr": a, "strength": b, "steps": c, "end": d} for (a, b), (c, d) in tried.items()],
                "steps": to_target,
                "end": at_end,
                "values": [
                    [(metrics["step"], landscape.value(metrics)) for metrics in history] for history in histories
                ],
            }
            sent = [history[-1]["bytes_sent_per_node"] for history in histories if history]
            table.append(
                {
                    "problem": where,
                    "method": name,
                    "learning rate": lr,
                    "pull": strength,
                    "target": landscape.target,
                    "steps to it": float(np.mean(to_target)),
                    "of each seed": ", ".join(map(str, to_target)),
                    "at the end": float(np.mean(at_end)),
                    "spread": float(np.ptp(at_end)) if np.isfinite(at_end).all() else math.nan,
                    "kB sent per worker": 1e-3 * float(np.mean(sent)) if sent else math.nan,
                }
            )
    return Findings(
        table, _claims(curves), lambda figure: _draw(figure, curves, landscapes(size, hidden, steps)), curves
    )


def _rank(where: str, steps: float, end: float) -> tuple[float, float]:
    """What is best comes first: by the time it takes where all get to the bottom, by the end where they do not."""
    return (steps, end) if where == COMPLETION else (end, steps)


def _claims(curves: Mapping[str, Any]) -> list[Claim]:
    claims = []
    for name, others in ((LSGD, EASGD), (GROUPS, EASGD)):
        ours, theirs = (curves[COMPLETION][each]["steps"] for each in (name, others))
        claims.append(
            Claim(
                f"{COMPLETION}: {name} gets to the target in fewer steps than {others}",
                f"{np.mean(ours):.0f} against {np.mean(theirs):.0f} ({_listed(ours)} against {_listed(theirs)})",
                bool(np.mean(ours) < np.mean(theirs)),
            )
        )
    for others in (EASGD_OF_CODE, EASGD):
        ours, theirs = (100 * np.array(curves[MNIST][each]["end"]) for each in (LSGD, others))
        claims.append(
            Claim(
                f"{MNIST}: {LSGD} has a lower test error at the end than {others}",
                f"{ours.mean():.2f} % against {theirs.mean():.2f} %",
                bool(ours.mean() < theirs.mean()),
            )
        )
    return claims


def _listed(values: Sequence[float]) -> str:
    return ", ".join(map(str, values))


def _draw(figure: Figure, curves: Mapping[str, Any], places: Mapping[str, Landscape]) -> None:
    """What is measured over iterations, every seed a line."""
    figure.set_size_inches(10, 4.2)
    for axes, (where, methods) in zip(figure.subplots(1, 2), curves.items(), strict=True):
        for i, (name, curve) in enumerate(methods.items()):
            axes.plot([], [], color=f"C{i}", label=name)
            for values in filter(None, curve["values"]):
                axes.semilogy(*zip(*values, strict=True), color=f"C{i}", alpha=0.8, linewidth=1)
        axes.axhline(places[where].target, color="0.6", linestyle=":")
        axes.set_title(where, fontsize=10)
        axes.set_xlabel("iterations")
        axes.set_ylabel(f"{places[where].name} of the average model")
        axes.grid(color="0.93")
        axes.legend(fontsize=8, frameon=False)


STUDY = Study(
    paper="Teng, Gao, Chalus, Choromanska, Goldfarb, Weller 2019, arXiv 1905.10395",
    claim="a pull towards the best worker leads further than one towards the average of workers",
    run=run,
    seeds=3,
)
