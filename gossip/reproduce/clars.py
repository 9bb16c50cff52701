"""Large batches without warm-up: layer-wise learning rates from the norms of gradients, of their mean or before it.

Huo, Gu, Huang, "Large Batch Optimization for Deep Learning Using New Complete Layer-Wise Adaptive Rate Scaling", AAAI
2021, arXiv 2002.01576 (first called "Large Batch Training Does Not Need Warmup"); LARS: You, Gitman, Ginsburg, arXiv
1708.03888.

A perceptron on the Mnist workload, 4,000 images for training; as many epochs with batches of 256 and of 4,096, which
is more than all images. The learning rate of each method is the best of its candidates with 256, times 16 for 4,096,
the linear scaling of the paper. It falls along half a cosine to 0, and there is no warm-up, except where LARS gets one,
over an eighteenth of the iterations, the 5 of 90 epochs that the paper gave it. Momentum is 0.9; trust and the limit of
CLARS are those of its released code. CLARS takes the mean of the norms over all images of a batch, the released code
over some microbatches of 8. Every tensor, biases too, has a scale of its own, as the papers' formulas say.

One node has the whole batch: LARS and SGD want the mean gradient, and with it every method is the same on any number.

A method trains if it ends at most 10 points below the best accuracy of any method with 256.

Of the claims, those hold that are about SGD at the scaled rate, 30 % against CLARS's 89 %. LARS trains there as well,
88 %, with warm-up 89 %; and at a tenth of its scaled rate SGD trains too, to 90 %. A reason may be that the paper's
networks are deep, with batch normalisation, and this one has two layers; but with four hidden layers, of ReLU or of
sigmoids, LARS without warm-up trained as well as CLARS in single runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from algorithms import SGD, Clars, Cosine, DecentralizedSGD, Lars, LearningRate, LocalOptimizer, Minibatch, WarmUp
from gossip.reproduce.study import Claim, Findings, History, Say, Study, history_of
from gossip.workloads import Mnist, Supervised
from topologies import complete

IMAGES = 4000  # for training
EVALUATIONS = 10
WARM_UP = 5 / 90  # of the iterations
POINTS = 0.1
PLAIN, LARS, WARM, CLARS = "SGD", "LARS", "LARS, warm-up", "CLARS"


@dataclass(frozen=True)
class Method:
    """An optimizer with what is to be tuned.

    Args:
        optimizer: The update rule.
        rates: Candidates for its learning rate with the small batch.
        warm: Share of the iterations during which the learning rate rises.
    """

    optimizer: LocalOptimizer
    rates: tuple[float, ...]
    warm: float = 0.0

    def schedule(self, lr: float, steps: int) -> LearningRate:
        """The learning rate over so many iterations."""
        rising = round(self.warm * steps)
        falling = Cosine(lr, max(1, steps - rising))
        return WarmUp(rising, falling) if rising else falling


_LARS = Lars(trust=0.001, momentum=0.9, vectors=True)
METHODS = {
    PLAIN: Method(SGD(momentum=0.9), (0.01, 0.03, 0.1, 0.3)),
    LARS: Method(_LARS, (1.0, 3.0, 10.0, 30.0)),
    WARM: Method(_LARS, (1.0, 3.0, 10.0, 30.0), WARM_UP),
    CLARS: Method(
        Clars(trust=0.01, momentum=0.9, limit=0.1, over="samples", vectors=True),
        (0.3, 1.0, 3.0, 10.0),
    ),
}


def train(shards: Supervised, method: Method, lr: float, batch: int, epochs: int, seed: int) -> History:
    """What was measured from the start to the end; empty if it diverged."""
    steps = max(1, epochs * IMAGES // batch)
    over_samples = isinstance(method.optimizer, Clars)
    return history_of(
        shards,
        complete(1),
        DecentralizedSGD(method.schedule(lr, steps), optimizer=method.optimizer),
        oracle=Minibatch(batch=batch, microbatch=1 if over_samples else None),
        steps=steps,
        seed=seed,
        evaluate_every=max(1, steps // EVALUATIONS),
        evaluate_nodes=0,
    )


def run(
    seeds: Sequence[int], say: Say, epochs: int = 40, small: int = 256, large: int = 4096, hidden: int = 32
) -> Findings:
    """Train with every method, both batches and all candidates, with each seed.

    Args:
        epochs: Of a training.
        small: The batch with which learning rates are chosen.
        large: The batch for which they are scaled.
        hidden: Width of the perceptron's hidden layer.
    """
    scaling = large / small
    mnist = Mnist(hidden=hidden)
    shards = {seed: mnist.shard(1, seed) for seed in seeds}
    table: list[dict[str, Any]] = []
    curves: dict[str, Any] = {}
    for name, method in METHODS.items():
        histories: dict[int, dict[float, list[History]]] = {small: {}, large: {}}
        for batch, tried in histories.items():
            for lr in method.rates:
                say(f"{name}, batch {batch}, learning rate {lr * batch / small:g}")
                tried[lr] = [train(shards[seed], method, lr * batch / small, batch, epochs, seed) for seed in seeds]
        means = {
            batch: {lr: float(np.mean([accuracy(history) for history in each])) for lr, each in tried.items()}
            for batch, tried in histories.items()
        }
        base, best = (max(means[batch], key=lambda lr: means[batch][lr]) for batch in (small, large))
        scaled = [accuracy(history) for history in histories[large][base]]
        curves[name] = {
            "rates": method.rates,
            "small": [means[small][lr] for lr in method.rates],
            "large": [means[large][lr] for lr in method.rates],
            "chosen": base,
            "accuracy": scaled,
            "accuracies": [[metrics["test_accuracy"] for metrics in history] for history in histories[large][base]],
        }
        table.append(
            {
                "method": name,
                f"rate, batch {small}": base,
                "accuracy (%)": 100 * means[small][base],
                f"rate, batch {large}": base * scaling,
                "accuracy, scaled (%)": 100 * float(np.mean(scaled)),
                "spread": 100 * float(np.ptp(scaled)),
                "best rate": best * scaling,
                "its accuracy (%)": 100 * means[large][best],
            }
        )
    return Findings(table, _claims(curves), lambda figure: _draw(figure, curves, small, large), curves)


def accuracy(history: History) -> float:
    """At the end; 0 if it diverged."""
    return history[-1]["test_accuracy"] if history else 0.0


def _claims(curves: Mapping[str, Any]) -> list[Claim]:
    least = max(max(curve["small"]) for curve in curves.values()) - POINTS
    scaled = {name: float(np.mean(curve["accuracy"])) for name, curve in curves.items()}
    best = {name: max(curve["large"]) for name, curve in curves.items()}
    trains = f"trains, to at least {least:.1%}"
    return [
        Claim(
            f"at the scaled rate and without warm-up, CLARS {trains}",
            f"{scaled[CLARS]:.1%}",
            scaled[CLARS] >= least,
        ),
        *(
            Claim(f"{name} does not", f"{scaled[name]:.1%}", scaled[name] < least <= scaled[CLARS])
            for name in (PLAIN, LARS)
        ),
        Claim(
            "at the scaled rate CLARS is more accurate than LARS with warm-up",
            f"{scaled[CLARS]:.1%} against {scaled[WARM]:.1%}",
            scaled[CLARS] > scaled[WARM],
        ),
        Claim(
            "SGD and LARS do not train at any of the rates, while CLARS does",
            ", ".join(f"{name} {best[name]:.1%}" for name in (PLAIN, LARS, CLARS)),
            max(best[PLAIN], best[LARS]) < least <= best[CLARS],
        ),
    ]


def _draw(figure: Figure, curves: Mapping[str, Any], small: int, large: int) -> None:
    """Accuracy over the learning rate with both batches, and over the training at the scaled one."""
    figure.set_size_inches(10, 4.2)
    left, right = figure.subplots(1, 2, sharey=True)
    for i, (name, curve) in enumerate(curves.items()):
        # What is chosen is at 1, so that the methods can be compared.
        relative = np.array(curve["rates"]) / curve["chosen"]
        left.semilogx(relative, 100 * np.array(curve["small"]), color=f"C{i}", linestyle=":")
        left.semilogx(relative, 100 * np.array(curve["large"]), color=f"C{i}", label=name, marker=".")
        for values in curve["accuracies"]:
            right.plot(np.linspace(0, 100, len(values)), 100 * np.array(values), color=f"C{i}", alpha=0.8)
    left.set_xlabel(f"learning rate / (the chosen one, times {large // small} for batch {large})")
    left.set_ylabel("test accuracy (%)")
    left.set_title(f"at the end; dotted: batch {small}", fontsize=10)
    left.legend(fontsize=8, frameon=False)
    right.set_xlabel("share of the training (%)")
    right.set_title(f"batch {large} at the scaled rate", fontsize=10)
    for axes in (left, right):
        axes.grid(color="0.93")


STUDY = Study(
    paper="Huo, Gu, Huang 2021, arXiv 2002.01576; You, Gitman, Ginsburg 2017, arXiv 1708.03888",
    claim="batches of 4,096 need no warm-up with CLARS",
    run=run,
    seeds=3,
)
