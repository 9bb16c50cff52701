"""Pulls towards the best worker, or towards the average: where the landscape is not convex, and on Mnist.

Teng, Gao, Chalus, Choromanska, Goldfarb, Weller, "Leader Stochastic Gradient Descent for Distributed Training of Deep
Learning Models", NeurIPS 2019, arXiv 1905.10395; its rival: Zhang, Choromanska, LeCun, NIPS 2015, arXiv 1412.6651.

First the completion of a symmetric matrix of low rank by 8 workers, with full gradients and a start of its own for
every worker, as in the paper. A rotation of a minimum is a minimum: the workers head for different ones, and their
average lies between these, which is where EASGD pulls them.

Then Mnist with a common start and Nesterov's momentum 0.9 in all methods, as the paper has Cifar: a convolutional
network and 4 workers with a common leader; and 16 workers in groups of 4, whose leaders are followed 4 times as often
as that of all, for which there is time with a perceptron only. Workers communicate every 16 iterations, of the paper's
4, 16 and 64. As in its code all pulls of LSGD are 0.1, EASGD has beta = 0.43, alpha = beta / m, and EASGD is judged by
its centre, LSGD by the average of the workers. The second EASGD, with alpha = 2 / (m + 2) from later work (arXiv
1808.07576), judged by the average of all, is no rival of the paper's.

The learning rate of every method, and the pull of LSGD in the completion, is the best of its candidates, with as many
other seeds as are in the table. What counts are iterations. A communication is a vector up and one down for EASGD, and
for LSGD, which besides needs a loss of each worker; each group's goes through a tree over all workers, so that four
groups, followed four times as often, send 17 times as much.

The claim that fails is the one against the second EASGD at the end with 16 workers, 10.7 % against 10.1 %: from a
common start the workers are around the same minimum, where the average of all has less noise than the best of them.
With a period of 4 the convolutional network ended alike with the paper's two methods, at 5.5 % with LSGD and 5.8 % with
EASGD in the mean of three runs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from algorithms import SGD, Algorithm, ElasticAveraging, Full, LeaderSGD, Minibatch, Oracle
from gossip.reproduce.study import Claim, Findings, History, Say, Study, history_of
from gossip.workloads import MatrixCompletion, Mnist, Workload
from topologies import complete

EVALUATIONS = 20
GROUP = 4  # workers of a group, whose leader is followed so many times as often as that of all
BETA = 0.43  # of EASGD in the paper's code
PULLS = (0.1,)  # of LSGD in the paper's code
EASGD, FAST, LSGD, GROUPS = "EASGD", "EASGD, 2 / (m + 2)", "LSGD", "LSGD, groups of 4"
COMPLETION, CNN, PERCEPTRON = "matrix completion", "Mnist, CNN", "Mnist, perceptron"


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
    """What is minimised, by how many workers, and what to look at.

    Args:
        workload: Data, model and loss.
        oracle: Where gradients come from.
        workers: How many, a multiple of `GROUP`.
        steps: Iterations of a run.
        period: Iterations from one communication of all workers to the next, a multiple of `GROUP`.
        momentum: Nesterov's, of the local iterations.
        rates: Candidates for the learning rate.
        pulls: Candidates for the pulls of LSGD.
        compared: Names of methods.
        name: What is measured, the less the better.
        value: It, from the metrics of a run.
        target: Of it, until which iterations are counted.
        last: Evaluations at the end over which it is averaged.
        soonest: Whether the best candidate is the one that is soonest at the target, and not the best one at the end.
    """

    workload: Workload
    oracle: Oracle
    workers: int
    steps: int
    period: int
    momentum: float
    rates: tuple[float, ...]
    pulls: tuple[float, ...]
    compared: tuple[str, ...]
    name: str
    value: Callable[[Mapping[str, float]], float]
    target: float
    last: int
    soonest: bool

    def methods(self) -> dict[str, Method]:
        """What is compared, by the names that the table gives them."""
        local = SGD(momentum=self.momentum, nesterov=self.momentum > 0)

        def centre(lr: float, alpha: float) -> Algorithm:
            return ElasticAveraging(lr, alpha, self.period, overlap=False, optimizer=local)

        def elastic(lr: float, alpha: float) -> Algorithm:
            return ElasticAveraging(lr, alpha, self.period, optimizer=local, output="combined")

        def leader(lr: float, pull: float) -> Algorithm:
            return LeaderSGD(lr, self.period, pull, pull, groups=1, optimizer=local)

        def leaders(lr: float, pull: float) -> Algorithm:
            groups, period = self.workers // GROUP, self.period // GROUP
            return LeaderSGD(lr, period, pull, pull, groups, GROUP, pull, pull, optimizer=local)

        every = {
            EASGD: Method(centre, (BETA / self.workers,)),
            FAST: Method(elastic, (2 / (self.workers + 2),)),
            LSGD: Method(leader, self.pulls),
            GROUPS: Method(leaders, self.pulls),
        }
        return {name: every[name] for name in self.compared}

    def train(self, algorithm: Algorithm, seed: int) -> History:
        """What was measured from the start to the end; empty if it diverged."""
        return history_of(
            self.workload,
            complete(self.workers),
            algorithm,
            oracle=self.oracle,
            steps=self.steps,
            seed=seed,
            evaluate_every=max(1, self.steps // EVALUATIONS),
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
    """By the names that the table gives them; `steps` are those of the CNN, of which others have more."""
    mnist: dict[str, Any] = {
        "oracle": Minibatch(batch=16),
        "period": 16,
        "momentum": 0.9,
        "rates": (0.01, 0.03),
        "pulls": PULLS,
        "name": "test error",
        "value": lambda metrics: 1 - metrics["test_accuracy"],
        "last": 4,
        "soonest": False,
    }
    return {
        COMPLETION: Landscape(
            MatrixCompletion(size=size, rank=3, observed=0.8),
            Full(),
            workers=8,
            steps=3 * steps,
            period=4,
            momentum=0.0,
            rates=(3.0, 10.0, 20.0),
            pulls=(0.1, 0.3, 0.6),
            compared=(EASGD, FAST, LSGD, GROUPS),
            name="objective",
            value=lambda metrics: metrics["objective"],
            target=1e-4,
            last=1,
            soonest=True,
        ),
        CNN: Landscape(Mnist(model="cnn"), workers=4, steps=steps, compared=(EASGD, FAST, LSGD), target=0.1, **mnist),
        PERCEPTRON: Landscape(
            Mnist(hidden=hidden), workers=16, steps=3 * steps, compared=(EASGD, FAST, GROUPS), target=0.12, **mnist
        ),
    }


def run(seeds: Sequence[int], say: Say, *, size: int = 50, hidden: int = 64, steps: int = 100) -> Findings:
    """On every landscape, tune every method with as many other seeds, then train with these.

    Args:
        size: Of the matrix.
        hidden: Width of the perceptron's hidden layer.
        steps: Iterations of a run with the CNN, a third of what the others have.
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
            lr, strength = min(tried, key=lambda options: tried[options] if landscape.soonest else tried[options][::-1])
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


