"""Federated learning with asynchronous tiers: accuracy over seconds and over bytes, clients of five speeds.

Chai, Chen, Anwar, Zhao, Cheng, Rangwala, "FedAT: A High-Performance and Communication-Efficient Federated Learning
System with Asynchronous Tiers", SC 2021, arXiv 2010.05958. Its rivals: FedAvg, McMahan et al., arXiv 1602.05629; TiFL,
Chai et al., arXiv 2001.09249; FedProx, Li et al., arXiv 1812.06127; FedAsync, Xie, Koyejo, Gupta, arXiv 1903.03934. And
FedBuff, Nguyen et al., arXiv 2106.06639, which is younger.

The paper's set-up at half its size: 50 clients, of which each has two pieces of MNIST sorted by digit, so one or two
digits and 80 images; five bands of 10, whose rounds take 0, 0 to 5, 6 to 10, 11 to 15 and 20 to 30 seconds longer than
the 5 that everybody computes, drawn anew for each round. FedAvg and FedProx train 5 clients in a round, TiFL and each
of FedAT's tiers 5 of the 10 in a tier, which both measure by one round of all clients, whose time counts. With FedAsync
and FedBuff, which moves after 5 answers, 25 clients are at work at any time, as with FedAT. Batches of 10; 12
iterations, where the paper has 3 epochs; Adam. FedAT's proximal weight is 0.4, its models travel as encoded polylines
of 4 decimals both ways. FedAsync has its paper's alpha = 0.6, rho = 0.005 and polynomial discount. All run on the same
simulated clock, links of 100 Mbit/s and 20 ms; FedAvg and FedProx as TiFL with one tier, which is the same. Bytes are
all that is sent, in both directions.

The learning rates of all methods, and FedProx's mu, are those with the highest accuracy, averaged over a run on a seed
that is not in the table: of 0.001, 0.003 and 0.01, and further ones where the best is at an end. Seconds, target and
the width of the perceptron were chosen on that seed, too; runs of a wider one on seed 0 had been seen before.

The paper's abstract has FedAT up to 21 points more accurate than earlier methods, with up to 8.5 times fewer bytes.
Here it is 9 to 21 points more accurate than the synchronous ones after as many seconds, which need the fewest bytes to
the target. FedAsync is sooner there than FedAT, and FedBuff by more, with as many clients at work. FedAT needs fewer
bytes than FedAsync only since its models are encoded: FedAsync with the same codec needs fewer again. What slows FedAT
down are the paper's weights of the tiers, which should make up for the rare rounds of slow tiers: uniform ones are
sooner and more accurate. The slowest tier has 43 % of the weight, the fastest one's share of all rounds; its model is
half a minute old, and until its first round has ended it is where all began. A longer run does not turn this round: on
the tuning seed, with a rate of 0.003, it is 86.6 % against 88.6 % after 2,500 seconds. The claims about weights, and
about who encodes, were written down when that had been seen: the first ones of all seeds, the others of the tuning
seed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from algorithms import Adam, Minibatch, Polyline, ShardedWorkload
from algorithms.asynchronous import Asynchronous, FedAsync, FedAT, FedBuff, TiFL
from algorithms.randomness import generator
from gossip.drivers.events import EventDriver
from gossip.drivers.gradients import NodeGradients
from gossip.network import SimulatedNetwork
from gossip.network.simulation.compute import Trace
from gossip.network.simulation.description import Compute, Level
from gossip.reproduce.problems import TUNING_SEED
from gossip.reproduce.study import Claim, Findings, History, Say, Study
from gossip.workloads import Mnist
from gossip.workloads.splits import Split
from topologies import complete, with_hubs

BANDS = ((0.0, 0.0), (0.0, 5.0), (6.0, 10.0), (11.0, 15.0), (20.0, 30.0))  # seconds that a round takes longer
ROUND = 5.0  # seconds that everybody computes in a round
ROUNDS = 100  # of which each client's times are drawn; then they begin again
LINKS = Level(latency=0.02, bandwidth=1.25e7)
RATES = (0.001, 0.003, 0.01)
MUS = (0.01, 0.4)
MU = 0.4  # FedAT's
BATCH = 10
POINTS = 40  # evaluations of a run
AVERAGED = 3  # evaluations over which accuracies are averaged
FEDAVG, FEDPROX, TIFL, FEDASYNC, FEDBUFF, FEDAT = "FedAvg", "FedProx", "TiFL", "FedAsync", "FedBuff", "FedAT"
UNCODED, UNIFORM, CODED = "FedAT, not coded", "FedAT, not coded, uniform weights", "FedAsync, coded"
SYNCHRONOUS = (FEDAVG, FEDPROX, TIFL)

Make = Callable[..., Asynchronous]


@dataclass(frozen=True)
class Pieces(Split):
    """The examples sorted by label and cut into `each` pieces per node, which are dealt at random.

    McMahan, Moore, Ramage, Hampson, Aguera y Arcas, AISTATS 2017, arXiv 1602.05629, with two pieces each.
    """

    each: int = 2

    def assign(self, labels: NDArray, n: int, seed: int) -> list[NDArray[np.int64]]:
        """See `Split.assign`."""
        draw = generator(seed, "split")
        order = draw.permutation(len(labels))
        pieces = np.array_split(order[np.argsort(labels[order], kind="stable")], n * self.each)
        dealt = draw.permutation(len(pieces)).reshape(n, self.each)
        return [np.concatenate([pieces[piece] for piece in row]) for row in dealt]


def paces(clients: int, local_steps: int, seed: int) -> SimulatedNetwork:
    """The clients, each in one of the bands, and their links."""
    seconds = []
    for client in range(clients):
        longer = generator(seed, "delays", client).uniform(*BANDS[client % len(BANDS)], ROUNDS)
        seconds.append(np.repeat((ROUND + longer) / local_steps, local_steps))
    return SimulatedNetwork((LINKS,), compute=Compute(trace=Trace(seconds)))


def methods(taking_part: int, local_steps: int) -> dict[str, Make]:
    """What is compared, by the names that the table gives them: of a learning rate, and of mu where that is tuned."""
    common: dict[str, Any] = {"local_steps": local_steps, "optimizer": Adam()}
    tiers: dict[str, Any] = {"participation": taking_part, **common}
    at_work = len(BANDS) * taking_part

    def fed_at(**options: Any) -> Make:
        return lambda lr: FedAT(lr, mu=MU, tiers=len(BANDS), **tiers, **options)

    return {
        FEDAVG: lambda lr: TiFL(lr, tiers=1, **tiers),
        FEDPROX: lambda lr, mu: TiFL(lr, tiers=1, mu=mu, **tiers),
        TIFL: lambda lr: TiFL(lr, tiers=len(BANDS), **tiers),
        FEDASYNC: lambda lr: FedAsync(lr, concurrency=at_work, **common),
        FEDBUFF: lambda lr: FedBuff(lr, buffer=taking_part, concurrency=at_work, **common),
        FEDAT: fed_at(compressor=Polyline()),
        UNCODED: fed_at(),
        UNIFORM: fed_at(across="uniform"),
        CODED: lambda lr: FedAsync(lr, concurrency=at_work, compressor=Polyline(), **common),
        **{decimals(p): fed_at(compressor=Polyline(p)) for p in (3, 6)},
    }


def decimals(precision: int) -> str:
    """The name of FedAT with this precision, of those that are not the paper's."""
    return f"FedAT, {precision} decimals"


