"""Six of ten workers attack an asynchronous server: what a validation gradient of its own is good for.

Xie, Koyejo, Gupta, "Zeno++: Robust Fully Asynchronous SGD", ICML 2020, arXiv 1903.07020: where workers push gradients
at any time, a server that compares each to a gradient on validation data withstands a majority of attackers. The same,
"ZenoPS: A Distributed Learning System Integrating Communication Efficiency and Security", Algorithms 15(7):233, 2022,
has local iterations besides.

A perceptron of 32 hidden units on MNIST digits (5,000 images, where the paper has CIFAR-10 and a convolutional
network), 10 workers, batch 128, 200 gradients per node on average; on the simulated clock a gradient takes 10 ms and an
exponentially distributed time with the mean 5 ms, worker 9 five times as long; links have 1 ms and 1 Gbit/s. Six
workers flip the signs of what they send, as it is or 10 times as large, train on flipped labels, or send normal noise.
"async SGD" is DOWNPOUR with a period of 1. Zeno++ has the paper's rho = 0.001, epsilon = 0 and a validation gradient
every 10 updates, on 128 examples of the server's share of the data, and once epsilon = 0.1; ZenoPS its code's 8 local
iterations, rho = 0.2, alpha = 0.4 and threshold -0.02.

The learning rate of each method, 0.01, 0.02 or 0.04, is that with the best mean over all attacks and none on another
seed: rates that are best without attackers (0.04) are too large with them, in a trial on that seed Zeno++ was at 68 %
with flipped signs then. The limits were set after this trial.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from algorithms import (
    Asynchronous,
    AsynchronousZenoPS,
    Attack,
    AttackedNodes,
    Downpour,
    GaussianNoise,
    Minibatch,
    SignFlip,
    ZenoPlusPlus,
)
from gossip import SimulatedClock
from gossip.reproduce.problems import draw_attacks, final_accuracy
from gossip.reproduce.study import Claim, Findings, History, Say, Study, history_of
from gossip.workloads import FlippedLabels, Mnist
from topologies import complete

WORKERS, BATCH, SLOW = 10, 128, 9
ATTACKERS = (0, 1, 2, 3, 4, 5)
CLOCK = SimulatedClock(0.01, 1e-3, 1.25e8, exponential_seconds=0.005, slow_nodes=(SLOW,), slowdown=5.0)
RATES = (0.01, 0.02, 0.04)
TUNED_WITH = 99  # the seed
HONEST, LABELS = "nobody", "labels"
ATTACKS: dict[str, Attack | None] = {
    HONEST: None,
    "signs": SignFlip(),
    "10 x signs": SignFlip(10.0),
    LABELS: None,
    "noise": GaussianNoise(),
}
ASYNC, ZENO, LENIENT, PS = "async SGD", "Zeno++", "Zeno++, epsilon = 0.1", "ZenoPS"
METHODS: dict[str, Callable[[float], Asynchronous]] = {
    ASYNC: lambda lr: Downpour(lr),
    ZENO: lambda lr: ZenoPlusPlus(lr),
    LENIENT: lambda lr: ZenoPlusPlus(lr, epsilon=0.1),
    PS: lambda lr: AsynchronousZenoPS(lr),
}
FAILS, KEEPS, PRICE, FEWER = 0.4, 0.1, 0.05, 4


@dataclass(frozen=True)
class Training:
    """How long it takes, on what."""

    steps: int
    hidden: int

    def history(self, name: str, lr: float, attack: str, seed: int) -> History:
        """What was measured; empty if it diverged."""
        workload, forge, method = Mnist(hidden=self.hidden), ATTACKS[attack], METHODS[name](lr)
        return history_of(
            FlippedLabels(workload, ATTACKERS) if attack == LABELS else workload,
            complete(WORKERS + method.trusted),  # those that validate are nodes with data
            AttackedNodes(method, forge, ATTACKERS) if forge else method,
            oracle=Minibatch(BATCH),
            steps=self.steps,
            clock=CLOCK,
            seed=seed,
            evaluate_every=max(1, self.steps // 10),
        )


def run(seeds: Sequence[int], say: Say, *, steps: int = 200, hidden: int = 32) -> Findings:
    """Every method under each attack.

    Args:
        steps: Gradients of each node, on average.
        hidden: Width of the perceptron.
    """
    training, table = Training(steps, hidden), []
    curves: dict[str, Any] = {"tuning": {}}
    for name in METHODS:
        say(f"{name}, learning rates")
        tried = {
            lr: float(np.mean([final_accuracy(training.history(name, lr, attack, TUNED_WITH)) for attack in ATTACKS]))
            for lr in RATES
        }
        curves["tuning"][name] = tried
        best = max(tried, key=lambda lr: tried[lr])
        row: dict[str, Any] = {"method": name, "lr": best, "MB": 0.0}
        curves[name] = {}
        for attack in ATTACKS:
            say(f"{name}, {attack}")
            histories = [training.history(name, best, attack, seed) for seed in seeds]
            found = [final_accuracy(history) for history in histories]
            curves[name][attack] = found
            row[attack] = float(np.mean(found))
            if attack == HONEST:
                row["MB"] = float(np.mean([history[-1]["bytes_sent_per_node"] for history in histories])) / 1e6
        table.append(row)

    def draw(figure: Figure) -> None:
        found = {name: curves[name] for name in METHODS}
        draw_attacks(figure, found, list(ATTACKS), f"attack of {len(ATTACKERS)} of {WORKERS} workers")

    return Findings(table, _claims(table), draw, curves)


def _claims(table: Sequence[Mapping[str, Any]]) -> list[Claim]:
    rows = {row["method"]: row for row in table}
    clean = rows[ASYNC][HONEST]
    attacks = [attack for attack in ATTACKS if attack != HONEST]

    def lost(name: str, among: Sequence[str] = attacks) -> list[float]:
        return [clean - rows[name][attack] for attack in among]

    def points(losses: Sequence[float]) -> str:
        return ", ".join(f"{100 * loss:.1f}" for loss in losses) + " points"

    bytes_ = rows[ASYNC]["MB"] / rows[PS]["MB"]
    price = lost(ZENO, [HONEST])
    return [
        Claim(
            f"async SGD loses at least {100 * FAILS:.0f} points by each attack of 6 of 10 workers",
            points(lost(ASYNC)),
            min(lost(ASYNC)) >= FAILS,
        ),
        Claim(
            f"Zeno++ loses at most {100 * KEEPS:.0f} points by any, of what async SGD has without attackers",
            points(lost(ZENO)),
            max(lost(ZENO)) <= KEEPS,
        ),
        Claim(
            f"ZenoPS loses at most {100 * KEEPS:.0f} points, with at least {FEWER} times fewer bytes",
            f"{points(lost(PS))}, {bytes_:.3g} times fewer bytes",
            max(lost(PS)) <= KEEPS and bytes_ >= FEWER,
        ),
        Claim(f"without attackers Zeno++ costs at most {100 * PRICE:.0f} points", points(price), max(price) <= PRICE),
    ]


STUDY = Study(
    paper="Xie, Koyejo, Gupta 2020, arXiv 1903.07020, and 2022, doi 10.3390/a15070233",
    claim="a server with a validation gradient withstands six hostile workers of ten, whenever they push",
    run=run,
    seeds=3,
)
