"""Error reset: CSER and M-CSER against error feedback and local SGD at the same few bytes.

Xie, Zheng, Koyejo, Gupta, Li, Lin, "CSER: Communication-efficient SGD with Error Reset", NeurIPS 2020, arXiv
2007.13221.

A perceptron on Mnist, 8 nodes with 16 images each in a step as in the paper, and GRBS, blocks of entries that all nodes
draw in common, so that averages are all-reduces of these blocks alone. Every method sends d / R numbers per node and
iteration in the mean: EF-SGD with the ratio R; QSparse-local-SGD with R / H in every H-th iteration; local SGD the
whole model in every R-th; and CSER half of them for gradients, with the ratio 2 R, and half for errors, with 2 R / H at
a reset in every H-th iteration, as in the authors' scripts. Bytes are those since all have the same model. Accuracies
are those of the average model, which the authors evaluate as well.

1,024 iterations, where the paper has some 80,000, are no more than R: with R = 1024 EF-SGD sends each entry about once
in the whole training, and local SGD averages at its end alone. So the small scale flatters CSER, whose local models
move with all of the gradients. The learning rate is a fifth after each of 0.3, 0.6 and 0.8 of the training, as the
paper's, after a ramp for a twentieth.

Learning rates are the best of a start and this times powers of 2, searched uphill until the next one is worse on both
sides, by the accuracy at the end with the seed 100, which is not among those of the table. SGD and error feedback are
also tuned over Nesterov's momentum 0.9 or none, and are in the table with the better one; local SGD has momentum.

Local SGD, which is not among the authors' baselines, is as good as CSER here once it has a learning rate of its own,
although its models are averaged four times, or once: nodes have images of the same distribution. This claim, and the
bounds of the others, were chosen after what was seen with the seed 100, and before the run that counts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from algorithms import (
    Algorithm,
    Cser,
    ErrorFeedbackSGD,
    LearningRate,
    LocalSGD,
    Minibatch,
    QsparseLocalSGD,
    RandomBlock,
    ShardedWorkload,
    StepDecay,
    WarmUp,
)
from gossip.reproduce.study import Claim, Findings, History, Say, Study, history_of
from gossip.workloads import Mnist
from topologies import complete

NODES = 8
BATCH = 16
STEPS = 1024
EVALUATIONS = 16
LAST = 3  # evaluations over which accuracies in the end are averaged
BLOCKS = 4096  # of which the most aggressive operator keeps two
PERIODS = {256: 16, 1024: 32}  # from the overall reduction R to the period H
SGD, EF, QSPARSE, LOCAL, CSER = "SGD", "EF-SGD", "QSparse-local-SGD", "local SGD", "CSER"
METHODS = (EF, QSPARSE, LOCAL, CSER)
POINTS = {256: 2.0, 1024: 3.0}  # of accuracy below SGD, at most
NEAR = 2.0  # points up to which one is as good as the other
SAME_BYTES = 0.02
RATES = {  # by method, R and momentum
    (SGD, 1, 0.0): 0.1,
    (EF, 256, 0.9): 0.000775,
    (QSPARSE, 256, 0.9): 0.000775,
    (LOCAL, 256, 0.9): 0.0125,
    (CSER, 256, 0.0): 0.1,
    (CSER, 256, 0.9): 0.025,
    (EF, 1024, 0.0): 0.0124,
    (QSPARSE, 1024, 0.0): 0.0125,
    (LOCAL, 1024, 0.9): 0.00625,
    (CSER, 1024, 0.0): 0.1,
    (CSER, 1024, 0.9): 0.025,
}


def blocks(ratio: float) -> RandomBlock:
    """GRBS that keeps one entry of so many."""
    return RandomBlock(ratio, BLOCKS)


def make(method: str, reduction: int, momentum: float, lr: float | LearningRate) -> Algorithm:
    """A method that sends d / reduction numbers per node and iteration, in the mean.

    Args:
        method: `SGD`, or one of `METHODS`.
        reduction: R, one of `PERIODS`; 1 for `SGD`.
        momentum: Nesterov's.
        lr: The learning rate.
    """
    momenta: dict[str, Any] = {"momentum": momentum, "nesterov": momentum > 0}
    if method == SGD:
        return LocalSGD(lr, 1, **momenta)
    period = PERIODS[reduction]
    if method == EF:
        return ErrorFeedbackSGD(lr, blocks(reduction), **momenta)
    if method == QSPARSE:
        return QsparseLocalSGD(lr, period, blocks(reduction / period), **momenta, server="replicated")
    if method == LOCAL:
        return LocalSGD(lr, reduction, **momenta)
    # Half of the numbers for the gradients, half for the errors, as in the paper.
    return Cser(lr, blocks(2 * reduction), blocks(2 * reduction / period), period, momentum)


def schedule(lr: float, steps: int) -> LearningRate:
    """A ramp for a twentieth of the steps, and a fifth of it after each of 0.3, 0.6 and 0.8 of all, as in the paper."""
    ramp = steps // 20
    return WarmUp(ramp, StepDecay(lr, tuple(int(share * steps) - ramp for share in (0.3, 0.6, 0.8)), 0.2))


def train(shards: ShardedWorkload, algorithm: Algorithm, steps: int, seed: int) -> History:
    """What was measured of the average model; empty if it diverged."""
    return history_of(
        shards,
        complete(NODES),
        algorithm,
        oracle=Minibatch(BATCH),
        steps=steps,
        seed=seed,
        evaluate_every=max(1, steps // EVALUATIONS),
    )


def run(seeds: Sequence[int], say: Say, *, steps: int = STEPS, hidden: int = 16) -> Findings:
    """Every contender with every seed.

    Args:
        steps: Of each training, a multiple of all reductions.
        hidden: Width of the perceptron.
    """
    shards = {seed: Mnist(hidden=hidden).shard(NODES, seed) for seed in seeds}
    dense = 2 * 4e-3 * shards[seeds[0]].layout.d * (NODES - 1) / NODES  # up and down a tree of all nodes
    table: list[dict[str, Any]] = []
    curves: dict[str, Any] = {}
    for (method, reduction, momentum), lr in RATES.items():
        name = f"{method}, R {reduction}, momentum {momentum}"
        say(name)
        algorithm = make(method, reduction, momentum, schedule(lr, steps))
        histories = [train(shards[seed], algorithm, steps, seed) for seed in seeds]
        accuracies = [100 * accuracy(history) for history in histories]
        sent = kilobytes(histories[0]) / steps if histories[0] else math.nan
        table.append(
            {
                "R": reduction,
                "method": method,
                "momentum": momentum,
                "learning rate": lr,
                "kB per node and step": sent,
                "times fewer bytes": dense / sent if sent else math.inf,
                "accuracy (%)": float(np.mean(accuracies)),
                "spread": float(np.ptp(accuracies)),
                "distance": float(np.mean([last(history, "consensus_distance") for history in histories])),
            }
        )
        curves[name] = histories
    return Findings(table, claims(table), lambda figure: _draw(figure, curves), curves)


def accuracy(history: History) -> float:
    """Of the average model, the mean over the last evaluations; 0 if the run diverged."""
    return float(np.mean([metrics["test_accuracy"] for metrics in history[-LAST:]])) if history else 0.0


def kilobytes(history: History) -> float:
    """What a node has sent since all have the same model: the dense average at the start is not counted."""
    return 1e-3 * float(history[-1]["bytes_sent_per_node"] - history[0]["bytes_sent_per_node"])


def last(history: History, name: str) -> float:
    """This metric at the end; not a number if the run diverged."""
    return float(history[-1][name]) if history else math.nan


def claims(table: Sequence[Mapping[str, Any]]) -> list[Claim]:
    """What is put to the test, given the table."""
    sent = {f"{row['method']}, R {row['R']}": row["times fewer bytes"] / row["R"] for row in table}

    def best(method: str, reduction: int) -> float:
        """With or without momentum."""
        return max(row["accuracy (%)"] for row in table if (row["method"], row["R"]) == (method, reduction))

    found = []
    for reduction in PERIODS:
        full, own = best(SGD, 1), best(CSER, reduction)
        others = {method: best(method, reduction) for method in METHODS if method != CSER}
        found += [
            Claim(
                f"R = {reduction}: CSER is more accurate than error feedback at the same bytes",
                f"{own:.1f} %; " + ", ".join(f"{method} {others[method]:.1f} %" for method in (EF, QSPARSE)),
                own > max(others[EF], others[QSPARSE]),
            ),
            Claim(
                f"R = {reduction}: CSER is at most {POINTS[reduction]} points less accurate than SGD",
                f"{full - own:.1f} points",
                full - own <= POINTS[reduction],
            ),
            Claim(
                f"R = {reduction}: local SGD, not among the authors' baselines, is as good, within {NEAR} points",
                f"{others[LOCAL]:.1f} %",
                abs(others[LOCAL] - own) <= NEAR,
            ),
        ]
    return [
        *found,
        Claim(
            f"all send what they are said to, within {100 * SAME_BYTES:.0f} %",
            f"{min(sent.values()):.3g} to {max(sent.values()):.3g} of R",
            all(abs(share - 1) <= SAME_BYTES for share in sent.values()),
        ),
    ]


def _draw(figure: Figure, curves: Mapping[str, Any]) -> None:
    """Accuracies over steps, of the first seed."""
    figure.set_size_inches(11, 4.2)
    panels = dict(zip(PERIODS, figure.subplots(1, len(PERIODS), sharey=True), strict=True))
    colors = {method: f"C{i}" for i, method in enumerate((SGD, *METHODS))}
    for name, histories in curves.items():
        method, reduction, momentum = name.split(", ")
        style = "-" if momentum == "momentum 0.9" else "--"
        for ratio, axes in panels.items():
            if reduction in ("R 1", f"R {ratio}"):
                steps = [metrics["step"] for metrics in histories[0]]
                accuracies = [100 * metrics["test_accuracy"] for metrics in histories[0]]
                axes.plot(steps, accuracies, style, color=colors[method], label=f"{method}, {momentum}")
    for ratio, axes in panels.items():
        axes.set(xlabel="steps", title=f"R = {ratio}")
        axes.title.set_fontsize(10)
    first = next(iter(panels.values()))
    first.set_ylabel("test accuracy of the average model (%)")
    first.legend(fontsize=7, frameon=False)


STUDY = Study(
    paper="Xie, Zheng, Koyejo, Gupta, Li, Lin 2020, arXiv 2007.13221",
    claim="with error reset SGD does with 256 and 1,024 times fewer bytes, where error feedback does not",
    run=run,
    seeds=3,
)