def train(
    shards: ShardedWorkload, clients: int, method: Asynchronous, network: SimulatedNetwork, seconds: float, seed: int
) -> History:
    """The server's model from the start on, at times that are evenly spaced, until so many simulated seconds."""
    graph = with_hubs(complete(clients), method.hubs, method.servers)
    x = shards.initial().expand(graph.n, -1)
    gradients = NodeGradients(Minibatch(BATCH), shards, x[:clients], seed)
    programs = method.programs(graph, range(graph.n), x)
    run = EventDriver(programs, graph, gradients, network, seed=seed, servers=method.servers)
    history = []
    for now in np.linspace(0.0, seconds, POINTS + 1).tolist():
        run.run(until=now)
        measured = shards.evaluate(programs[-1].model[0])
        sent = float(run.traffic.bytes.sum())
        history.append({"seconds": now, "bytes": sent, "test_accuracy": float(measured["test_accuracy"])})
    return history


def run(
    seeds: Sequence[int],
    say: Say,
    *,
    target: float = 0.55,
    clients: int = 50,
    taking_part: int = 5,
    seconds: float = 500.0,
    local_steps: int = 12,
    hidden: int = 16,
) -> Findings:
    """Tune every method with another seed, then train with these.

    Args:
        target: The accuracy until which seconds and bytes are counted.
        clients: K, a multiple of the number of bands.
        taking_part: Clients of a round, with FedAT in each tier.
        seconds: Simulated, of a training.
        local_steps: Iterations of a client in a round.
        hidden: Width of the perceptron's hidden layer.
    """
    mnist, used = Mnist(hidden=hidden, split=Pieces()), (*seeds, TUNING_SEED)
    shards = {seed: mnist.shard(clients, seed) for seed in used}
    networks = {seed: paces(clients, local_steps, seed) for seed in used}

    def trained(method: Asynchronous, seed: int) -> History:
        return train(shards[seed], clients, method, networks[seed], seconds, seed)

    table: list[dict[str, Any]] = []
    curves: dict[str, Any] = {"tuning": {}}
    for name, make in methods(taking_part, local_steps).items():
        options = tuned(name, make, lambda method: trained(method, TUNING_SEED), curves["tuning"], say)
        counted = seeds[:1] if name.endswith("decimals") else seeds
        say(f"{name}, learning rate {options['lr']}: the seeds of the table")
        histories = [trained(make(**options), seed) for seed in counted]
        curves[name] = summary(histories, target)
        table.append(row(name, options, curves[name]))
    return Findings(table, claims(curves, target), lambda figure: _draw(figure, curves, target), curves)


