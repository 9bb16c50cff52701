"""Momentum at the server of federated learning: rounds until a model is accurate, on clients with different data.

Huo, Yang, Gu, Carin, Huang, "Faster On-Device Training Using New Federated Momentum Algorithm", 2020, arXiv 2002.02090.
Its rivals: FedSGD and FedAvg, McMahan et al., arXiv 1602.05629; FedProx, Li et al., arXiv 1812.06127.

A perceptron on Mnist; 40 clients, whose shares of each class are drawn from a Dirichlet distribution with alpha = 0.1,
so that they know two or three classes and have between 2 and 400 images. 4 of them take part in a round, of 10 local
iterations. They count by their share of the data of all clients, as in the paper: with a server rate of 1 the absent
ones vote for what there was, with K / M = 10 those that take part are averaged, and the paper's rates are between the
two. FedSGD has one full local gradient in the place of local iterations.

Every method has its own local and server rates, the best of its candidates with a seed that is not among those of the
table. A method has reached the target when the mean accuracy of the last 5 rounds has: with 4 clients it swings, and
passing the target once is no arrival. Momentum is the paper's 0.9.

The claim about the loss at the end fails. Rates are those that lead to the target soonest, and with them FedMom ends at
0.49, FedAvg at 0.43: momentum carries on what 4 clients of very different sizes happen to want, and removes no noise.
With a local rate of 0.003 and a server rate of 10 it ended at 0.40 and 0.43 in two runs, in 36 and 33 rounds.

The paper sees FedAvg as a gradient method whose g = sum_k p_k (w - u_k), biased as it is, points away from the optimum
w*: <g, w - w*> > 0. Here w* is what 600 steps with the gradients of all clients and Nesterov's momentum find.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

import gossip
from algorithms import FedAvg, Federated, FedMom, FedProx, Full, Minibatch, Oracle, ShardedWorkload, State
from algorithms.network import Network
from gossip.reproduce.study import Claim, Findings, History, Say, Study, history_of
from gossip.workloads import Dirichlet, Mnist
from topologies import complete

ALPHA = 0.1
MOMENTUM = 0.9
RATES = (0.03, 0.1)
MUS = (0.01, 0.1)
AVERAGED = 5  # rounds over which accuracies and losses are averaged
OPTIMUM_STEPS = 600
FEDSGD, FEDAVG, FEDPROX, FEDMOM = "FedSGD", "FedAvg", "FedProx", "FedMom"


@dataclass(frozen=True)
class Method:
    """A federated method with what is to be tuned.

    Args:
        make: The method of these options.
        candidates: Options to choose from.
        oracle: Where its gradients come from.
    """

    make: Callable[..., Federated]
    candidates: Sequence[dict[str, Any]]
    oracle: Oracle


@dataclass(frozen=True, eq=False)
class Watched(FedAvg):
    """FedAvg that reports the cosine between its pseudo-gradient and the way from the optimum to where it is.

    Args:
        optimum: (d,), w*.
    """

    optimum: Tensor = field(default_factory=lambda: torch.zeros(0))

    def start(self, x: Tensor, network: Network) -> State:
        state = super().start(x, network)
        state.cosine = 0.0
        return state

    def end_round(self, state: State, server_lr: float, network: Network) -> None:
        w = state.server[0].double().numpy()
        super().end_round(state, server_lr, network)
        g, way = w - state.server[0].double().numpy(), w - self.optimum.double().numpy()
        state.cosine = float(g @ way / max(np.linalg.norm(g) * np.linalg.norm(way), 1e-300))

    def report(self, state: State) -> dict[str, Tensor]:
        return {"cosine": torch.full((len(state.x),), state.cosine, dtype=torch.float64)}


def methods(clients: int, taking_part: int, local_steps: int, batch: int) -> dict[str, Method]:
    """What is compared, by the names that the table gives them."""
    most = clients / taking_part
    server = (1.0, math.sqrt(most), most)
    local = Minibatch(batch=batch)

    def grid(**options: Sequence[float]) -> list[dict[str, float]]:
        return [dict(zip(options, values, strict=True)) for values in product(*options.values())]

    def make(kind: type[Federated], local_steps: int = local_steps, **fixed: Any) -> Callable[..., Federated]:
        common: dict[str, Any] = {
            "participation": taking_part,
            "weights": "examples",
            "weighting": "all",
            "local_steps": local_steps,
        }
        return lambda **options: kind(**common, **fixed, **options)

    return {
        FEDSGD: Method(make(FedAvg, local_steps=1), grid(lr=(0.1, 0.3, 1.0), server_lr=(most,)), Full()),
        "FedAvg, server rate 1": Method(make(FedAvg), grid(lr=RATES, server_lr=(1.0,)), local),
        FEDAVG: Method(make(FedAvg), grid(lr=RATES, server_lr=server), local),
        FEDPROX: Method(make(FedProx), grid(lr=RATES, server_lr=(most,), mu=MUS), local),
        FEDMOM: Method(make(FedMom, momentum=MOMENTUM), grid(lr=RATES, server_lr=server), local),
    }


def train(
    shards: ShardedWorkload, clients: int, algorithm: Federated, oracle: Oracle, rounds: int, seed: int
) -> History:
    """What was measured after each round, with the start; empty if it diverged."""
    steps = algorithm.local_steps
    return history_of(
        shards,
        complete(clients),
        algorithm,
        oracle=oracle,
        steps=rounds * steps,
        seed=seed,
        evaluate_every=steps,
    )


def run(
    seeds: Sequence[int],
    say: Say,
    target: float = 0.85,
    clients: int = 40,
    taking_part: int = 4,
    rounds: int = 60,
    local_steps: int = 10,
    batch: int = 16,
    hidden: int = 32,
) -> Findings:
    """Tune every method with one seed, then train with the others.

    Args:
        target: The accuracy until which rounds are counted.
        clients: K.
        taking_part: M, clients of a round.
        rounds: Of a training.
        local_steps: Iterations of a round.
        batch: Images per client and iteration.
        hidden: Width of the perceptron's hidden layer.
    """
    mnist, another = Mnist(hidden=hidden, split=Dirichlet(alpha=ALPHA)), max(seeds) + 1
    shards = {seed: mnist.shard(clients, seed) for seed in (*seeds, another)}
    table: list[dict[str, Any]] = []
    curves: dict[str, Any] = {"tuning": {}}
    compared = methods(clients, taking_part, local_steps, batch)
    chosen = {}
    for name, method in compared.items():
        tried = []
        for options in method.candidates:
            say(f"{name}: trying {', '.join(f'{key} {value:.3g}' for key, value in options.items())}")
            history = train(shards[another], clients, method.make(**options), method.oracle, rounds, another)
            tried.append({**options, "rounds": rounds_to(history, target), "loss": at_end(history, "test_loss")})
        best = min(range(len(tried)), key=lambda i: (tried[i]["rounds"], tried[i]["loss"]))
        chosen[name] = method.make(**method.candidates[best])
        histories = []
        for seed in seeds:
            say(f"{name}: seed {seed}")
            histories.append(train(shards[seed], clients, chosen[name], method.oracle, rounds, seed))
        curves["tuning"][name] = tried
        curves[name] = {
            "rounds": [rounds_to(history, target) for history in histories],
            "loss": [at_end(history, "test_loss") for history in histories],
            "accuracy": [at_end(history, "test_accuracy") for history in histories],
            "accuracies": [[metrics["test_accuracy"] for metrics in history] for history in histories],
        }
        table.append(
            {
                "method": name,
                "local rate": chosen[name].lr,
                "server rate": chosen[name].server_lr,
                "mu": getattr(chosen[name], "mu", "-"),
                f"rounds to {target}": float(np.mean(curves[name]["rounds"])),
                "of each seed": ", ".join(map(str, curves[name]["rounds"])),
                "accuracy (%)": 100 * float(np.mean(curves[name]["accuracy"])),
                "spread": 100 * float(np.std(curves[name]["accuracy"])),
                "test loss": float(np.mean(curves[name]["loss"])),
            }
        )
    say("the direction of FedAvg's pseudo-gradient")
    curves["cosines"] = cosines(shards[seeds[0]], clients, chosen[FEDAVG], batch, rounds, seeds[0])
    return Findings(table, _claims(curves, target), lambda figure: _draw(figure, curves, target), curves)


def cosines(
    shards: ShardedWorkload, clients: int, algorithm: Federated, batch: int, rounds: int, seed: int
) -> list[float]:
    """Of each round: the cosine between FedAvg's pseudo-gradient and w - w*."""
    optimum = gossip.run(
        shards,
        complete(clients),
        FedMom(lr=0.1, momentum=MOMENTUM, local_steps=1, weights="examples"),
        oracle=Minibatch(batch=batch),
        steps=OPTIMUM_STEPS,
        seed=seed,
        evaluate_every=OPTIMUM_STEPS,
        evaluate_nodes=0,
        output=None,
    ).model[0]
    watched = Watched(**{**vars(algorithm), "optimum": optimum})
    return [metrics["cosine"] for metrics in train(shards, clients, watched, Minibatch(batch), rounds, seed)[1:]]


