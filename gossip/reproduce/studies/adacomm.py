"""AdaComm: periods of local steps that shrink as the loss does, against fixed ones, over simulated time.

Wang & Joshi, "Adaptive Communication Strategies to Achieve the Best Error-Runtime Trade-off in Local-Update SGD",
MLSys 2019, arXiv 1810.08313.

A convolutional network on Mnist, and 4 nodes. As of VGG-16 in the paper, an average of the model takes `RATIO` times as
long as the gradient of a step, which takes a second here. Fully synchronous SGD averages in every step; the others have
the same time. AdaComm starts with a period of 20.

All methods are plain SGD with a constant learning rate, each with the best one of its candidates, with a seed that is
not among those of the table: the one that has the lowest loss at the end of the time, or of AdaComm that gets to the
synchronous one first. AdaComm's interval is chosen in the same way. It matters: in each the refined rule halves the
period at least, so that with a 60th of the time (the paper's 60 seconds are about that) it is 1 before a tenth of it is
over, which left AdaComm with 0.83 of the time of synchronous SGD.

The loss is that of the average of all models on training images, always the same ones, averaged over `AVERAGED`
measurements, as it swings. The time to the synchronous loss is when the line between them reaches what synchronous SGD
ends with.

The floor that long fixed periods have in the paper does not show in so short a training, with the same distribution on
all nodes: periods of 20 and 100 end with a lower loss than AdaComm, which is where it is when its period has become 1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from algorithms import AdaComm, Layout, LocalSGD, Minibatch, Sample, ShardedWorkload
from gossip import SimulatedClock
from gossip.reproduce.study import Claim, Findings, History, Say, Study, history_of
from gossip.workloads import Mnist
from topologies import complete

NODES = 4
RATIO = 4.0
INTERVALS = (10, 20)  # candidates: how many AdaComm has in the time of a training
START = 20
RATES = (0.05, 0.1)
AVERAGED = 3
SYNCHRONOUS, ADACOMM = "synchronous", "AdaComm"
FIXED = {SYNCHRONOUS: 1, "period 20": 20, "period 100": 100}
FASTER = 2.0


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


def steps_within(seconds: float, period: int | AdaComm) -> int:
    """How many steps take this time; a bound of it for AdaComm, which ends up with averages in every step."""
    return round(seconds / (1 + RATIO / (period if isinstance(period, int) else 4)))


def train(
    shards: OnTrainingImages,
    period: int | AdaComm,
    lr: float,
    *,
    seconds: float,
    batch: int,
    points: int,
    seed: int,
) -> History:
    """What was measured at so many points of this time; empty if it diverged."""
    steps = steps_within(seconds, period)
    return history_of(
        shards,
        complete(NODES),
        LocalSGD(lr, period),
        oracle=Minibatch(batch),
        steps=steps,
        seed=seed,
        evaluate_every=max(1, steps // points),
        clock=clock(shards.layout.d),
    )


def run(
    seeds: Sequence[int],
    say: Say,
    *,
    model: str = "cnn",
    steps: int = 120,
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
    methods: dict[str, Sequence[int | AdaComm]] = {name: [period] for name, period in FIXED.items()}
    methods[ADACOMM] = [AdaComm(START, interval=seconds / intervals) for intervals in INTERVALS]
    another = max(seeds) + 1
    shards = {seed: workload(model, seed, measured) for seed in (*seeds, another)}
    table: list[dict[str, Any]] = []
    curves: dict[str, Any] = {"tuning": {}, "seconds": seconds}
    target = math.inf
    for name, periods in methods.items():
        candidates = list(product(periods, rates))
        tried = []
        for period, lr in candidates:
            say(f"{name}: trying learning rate {lr:.3g}" + (f", {period}" if name == ADACOMM else ""))
            history = train(shards[another], period, lr, seconds=seconds, batch=batch, points=points, seed=another)
            tried.append({"loss": loss_at(history, seconds), "seconds": time_to(history, target)})
        judged = "seconds" if name == ADACOMM else "loss"
        best = min(range(len(tried)), key=lambda i: (tried[i][judged], tried[i]["loss"]))
        if name == SYNCHRONOUS:
            target = tried[best]["loss"]
        period, lr = candidates[best]
        histories = []
        for seed in seeds:
            say(f"{name}: seed {seed}")
            histories.append(train(shards[seed], period, lr, seconds=seconds, batch=batch, points=points, seed=seed))
        curves["tuning"][name] = tried
        curves[name] = {
            "losses": [list(zip(*smooth(history), strict=True)) for history in histories],
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
                "learning rate": lr,
                "interval": period.interval if isinstance(period, AdaComm) else "-",
                "loss": float(np.mean(curves[name]["final"])),
                "of each seed": ", ".join(f"{loss:.3f}" for loss in curves[name]["final"]),
                "seconds to the synchronous loss": float(np.mean(curves[name]["to synchronous"])),
                "times faster": seconds / float(np.mean(curves[name]["to synchronous"])),
            }
        )
    return Findings(table, _claims(curves), lambda figure: _draw(figure, curves), curves)


def smooth(history: History) -> tuple[list[float], list[float]]:
    """The times, and losses averaged over those just before and at each of them."""
    losses = [each["test_loss"] for each in history]
    averaged = [float(np.mean(losses[max(0, i + 1 - AVERAGED) : i + 1])) for i in range(len(losses))]
    return [each["simulated_seconds"] for each in history], averaged


def loss_at(history: History, seconds: float) -> float:
    """The averaged loss at this time, on the line between measurements; infinite if it diverged."""
    return float(np.interp(seconds, *smooth(history))) if history else math.inf


def time_to(history: History, loss: float) -> float:
    """When the line between averaged losses first is at this loss; infinite if never."""
    for (start, before), (end, after) in pairwise(zip(*smooth(history), strict=True)):
        if after <= loss:
            part = (before - loss) / (before - after) if before > after else 1.0
            return start + part * (end - start)
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


STUDY = Study(
    paper="Wang & Joshi 2019, arXiv 1810.08313",
    claim="periods that adapt have the loss of synchronous SGD in half the time",
    run=run,
    seeds=2,
)
