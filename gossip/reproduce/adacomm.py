"""AdaComm: periods of local steps that shrink as the loss does, against fixed ones, over simulated time.

Wang & Joshi, "Adaptive Communication Strategies to Achieve the Best Error-Runtime Trade-off in Local-Update SGD",
MLSys 2019, arXiv 1810.08313.

A convolutional network on Mnist, and 4 nodes. As of VGG-16 in the paper, an average of the model takes `RATIO` times as
long as the gradient of a step, which takes a second here. Fully synchronous SGD averages in every step; the others have
the same time. AdaComm starts with a period of 20, and may change it as often as in the paper, where an interval is a
60th of the training.

All methods are plain SGD with a constant learning rate, each with the best one of its candidates: the one that has the
lowest loss at the end of the time, with a seed that is not among those of the table. The loss is that of the average of
all models on training images, always the same ones. The time to the synchronous loss is when the line between the
measurements reaches what synchronous SGD ends with.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from algorithms import AdaComm, Layout, LocalSGD, Minibatch, Sample, ShardedWorkload
from algorithms.local_steps import Period
from gossip import SimulatedClock
from gossip.reproduce.study import Claim, Findings, Say, Study, history_of
from gossip.workloads import Mnist
from topologies import complete

NODES = 4
RATIO = 4.0
INTERVALS = 60  # in the time of a training
START = 20
RATES = (0.05, 0.1, 0.2)
SYNCHRONOUS, ADACOMM = "synchronous", "AdaComm"
FIXED = {SYNCHRONOUS: 1, "period 20": 20, "period 100": 100}
FASTER = 2.0

History = Sequence[Mapping[str, float]]


@dataclass(frozen=True)
class OnTrainingImages:
    """A workload whose "test_loss" is that on some of its training examples.

    Args:
        shards: The workload.
        examples: (n, m), of each node.
    """

    shards: ShardedWorkload
    chosen: Tensor

    @property
    def layout(self) -> Layout:
        return self.shards.layout

    def initial(self) -> Tensor:
        return self.shards.initial()

    def examples(self, node: int) -> int:
        return self.shards.examples(node)

    def gradient(self, x: Tensor, nodes: Sequence[int], examples: Tensor | None = None) -> Sample:
        return self.shards.gradient(x, nodes, examples)

    def evaluate(self, x: Tensor) -> Mapping[str, float]:
        n = len(self.chosen)
        losses = self.shards.gradient(x.expand(n, -1), range(n), self.chosen).loss
        return {"test_loss": float(losses.double().mean())}


def workload(model: str, seed: int, measured: int) -> OnTrainingImages:
    """Mnist on all nodes, with losses on so many images of each."""
    shards = Mnist(model=model).shard(NODES, seed)  # type: ignore[arg-type]
    return OnTrainingImages(shards, torch.arange(measured).expand(NODES, -1).contiguous())


def clock(d: int) -> SimulatedClock:
    """On which the gradient of a step takes a second and an average of models of d numbers RATIO seconds."""
    return SimulatedClock(compute_seconds=1.0, latency=0.0, bandwidth=2 * (NODES - 1) / NODES * 4 * d / RATIO)


def steps_within(seconds: float, period: int) -> int:
    """How many steps with averages every so many of them take this time."""
    return round(seconds / (1 + RATIO / period))


def train(
    shards: OnTrainingImages, period: Period, lr: float, steps: int, batch: int, points: int, seed: int
) -> History:
    """What was measured at so many points of time; empty if it diverged."""
    return history_of(
        shards,
        complete(NODES),
        LocalSGD(lr, period),
        oracle=Minibatch(batch),
        steps=steps,
        seed=seed,
        evaluate_every=max(1, steps // points),
        evaluate_nodes=0,
        clock=clock(shards.layout.d),
    )


def run(
    seeds: Sequence[int],
    say: Say,
    model: str = "cnn",
    steps: int = 200,
    batch: int = 8,
    measured: int = 100,
    points: int = 24,
    rates: Sequence[float] = RATES,
) -> Findings:
    """Tune every method with one seed, then train with the others.

    Args:
        model: Of Mnist.
        steps: Of synchronous SGD, which say how much time there is.
        batch: Images per node and iteration.
        measured: Images per node that the loss is measured on.
        points: How many measurements.
        rates: Candidates for the learning rate.
    """
    seconds = steps * (1 + RATIO)
    methods: dict[str, Period] = {**FIXED, ADACOMM: AdaComm(START, interval=seconds / INTERVALS)}
    shards = {seed: workload(model, seed, measured) for seed in (*seeds, max(seeds) + 1)}
    table: list[dict[str, Any]] = []
    curves: dict[str, Any] = {"tuning": {}, "seconds": seconds}
    for name, period in methods.items():
        # AdaComm ends up with averages in every step, and takes some of its time before that.
        most = steps_within(seconds, period if isinstance(period, int) else 4)

        def trained(lr: float, seed: int, period: Period = period, most: int = most, name: str = name) -> History:
            say(f"{name}: learning rate {lr:.3g}, seed {seed}")
            return train(shards[seed], period, lr, most, batch, points, seed)

        tried = {lr: loss_at(trained(lr, max(seeds) + 1), seconds) for lr in rates}
        best = min(tried, key=lambda lr: tried[lr])
        histories = [trained(best, seed) for seed in seeds]
        curves["tuning"][name] = tried
        curves[name] = {
            "losses": [[[each["simulated_seconds"], each["test_loss"]] for each in history] for history in histories],
            "periods": [[each["period"] for each in history if "period" in each] for history in histories],
            "final": [loss_at(history, seconds) for history in histories],
        }
        targets = curves[SYNCHRONOUS]["final"]
        curves[name]["to synchronous"] = [
            time_to(history, target) for history, target in zip(histories, targets, strict=True)
        ]
        table.append(
            {
                "method": name,
                "learning rate": best,
                "loss": float(np.mean(curves[name]["final"])),
                "of each seed": ", ".join(f"{loss:.3f}" for loss in curves[name]["final"]),
                "seconds to the synchronous loss": float(np.mean(curves[name]["to synchronous"])),
                "times faster": seconds / float(np.mean(curves[name]["to synchronous"])),
            }
        )
    return Findings(table, _claims(curves), lambda figure: _draw(figure, curves), curves)


def loss_at(history: History, seconds: float) -> float:
    """The loss at this time, on the line between measurements; infinite if it diverged."""
    if not history:
        return math.inf
    times = [each["simulated_seconds"] for each in history]
    return float(np.interp(seconds, times, [each["test_loss"] for each in history]))


def time_to(history: History, loss: float) -> float:
    """When the line between measurements first is at this loss; infinite if never."""
    for before, after in pairwise(history):
        if after["test_loss"] <= loss:
            fall = before["test_loss"] - after["test_loss"]
            part = (before["test_loss"] - loss) / fall if fall > 0 else 1.0
            return before["simulated_seconds"] + part * (after["simulated_seconds"] - before["simulated_seconds"])
    return math.inf


def _claims(curves: Mapping[str, Any]) -> list[Claim]:
    times = curves[ADACOMM]["to synchronous"]
    share = float(np.mean(times)) / curves["seconds"]
    each = ", ".join(f"{time / curves['seconds']:.2f}" for time in times)
    return [
        Claim(
            "AdaComm has the final loss of synchronous SGD in at most half the time",
            f"in {share:.2f} of the time ({each} with each seed)",
            share <= 1 / FASTER,
        )
    ]


def _draw(figure: Figure, curves: Mapping[str, Any]) -> None:
    """Losses over time, of all seeds, and AdaComm's period."""
    figure.set_size_inches(10, 4.2)
    left, right = figure.subplots(1, 2, width_ratios=(2, 1))
    for i, name in enumerate(curves["tuning"]):
        for seed, points in enumerate(curves[name]["losses"]):
            times, losses = zip(*points, strict=True) if points else ((), ())
            left.plot(times, losses, color=f"C{i}", label=None if seed else name, lw=1)
    for points, periods in zip(curves[ADACOMM]["losses"], curves[ADACOMM]["periods"], strict=True):
        right.step([time for time, _ in points], periods, where="post", color="C3", lw=1)
    left.set_yscale("log")
    left.set_ylabel("training loss")
    left.legend(fontsize=8, frameon=False)
    right.set_ylabel("AdaComm's period")
    for axes in (left, right):
        axes.set_xlim(0, curves["seconds"])
        axes.set_xlabel("simulated seconds")
        axes.grid(color="0.93")


STUDY = Study(
    paper="Wang & Joshi 2019, arXiv 1810.08313",
    claim="periods that adapt have the loss of synchronous SGD in half the time",
    run=run,
    seeds=2,
)
