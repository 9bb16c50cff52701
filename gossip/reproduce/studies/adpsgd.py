"""One node is ten times slower: AD-PSGD keeps its speed, synchronous methods lose theirs.

Lian, Zhang, Zhang, Liu, "Asynchronous Decentralized Parallel Stochastic Gradient Descent", ICML 2018, arXiv 1710.06952.

As in the paper 16 nodes are on a ring, and one of them takes ten times as long for a gradient; its networks for
CIFAR-10 and ImageNet are a perceptron on MNIST digits here, without momentum. SwarmSGD with two local steps,
non-blocking, is a further contender. First on the simulated clock: a gradient takes 10 ms and an exponentially
distributed time with the mean 2 ms, links have 0.1 ms and 10 Gbit/s. All methods compute as many gradients, all nodes
together. Learning rates are tuned for each method alike, with nodes of one speed and another seed: 0.1 to 0.8 in four
points, further ones beyond an end that is best, and half a step around the best. The target accuracy was chosen after a
trial with the first seed.

Then on real ranks, four of them on a ring, which mpirun starts: a gradient takes 4 ms or as long as it takes, whatever
is longer, by sleeping, since there may be fewer cores than ranks; the slow one's take ten times that. Trainings with
and without the slow rank take turns, and ratios are of such pairs. As asynchronous ranks compute some gradients more
before they know that there are enough, seconds are those by the number of gradients. With as many speeds as here, they
would be 1.29 times as long; the limit of 2, after a run on a busy machine with up to 1.57, leaves room for machines
that do other things.

In AD-PSGD half of the nodes ask and the others answer, so it is tried with a slow one of each kind. That it keeps its
speed with one that answers takes ranks that answer while they compute, as the paper's do: a thread computes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from algorithms import Minibatch
from gossip import SimulatedClock
from gossip.reproduce.one_slow_rank import AD_PSGD, ALL_REDUCE, D_PSGD, HIDDEN, METHODS, SWARM, method, on_ranks
from gossip.reproduce.problems import TUNING_SEED, best_rate
from gossip.reproduce.study import Claim, Findings, History, Say, Study, history_of
from gossip.workloads import Mnist

NODES, RANKS, BATCH = 16, 4, 16
SLOWDOWN = 10.0
ASKS, ANSWERS = 1, 0  # a node that begins averagings in AD-PSGD, and one that does not
EVERY = 10  # steps from one evaluation to the next
RATES = "0.1..0.8:4"
SYNCHRONOUS = (D_PSGD, ALL_REDUCE)
KEEPS, LOSES, FASTER, POINTS = 1.2, 6.0, 5.0, 0.01
KEEPS_ON_RANKS, LOSES_ON_RANKS = 2.0, 3.0  # of four ranks 1.29, where nothing else is in the way
SPEEDS = {None: "none", ASKS: "asks", ANSWERS: "answers"}  # which node is slow
SIMULATED, REAL = "clock", "ranks"


def simulated(name: str, lr: float, slow: int | None, steps: int, seed: int) -> History:
    """What was measured on the simulated clock; empty if it diverged."""
    slow_nodes = () if slow is None else (slow,)
    clock = SimulatedClock(
        0.01, 1e-4, 1.25e9, exponential_seconds=0.002, slow_nodes=slow_nodes, slowdown=SLOWDOWN if slow_nodes else 1.0
    )
    return history_of(
        Mnist(hidden=HIDDEN),
        *method(name, lr, NODES),
        oracle=Minibatch(BATCH),
        steps=steps,
        clock=clock,
        seed=seed,
        evaluate_every=EVERY,
    )


def run(seeds: Sequence[int], say: Say, *, steps: int = 150, on_each_rank: int = 40, target: float = 0.88) -> Findings:
    """Every method with and without the slow node, in both places.

    Args:
        steps: Gradients of each simulated node, on average.
        on_each_rank: Those of each rank.
        target: The accuracy until which seconds are counted.
    """
    rates, tried = {}, {}
    for name in METHODS:
        say(f"{name}: learning rate")
        rates[name], tried[name] = best_rate(partial(_tuning, name), RATES, max(1, steps * 2 // 3))
    table: list[dict[str, Any]] = []
    curves: dict[str, Any] = {"tuning": tried}
    for name in METHODS:
        alike: list[History] = []
        for slow, speeds in SPEEDS.items():
            if slow == ANSWERS and name in SYNCHRONOUS:
                continue  # all of their nodes do the same
            say(f"{name}, slow node: {speeds}")
            histories = [simulated(name, rates[name], slow, steps, seed) for seed in seeds]
            alike = alike or histories
            table.append(simulated_row(name, rates[name], speeds, histories, alike, target))
            curves[f"{name}, {speeds}"] = histories[0]
    say(f"{RANKS} ranks")
    table += real_rows(rates, on_each_rank, seeds)
    return Findings(table, _claims(table, target), lambda figure: _draw(figure, curves), curves)


def _tuning(name: str, lr: float, steps: int) -> History:
    return simulated(name, lr, None, steps, TUNING_SEED)


def simulated_row(
    name: str, lr: float, speeds: str, histories: Sequence[History], alike: Sequence[History], target: float
) -> dict[str, Any]:
    """A line of the table: means over the seeds, and ratios to the runs without a slow node."""
    pairs = zip(histories, alike, strict=True)
    ratios = [last(one, "simulated_seconds") / last(other, "simulated_seconds") for one, other in pairs]
    return {
        "where": SIMULATED,
        "method": name,
        "lr": lr,
        "slow node": speeds,
        "seconds": float(np.mean([last(history, "simulated_seconds") for history in histories])),
        "times as long": float(np.mean(ratios)),
        "seconds to target": float(np.mean([seconds_to(history, target) for history in histories])),
        "accuracy": float(np.mean([last(history, "test_accuracy") for history in histories])),
    }


def real_rows(rates: Mapping[str, float], steps: int, seeds: Sequence[int]) -> list[dict[str, Any]]:
    """The same of trainings on ranks, which are as many of each kind as there are seeds, but two at least."""
    repeats = max(2, len(seeds))
    cases = [(name, slow) for name in METHODS for slow in SPEEDS]
    described = [
        {"name": name, "lr": rates[name], "slow": slow, "steps": steps, "batch": BATCH, "seed": repeat}
        for repeat in range(repeats)
        for name, slow in cases
    ]
    found = on_ranks(RANKS, described)
    runs = {case: found[number :: len(cases)] for number, case in enumerate(cases)}
    took = {case: [steps * each["seconds"] / each["gradients"] for each in of] for case, of in runs.items()}
    return [
        {
            "where": REAL,
            "method": name,
            "lr": rates[name],
            "slow node": SPEEDS[slow],
            "seconds": float(np.mean(took[name, slow])),
            "times as long": float(np.mean(np.divide(took[name, slow], took[name, None]))),
            "seconds to target": "-",
            "accuracy": float(np.mean([each["accuracy"] for each in runs[name, slow]])),
        }
        for name, slow in cases
    ]


def last(history: History, name: str) -> float:
    """This metric at the end; not a number if the run diverged."""
    return float(history[-1][name]) if history else math.nan


def seconds_to(history: History, target: float) -> float:
    """When the accuracy is first as high as the target; infinite if it never is."""
    return next((each["simulated_seconds"] for each in history if each["test_accuracy"] >= target), math.inf)


def _claims(table: Sequence[Mapping[str, Any]], target: float) -> list[Claim]:
    rows = {(row["where"], row["method"], row["slow node"]): row for row in table}

    def ratio(where: str, name: str, speeds: str) -> float:
        return float(rows[where, name, speeds]["times as long"])

    mine = max(ratio(SIMULATED, AD_PSGD, speeds) for speeds in ("asks", "answers"))
    others = min(ratio(SIMULATED, name, "asks") for name in SYNCHRONOUS)
    slow = {name: rows[SIMULATED, name, "asks"] for name in METHODS}
    sooner = min(slow[name]["seconds to target"] for name in SYNCHRONOUS) / slow[AD_PSGD]["seconds to target"]
    less = max(slow[name]["accuracy"] for name in SYNCHRONOUS) - slow[AD_PSGD]["accuracy"]
    real, swarm = (max(ratio(REAL, name, speeds) for speeds in ("asks", "answers")) for name in (AD_PSGD, SWARM))
    real_others = min(ratio(REAL, name, "asks") for name in SYNCHRONOUS)
    return [
        Claim(
            f"simulated: AD-PSGD takes at most {KEEPS} times as long with a slow node, whichever it is",
            f"{mine:.3g} times",
            mine <= KEEPS,
        ),
        Claim(
            f"simulated: synchronous methods take at least {LOSES:g} times as long", f"{others:.3g}", others >= LOSES
        ),
        Claim(
            f"simulated, slow node: AD-PSGD is at accuracy {target} at least {FASTER:g} times sooner than they are",
            f"{sooner:.3g} times sooner",
            sooner >= FASTER,
        ),
        Claim(
            f"simulated, slow node: after as many gradients, at most {100 * POINTS:.0f} point below the better of them",
            f"{100 * less:.2f} points below",
            less <= POINTS,
        ),
        Claim(
            f"{RANKS} ranks: AD-PSGD takes at most {KEEPS_ON_RANKS} times as long with a slow one, whichever it is",
            f"{real:.3g} times",
            real <= KEEPS_ON_RANKS,
        ),
        Claim(
            f"{RANKS} ranks: SwarmSGD takes at most {KEEPS_ON_RANKS} times as long with a slow one, whichever it is",
            f"{swarm:.3g} times",
            swarm <= KEEPS_ON_RANKS,
        ),
        Claim(
            f"{RANKS} ranks: synchronous methods take at least {LOSES_ON_RANKS:g} times as long",
            f"{real_others:.3g} times",
            real_others >= LOSES_ON_RANKS,
        ),
    ]


def _draw(figure: Figure, curves: Mapping[str, Any]) -> None:
    """Accuracy over simulated seconds and over gradients, with a slow node."""
    figure.set_size_inches(10, 4.5)
    over_seconds, over_gradients = figure.subplots(1, 2, sharey=True)
    for name in METHODS:
        history = curves[f"{name}, asks"]
        accuracies = [each["test_accuracy"] for each in history]
        over_seconds.plot([each["simulated_seconds"] for each in history], accuracies, label=name)
        over_gradients.plot([each["step"] for each in history], accuracies, label=name)
    over_seconds.set_xlabel("simulated seconds")
    over_seconds.set_ylabel("test accuracy of the average model")
    over_gradients.set_xlabel("gradients per node, on average")
    over_gradients.legend(fontsize=8, frameon=False)


STUDY = Study(
    paper="Lian, Zhang, Zhang, Liu 2018, arXiv 1710.06952",
    claim="AD-PSGD keeps its speed where one node is ten times slower, and synchronous methods lose theirs",
    run=run,
    seeds=3,
)