def _claims(curves: Mapping[str, Any]) -> list[Claim]:
    claims = []
    for where, name in ((COMPLETION, LSGD), (COMPLETION, GROUPS), (CNN, LSGD), (PERCEPTRON, GROUPS)):
        ours, *theirs = (curves[where][each]["steps"] for each in (name, EASGD, FAST))
        claims.append(
            Claim(
                f"{where}: {name} gets to the target in fewer steps than either EASGD",
                f"{np.mean(ours):.0f} ({_listed(ours)}) against "
                + " and ".join(f"{np.mean(each):.0f} ({_listed(each)})" for each in theirs),
                bool(np.mean(ours) < np.mean(theirs, axis=1).min()),
            )
        )
    for (where, name), rival in product(((CNN, LSGD), (PERCEPTRON, GROUPS)), (EASGD, FAST)):
        ours, other = (100 * float(np.mean(curves[where][each]["end"])) for each in (name, rival))
        claims.append(
            Claim(
                f"{where}: {name} has a lower test error at the end than {rival}",
                f"{ours:.2f} % against {other:.2f} %",
                ours < other,
            )
        )
    return claims


def _listed(values: Sequence[float]) -> str:
    return ", ".join(map(str, values))


def _draw(figure: Figure, curves: Mapping[str, Any], places: Mapping[str, Landscape]) -> None:
    """What is measured over iterations, every seed a line."""
    figure.set_size_inches(13, 4.2)
    colors = {name: f"C{i}" for i, name in enumerate((EASGD, FAST, LSGD, GROUPS))}
    for axes, (where, methods) in zip(figure.subplots(1, 3), curves.items(), strict=True):
        for name, curve in methods.items():
            axes.plot([], [], color=colors[name], label=name)
            for values in filter(None, curve["values"]):
                axes.semilogy(*zip(*values, strict=True), color=colors[name], alpha=0.8, linewidth=1)
        axes.axhline(places[where].target, color="0.6", linestyle=":")
        axes.set_title(where, fontsize=10)
        axes.set_xlabel("iterations")
        axes.set_ylabel(places[where].name)
        axes.legend(fontsize=8, frameon=False)


STUDY = Study(
    paper="Teng, Gao, Chalus, Choromanska, Goldfarb, Weller 2019, arXiv 1905.10395",
    claim="a pull towards the best worker leads further than one towards the average of workers",
    run=run,
    seeds=3,
)
