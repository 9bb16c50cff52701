"""Local SGD with error-compensated compression in both directions, against full precision and without the correction.

Gao, Xu, Huang, "On the Convergence of Communication-Efficient Local SGD for Federated Learning", AAAI 2021.

The equations of `DoubleCompressionSGD` are what its abstract and DoubleSqueeze leave, as the paper was not at hand; so
the settings are not the paper's either. A perceptron on Mnist, 8 nodes with 16 images each in a step and a server; 8
local steps from one exchange to the next, 50 exchanges in all. The same operator, on the whole model as one vector, on
the way up and down: scaled signs, or 5 % of the entries, or none. Uncorrected, the errors are set to 0 after each step;
where the nodes are corrected alone, the server's is. Momentum stays local. The learning rate is divided by 10 after 1/2
and 3/4 of the training. Bytes are all that nodes and the server send, by the number of nodes.

Learning rates are the powers of 2 times 0.2, or 0.05 with momentum, with the lowest training loss in the end with the
seed 100, which is not among those of the table, searched uphill until the next ones on both sides are worse. For every
contender that is 0.2, or 0.05. Training losses are those of the common model on 64 images of each node.

That corrected compression costs no accuracy does not hold in these 12 epochs: it was up to 2 points with the seed 100,
after which the bound of the first claim was chosen. The claim fails: with signs and without momentum it is 2.2 points,
where seeds differ by 1.9, and 0.9 to 1.8 in the other cases. With momentum the correction lowers the training loss, but
the test accuracy is the same without it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure

from algorithms import (
    Compressor,
    DoubleCompressionSGD,
    Identity,
    ScaledSign,
    ShardedWorkload,
    StepDecay,
    TopK,
)
from algorithms.error_feedback.double_compression_sgd import DoubleCompressionState
from gossip.reproduce.following import followed, in_the_end, kilobytes_per_node, on_first_examples
from gossip.reproduce.study import Claim, Findings, Say, Study
from gossip.workloads import Mnist

NODES = 8
BATCH = 16  # per node
PERIOD = 8
EVALUATIONS = 10
MEASURED = 64  # training images of each node on which losses are measured
DENSE, SIGN, TOP = "-", "sign", "top 5 %"
OPERATORS: dict[str, Compressor] = {DENSE: Identity(), SIGN: ScaledSign(), TOP: TopK(fraction=0.05)}
POINTS, FEWER = 2.0, 10
FULL, CORRECTED, AT_NODES, UNCORRECTED = "full precision", "both corrected", "nodes corrected", "uncorrected"


@dataclass(frozen=True)
class Contender:
    """Local SGD with an operator, up and down alike.

    Attributes:
        operator: One of `OPERATORS`.
        correction: Which of the two errors are kept in mind: those of both ends, of the nodes alone, or none.
        momentum: Of each node's gradients.
        lr: The learning rate until half of the training.
    """

    operator: str
    correction: str
    momentum: float
    lr: float

    def algorithm(self, steps: int) -> DoubleCompressionSGD:
        """It, with a tenth of the learning rate after 1/2 and again after 3/4 of so many steps."""
        return DoubleCompressionSGD(
            StepDecay(self.lr, (steps // 2, 3 * steps // 4), 0.1),
            OPERATORS[self.operator],
            period=PERIOD,
            momentum=self.momentum,
        )


CONTENDERS = (
    Contender(DENSE, FULL, 0.0, 0.2),
    Contender(SIGN, CORRECTED, 0.0, 0.2),
    Contender(SIGN, UNCORRECTED, 0.0, 0.2),
    Contender(TOP, CORRECTED, 0.0, 0.2),
    Contender(TOP, AT_NODES, 0.0, 0.2),
    Contender(TOP, UNCORRECTED, 0.0, 0.2),
    Contender(DENSE, FULL, 0.9, 0.05),
    Contender(SIGN, CORRECTED, 0.9, 0.05),
    Contender(SIGN, UNCORRECTED, 0.9, 0.05),
    Contender(TOP, CORRECTED, 0.9, 0.05),
    Contender(TOP, AT_NODES, 0.9, 0.05),
    Contender(TOP, UNCORRECTED, 0.9, 0.05),
)


def forget(state: DoubleCompressionState, correction: str) -> None:
    """Drop the errors that are not kept in mind."""
    exchange = state.exchange
    if correction == UNCORRECTED:
        exchange.rescale(0.0)
    elif correction == AT_NODES:
        exchange.down.lost = 0 * exchange.down.lost


def train(shards: ShardedWorkload, contender: Contender, steps: int, seed: int) -> list[dict[str, float]]:
    """What was measured of the common model at even distances, after exchanges, from the start to the end."""
    records: list[dict[str, float]] = []
    algorithm = contender.algorithm(steps)
    for moment, network in followed(shards, algorithm, BATCH, nodes=NODES, steps=steps, seed=seed):
        assert isinstance(moment.state, DoubleCompressionState)
        forget(moment.state, contender.correction)
        if moment.step % (steps // EVALUATIONS) == 0:
            common = moment.state.common[:NODES]
            records.append(
                {
                    "step": moment.step,
                    "kilobytes": kilobytes_per_node(network, NODES),
                    "loss": float(on_first_examples(shards, common, MEASURED).loss.mean()),
                    "accuracy": float(shards.evaluate(common[0])["test_accuracy"]),
                }
            )
    return records


def run(seeds: Sequence[int], say: Say, *, steps: int = 400, hidden: int = 16) -> Findings:
    """Every contender with every seed.

    Args:
        steps: Of each training, a multiple of `EVALUATIONS` periods.
        hidden: Width of the perceptron.
    """
    shards = {seed: Mnist(hidden=hidden).shard(NODES, seed) for seed in seeds}
    table: list[dict[str, Any]] = []
    curves: dict[str, Any] = {}
    for each in CONTENDERS:
        name = f"{each.correction}, {each.operator}, momentum {each.momentum}"
        say(name)
        runs = [train(shards[seed], each, steps, seed) for seed in seeds]
        table.append(
            {
                "momentum": each.momentum,
                "operator": each.operator,
                "errors": each.correction,
                "learning rate": each.lr,
                "kB per node and step": runs[0][-1]["kilobytes"] / steps,
                **in_the_end(runs),
            }
        )
        curves[name] = runs
    return Findings(table, claims(table), lambda figure: _draw(figure, curves), curves)


def claims(table: Sequence[Mapping[str, Any]]) -> list[Claim]:
    """What is put to the test, given the table."""
    rows = {(row["momentum"], row["operator"], row["errors"]): row for row in table}

    def losses(momentum: float, operator: str, *corrections: str) -> list[float]:
        return [rows[momentum, operator, correction]["loss"] for correction in corrections]

    cases = [(operator, momentum) for momentum in (0.0, 0.9) for operator in (SIGN, TOP)]
    pairs = {case: losses(case[1], case[0], CORRECTED, UNCORRECTED) for case in cases}
    ends = {momentum: losses(momentum, TOP, CORRECTED, AT_NODES) for momentum in (0.0, 0.9)}
    below = {
        (operator, momentum): rows[momentum, DENSE, FULL]["accuracy (%)"]
        - rows[momentum, operator, CORRECTED]["accuracy (%)"]
        for operator, momentum in cases
    }
    sent = "kB per node and step"
    fewer = {operator: rows[0.0, DENSE, FULL][sent] / rows[0.0, operator, CORRECTED][sent] for operator in (SIGN, TOP)}
    moved = {
        operator: [losses(momentum, operator, CORRECTED)[0] for momentum in (0.0, 0.9)] for operator in (SIGN, TOP)
    }
    return [
        Claim(
            f"with both errors corrected it is at most {POINTS} points less accurate than in full precision",
            _listed({case: f"{points:.1f}" for case, points in below.items()}),
            max(below.values()) <= POINTS,
        ),
        Claim(
            f"and sends at least {FEWER} times less",
            ", ".join(f"{operator}: {times:.0f} times" for operator, times in fewer.items()),
            min(fewer.values()) >= FEWER,
        ),
        Claim(
            "without the correction its loss is higher",
            _listed({case: f"{without:.3g} and {with_it:.3g}" for case, (with_it, without) in pairs.items()}),
            all(with_it < without for with_it, without in pairs.values()),
        ),
        Claim(
            "the server's error counts, too: with that of the nodes corrected alone the loss is higher",
            ", ".join(f"momentum {momentum}: {nodes:.3g} and {both:.3g}" for momentum, (both, nodes) in ends.items()),
            all(both < nodes for both, nodes in ends.values()),
        ),
        Claim(
            "with momentum the loss is lower",
            ", ".join(f"{operator}: {with_it:.3g} and {without:.3g}" for operator, (without, with_it) in moved.items()),
            all(with_it < without for without, with_it in moved.values()),
        ),
    ]


def _listed(values: Mapping[tuple[str, float], str]) -> str:
    return "; ".join(f"{operator}, momentum {momentum}: {value}" for (operator, momentum), value in values.items())


def _draw(figure: Figure, curves: Mapping[str, Any]) -> None:
    """Losses over what is sent, of the first seed."""
    figure.set_size_inches(11, 4.2)
    panels = dict(zip(("momentum 0.0", "momentum 0.9"), figure.subplots(1, 2, sharey=True), strict=True))
    styles = {FULL: "-", CORRECTED: "-", AT_NODES: "--", UNCORRECTED: ":"}
    for name, runs in curves.items():
        correction, operator, momentum = name.split(", ")
        records = runs[0][1:]
        panels[momentum].loglog(
            [record["kilobytes"] for record in records],
            [record["loss"] for record in records],
            styles[correction],
            color=f"C{list(OPERATORS).index(operator)}",
            label=f"{correction}, {operator}",
        )
    for momentum, axes in panels.items():
        axes.set(xlabel="kB sent per node", title=momentum)
        axes.title.set_fontsize(10)
        axes.legend(fontsize=7, frameon=False)
    panels["momentum 0.0"].set_ylabel("training loss")


STUDY = Study(
    paper="Gao, Xu, Huang, AAAI 2021, arXiv number unknown",
    claim="local SGD loses little by compression in both directions whose errors are corrected, also with momentum",
    run=run,
    seeds=3,
)