def tuned(
    name: str, make: Make, trained: Callable[[Asynchronous], History], tuning: dict[str, Any], say: Say
) -> dict[str, float]:
    """The options of a method with the highest accuracy, averaged over the run; variants have those of their method.

    Args:
        tuning: Name -> what has been tried, which gets these.
    """
    known = name.split(",")[0]
    if known not in tuning:
        tuning[known] = []
        for mu in MUS if name == FEDPROX else (None,):
            rates = list(RATES)
            while rates:
                lr = rates.pop(0)
                options = {"lr": lr} if mu is None else {"lr": lr, "mu": mu}
                say(f"{name}: trying {', '.join(f'{key} {value:.3g}' for key, value in options.items())}")
                score = float(np.mean(accuracies(trained(make(**options)))))
                tuning[known].append({**options, "score": score})
                rates = rates or beyond([each for each in tuning[known] if each.get("mu") == mu])
    best = max(tuning[known], key=lambda each: each["score"])
    return {key: value for key, value in best.items() if key != "score"}


def beyond(tried: Sequence[Mapping[str, float]]) -> list[float]:
    """The learning rate to try next if the best one is at an end of those that have been tried."""
    rates = sorted(each["lr"] for each in tried)
    best = max(tried, key=lambda each: each["score"])["lr"]
    further = {rates[0]: rates[0] / 3, rates[-1]: rates[-1] * 3}
    return [float(f"{further[best]:.1g}")] if best in further else []


def accuracies(history: History) -> list[float]:
    """At each evaluation, averaged with those before it: of two digits each, clients make accuracies swing."""
    found = [entry["test_accuracy"] for entry in history]
    return [float(np.mean(found[max(0, i + 1 - AVERAGED) : i + 1])) for i in range(len(found))]


def reached(history: History, target: float, unit: str) -> float:
    """How many seconds or bytes it takes to the target; infinite if it is not reached."""
    for entry, accuracy in zip(history, accuracies(history), strict=True):
        if accuracy >= target:
            return float(entry[unit])
    return math.inf


