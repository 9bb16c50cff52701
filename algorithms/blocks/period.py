"""Local periods: H local steps from one exchange to the next.

Iteration t = 0, 1, ... exchanges if H divides t + 1, as in Cooperative SGD (Wang & Joshi, arXiv 1808.07576). A
controller may change H as the training goes on.
"""

from __future__ import annotations

import torch
from torch import Tensor

from algorithms.algorithm import Sample
from algorithms.blocks.adacomm import AdaComm
from algorithms.checks import check
from algorithms.network import Network
from algorithms.schedules.learning_rate import LearningRate, learning_rate
from algorithms.state import State

Period = int | AdaComm


def check_period(owner: object, period: Period) -> None:
    """Refuse a period below 1."""
    check(isinstance(period, AdaComm) or period >= 1, owner, "period", ">= 1, or a controller of it")


def synchronizes(t: int, period: int) -> bool:
    """Whether iteration t ends a period."""
    return (t + 1) % period == 0


def start_period(state: State, period: Period) -> None:
    """Add what a controller remembers, if the period has one, to a state that has `x`."""
    if isinstance(period, AdaComm):
        state.adacomm = period.begin(state.x)


def ends_period(
    period: Period, state: State, sample: Sample, lr: float, network: Network, t: int | None = None
) -> bool:
    """Whether this iteration ends a period; to be called once in each.

    Args:
        period: The period, or what controls it.
        state: Of the algorithm.
        sample: What the nodes saw at `state.x`.
        lr: The learning rate of the iteration.
        network: Where losses are averaged, and the time is asked for, if there is a controller.
        t: The number of the iteration, if it is not that of the state.
    """
    if isinstance(period, AdaComm):
        return period.ends(state.adacomm, sample, lr, network)
    return synchronizes(state.step if t is None else t, period)


def current_period(period: Period, state: State) -> int:
    """The period in this iteration."""
    if isinstance(period, AdaComm):
        now: int = state.adacomm["period"]
        return now
    return period


def current_rate(lr: float | LearningRate, period: Period, state: State) -> float:
    """The learning rate of this iteration, which a controller may keep from falling."""
    rate = learning_rate(lr, state.step)
    return period.rate(state.adacomm, rate) if isinstance(period, AdaComm) else rate


def report_period(period: Period, state: State) -> dict[str, Tensor]:
    """The period of all local nodes, if it may change."""
    if not isinstance(period, AdaComm):
        return {}
    return {"period": torch.full((len(state.x),), state.adacomm["period"], dtype=torch.float64)}