def averaged(values: Sequence[float]) -> np.ndarray:
    """The mean of each round and those just before it, as many as are averaged."""
    return np.array([np.mean(values[max(0, i + 1 - AVERAGED) : i + 1]) for i in range(len(values))])


def rounds_to(history: History, target: float) -> float:
    """The first round whose averaged accuracy is at the target; infinite if none is."""
    reached = np.flatnonzero(averaged([metrics["test_accuracy"] for metrics in history]) >= target)
    return int(reached[0]) if len(reached) else math.inf


def at_end(history: History, name: str) -> float:
    """The mean of a metric over the last rounds; infinite for a loss, and 0 for an accuracy, if it diverged."""
    if not history:
        return math.inf if name == "test_loss" else 0.0
    return float(np.mean([metrics[name] for metrics in history[-AVERAGED:]]))


def _claims(curves: Mapping[str, Any], target: float) -> list[Claim]:
    claims = []
    ours = curves[FEDMOM]
    for rival in (FEDAVG, FEDPROX, FEDSGD):
        theirs = curves[rival]
        claims.append(
            Claim(
                f"FedMom reaches an accuracy of {target} in fewer rounds than {rival}",
                f"{np.mean(ours['rounds']):.1f} against {np.mean(theirs['rounds']):.1f} "
                f"({_listed(ours['rounds'])} against {_listed(theirs['rounds'])})",
                bool(np.mean(ours["rounds"]) < np.mean(theirs["rounds"])),
            )
        )
    best = min((FEDAVG, FEDPROX, FEDSGD), key=lambda name: float(np.mean(curves[name]["loss"])))
    loss, other = (float(np.mean(curves[name]["loss"])) for name in (FEDMOM, best))
    claims.append(
        Claim(
            "FedMom has a lower test loss after as many rounds than all three",
            f"{loss:.3f}, against {other:.3f} of {best}",
            loss < other,
        )
    )
    positive = np.array(curves["cosines"]) > 0
    claims.append(
        Claim(
            "FedAvg's pseudo-gradient points away from the optimum in spite of its bias, <g, w - w*> > 0",
            f"in {positive.mean():.0%} of the rounds, with a mean cosine of {np.mean(curves['cosines']):.3f}",
            bool(np.mean(curves["cosines"]) > 0),
        )
    )
    return claims