def summary(histories: Sequence[History], target: float) -> dict[str, Any]:
    """What the table and the plot show of a method, for each seed."""
    return {
        "seconds": [reached(history, target, "seconds") for history in histories],
        "bytes": [reached(history, target, "bytes") for history in histories],
        "all bytes": [history[-1]["bytes"] for history in histories],
        "accuracy": [float(np.mean(accuracies(history)[-POINTS // 8 :])) for history in histories],
        "histories": [list(history) for history in histories],
    }


def row(name: str, options: Mapping[str, float], found: Mapping[str, Any]) -> dict[str, Any]:
    """A line of the table."""
    return {
        "method": name,
        "lr": options["lr"],
        "mu": options.get("mu", "-"),
        "seeds": len(found["accuracy"]),
        "seconds to target": float(np.mean(found["seconds"])),
        "MB to target": float(np.mean(found["bytes"])) / 1e6,
        "MB in all": float(np.mean(found["all bytes"])) / 1e6,
        "accuracy (%)": 100 * float(np.mean(found["accuracy"])),
        "spread": 100 * float(np.std(found["accuracy"])),
    }


def claims(curves: Mapping[str, Any], target: float) -> list[Claim]:
    """What the paper says, and what was found."""
    mean = {
        name: {unit: float(np.mean(found[unit])) for unit in ("seconds", "bytes", "all bytes", "accuracy")}
        for name, found in curves.items()
        if name != "tuning"
    }
    megabytes = {name: f"{found['bytes'] / 1e6:.1f} MB" for name, found in mean.items()}
    quickest = min(SYNCHRONOUS, key=lambda name: mean[name]["seconds"])
    best = max(SYNCHRONOUS, key=lambda name: mean[name]["accuracy"])
    ratio = mean[UNCODED]["all bytes"] / mean[FEDAT]["all bytes"]
    return [
        Claim(
            f"FedAT reaches {target:.0%} in fewer seconds than FedAvg, FedProx and TiFL",
            f"{mean[FEDAT]['seconds']:.0f}, against {mean[quickest]['seconds']:.0f} of {quickest}",
            mean[FEDAT]["seconds"] < mean[quickest]["seconds"],
        ),
        Claim(
            "FedAT is more accurate than these after as many seconds",
            f"{mean[FEDAT]['accuracy']:.1%}, against {mean[best]['accuracy']:.1%} of {best}",
            mean[FEDAT]["accuracy"] > mean[best]["accuracy"],
        ),
        Claim(
            f"FedAT sends fewer bytes to {target:.0%} than FedAsync",
            f"{megabytes[FEDAT]}, against {megabytes[FEDASYNC]}",
            mean[FEDAT]["bytes"] < mean[FEDASYNC]["bytes"],
        ),
        Claim(
            "by its encoded models alone: FedAsync sends fewer bytes to it than FedAT where both send them, or neither",
            f"{megabytes[CODED]} against {megabytes[FEDAT]}, and {megabytes[FEDASYNC]} against {megabytes[UNCODED]}",
            mean[CODED]["bytes"] < mean[FEDAT]["bytes"] and mean[FEDASYNC]["bytes"] < mean[UNCODED]["bytes"],
        ),
        Claim(
            "models as polylines of 4 decimals take fewer bytes and cost at most two points of accuracy",
            f"{ratio:.2f} times fewer, {mean[FEDAT]['accuracy']:.1%} against {mean[UNCODED]['accuracy']:.1%}",
            ratio > 1 and mean[FEDAT]["accuracy"] > mean[UNCODED]["accuracy"] - 0.02,
        ),
        Claim(
            "weights of the tiers that make up for rounds are behind uniform ones after so short a time",
            f"{mean[UNCODED]['accuracy']:.1%}, against {mean[UNIFORM]['accuracy']:.1%}",
            mean[UNCODED]["accuracy"] < mean[UNIFORM]["accuracy"],
        ),
    ]


def _draw(figure: Figure, curves: Mapping[str, Any], target: float) -> None:
    """Accuracies over seconds and over bytes, mean and range over the seeds, and weights and precisions."""
    figure.set_size_inches(13, 4.2)
    left, middle, right = figure.subplots(1, 3, sharey=True)
    shown = (*SYNCHRONOUS, FEDASYNC, FEDBUFF, FEDAT)
    variants = [name for name in curves if name.startswith(FEDAT)]
    for axes, unit, scale, names in (
        (left, "seconds", 1.0, shown),
        (middle, "bytes", 1e-6, shown),
        (right, "seconds", 1.0, variants),
    ):
        for i, name in enumerate(names):
            histories = curves[name]["histories"]
            values = 100 * np.array([accuracies(history) for history in histories])
            x = scale * np.mean([[entry[unit] for entry in history] for history in histories], axis=0)
            axes.plot(x, values.mean(axis=0), color=f"C{i}", label=name)
            axes.fill_between(x, values.min(axis=0), values.max(axis=0), color=f"C{i}", alpha=0.12, lw=0)
        axes.axhline(100 * target, color="0.6", linestyle=":")
    left.set_ylabel("test accuracy (%)")
    left.set_xlabel("simulated seconds")
    middle.set_xlabel("MB sent")
    middle.set_xscale("log")
    right.set_xlabel("simulated seconds")
    for axes in (left, right):
        axes.legend(fontsize=7, frameon=False)


STUDY = Study(
    paper="Chai, Chen, Anwar, Zhao, Cheng, Rangwala 2021, arXiv 2010.05958",
    claim="asynchronous tiers are faster than synchronous rounds, and send less than fully asynchronous clients",
    run=run,
    seeds=3,
)
