"""Large batches without warm-up: layer-wise learning rates from the norms of gradients, of their mean or before it.

Huo, Gu, Huang, "Large Batch Optimization for Deep Learning Using New Complete Layer-Wise Adaptive Rate Scaling", AAAI
2021, arXiv 2002.01576 (first called "Large Batch Training Does Not Need Warmup"); LARS: You, Gitman, Ginsburg, arXiv
1708.03888.

A perceptron on the Mnist workload, 4,000 images for training; as many epochs with batches of 256 and of 4,096, which
is more than all images. The learning rate of each method is the best of its candidates with 256, on as many other seeds
as are in the table, times 16 for 4,096, the linear scaling of the paper. It falls along half a cosine to 0, and there
is no warm-up, except where LARS gets one, over an eighteenth of the iterations, the 5 of 90 epochs that the paper gave
it: here 2 of 39. Trust, limit, weight decay, momentum 0.9 and its order are those of the released code, for LARS too:
the buffer holds gradients, all of which are multiplied by the scale of the moment. CLARS takes the mean of the norms
over all images of a batch, the released code over some microbatches of 8. Every tensor, biases too, has a scale of its
own, as the papers' formulas say.

One node has the whole batch: LARS and SGD want the mean gradient, and with it every method is the same on any number.

A method trains if it ends at most 10 points below the best accuracy of any method with 256.

What fails at the scaled rate is LARS as the code of CLARS has it: in an iteration whose mean gradient is small its
scale is large and multiplies the large gradients in the buffer; the mean of norms varies less. In the order of LARS's
own paper, where the buffer keeps what has been scaled, it trains without warm-up as well, to 86 % against CLARS's 89 %.
Nor is CLARS the only one that trains at any rate: at a tenth of the scaled ones SGD ends at 90 % and LARS at 88 %.

The claims hold in this setting and in none of the others that were tried, where CLARS did not train either: with 200
epochs it had 44 %, LARS 10 % and SGD 23 % (two runs each); with four hidden layers and 100 epochs 7 %, and LARS, for
which a smaller rate was chosen, 90 % (three runs); with four hidden layers none of the three trained (one run), and
with Kaiming's normal start besides CLARS had 80 %, LARS 10 % (one run). The paper's rates are lower, 0.1 for 128.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
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
PLAIN, LARS, WARM, OWN_ORDER, CLARS = "SGD", "LARS", "LARS, warm-up", "LARS, its own order", "CLARS"


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


RELEASED: Any = {"momentum": 0.9, "weight_decay": 2e-4, "vectors": True, "order": "accumulate-then-scale"}
_LARS = Lars(trust=0.001, **RELEASED)
_RATES = (1.0, 3.0, 10.0, 30.0)
METHODS = {
    PLAIN: Method(SGD(momentum=0.9, weight_decay=2e-4), (0.01, 0.03, 0.1, 0.3)),
    LARS: Method(_LARS, _RATES),
    WARM: Method(_LARS, _RATES, WARM_UP),
    OWN_ORDER: Method(replace(_LARS, order="scale-then-accumulate"), _RATES),
    CLARS: Method(Clars(trust=0.01, limit=0.1, over="samples", **RELEASED), (0.3, 1.0, 3.0, 10.0)),
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
    )


def run(
    seeds: Sequence[int], say: Say, *, epochs: int = 40, small: int = 256, large: int = 4096, hidden: int = 32
) -> Findings:
    """Train with every method and all candidates, the small batch with as many other seeds as the large one.

    Args:
        epochs: Of a training.
        small: The batch with which learning rates are chosen.
        large: The batch for which they are scaled.
        hidden: Width of the perceptron's hidden layer.
    """
    mnist = Mnist(hidden=hidden)
    others = [max(seeds) + 1 + i for i in range(len(seeds))]
    shards = {seed: mnist.shard(1, seed) for seed in (*seeds, *others)}
    table: list[dict[str, Any]] = []
    curves: dict[str, Any] = {}
    for name, method in METHODS.items():
        histories: dict[tuple[int, float], list[History]] = {}
        for batch, among in ((small, others), (large, seeds)):
            for lr in method.rates:
                say(f"{name}, batch {batch}, learning rate {lr * batch / small:g}")
                histories[batch, lr] = [
                    train(shards[seed], method, lr * batch / small, batch, epochs, seed) for seed in among
                ]
        accuracies = {key: [accuracy(history) for history in each] for key, each in histories.items()}
        means = {key: float(np.mean(each)) for key, each in accuracies.items()}
        base, best = (max(method.rates, key=lambda lr: means[batch, lr]) for batch in (small, large))
        scaled = accuracies[large, base]
        curves[name] = {
            "rates": method.rates,
            "small": [means[small, lr] for lr in method.rates],
            "large": [means[large, lr] for lr in method.rates],
            "chosen": base,
            "accuracy": scaled,
            "accuracies": [[metrics["test_accuracy"] for metrics in history] for history in histories[large, base]],
        }
        table.append(
            {
                "method": name,
                f"rate, batch {small}": base,
                "accuracy (%)": 100 * means[small, base],
                f"rate, batch {large}": base * large / small,
                "accuracy, scaled (%)": 100 * float(np.mean(scaled)),
                "of each seed": ", ".join(f"{100 * each:.1f}" for each in scaled),
                "best rate": best * large / small,
                "its accuracy (%)": 100 * means[large, best],
            }
        )
    return Findings(table, _claims(curves), lambda figure: _draw(figure, curves, small, large), curves)


def accuracy(history: History) -> float:
    """At the end; 0 if it diverged."""
    return history[-1]["test_accuracy"] if history else 0.0


def _claims(curves: Mapping[str, Any]) -> list[Claim]:
    least = max(max(curve["small"]) for curve in curves.values()) - POINTS
    scaled = {name: float(np.mean(curve["accuracy"])) for name, curve in curves.items()}
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


STUDY = Study(
    paper="Huo, Gu, Huang 2021, arXiv 2002.01576; You, Gitman, Ginsburg 2017, arXiv 1708.03888",
    claim="batches of 4,096 need no warm-up with CLARS",
    run=run,
    seeds=3,
)