def _listed(values: Sequence[float]) -> str:
    return ", ".join(map(str, values))


def _draw(figure: Figure, curves: Mapping[str, Any], target: float) -> None:
    """Accuracies over rounds, averaged as in the table, mean and range over the seeds; the cosines."""
    figure.set_size_inches(10, 4.2)
    left, right = figure.subplots(1, 2, width_ratios=(2, 1))
    for i, name in enumerate(curves["tuning"]):
        values = np.array([averaged(each) for each in curves[name]["accuracies"] if each])
        if not len(values):
            left.plot([], [], color=f"C{i}", label=f"{name} (diverged)")
            continue
        rounds = np.arange(values.shape[1])
        left.plot(rounds, 100 * values.mean(axis=0), color=f"C{i}", label=name)
        left.fill_between(rounds, *(100 * f(values, axis=0) for f in (np.min, np.max)), color=f"C{i}", alpha=0.15, lw=0)
    left.axhline(100 * target, color="0.6", linestyle=":")
    left.set_ylabel("test accuracy (%)")
    left.legend(fontsize=8, frameon=False)
    right.plot(np.arange(1, 1 + len(curves["cosines"])), curves["cosines"], color="0.3")
    right.axhline(0, color="0.6", linestyle=":")
    right.set_ylabel("cosine between FedAvg's g and w - w*")
    for axes in (left, right):
        axes.set_xlabel("rounds")


STUDY = Study(
    paper="Huo, Yang, Gu, Carin, Huang 2020, arXiv 2002.02090",
    claim="momentum at the server needs fewer rounds on clients with different data",
    run=run,
    seeds=3,
)
