"""Leader SGD (LSGD): all nodes are pulled towards the one that does best."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from algorithms.algorithm import Sample
from algorithms.blocks.adacomm import AdaComm
from algorithms.blocks.local_updates import LocalState, LocalUpdates
from algorithms.checks import NonFiniteError, check
from algorithms.network import Network
from algorithms.optimizers import LocalOptimizer
from algorithms.schedules.learning_rate import LearningRate
from algorithms.star import Compressed, Star


@dataclass(kw_only=True)
class LeaderState(LocalState):
    """The state of leader SGD.

    Attributes:
        groups: (n,), the number of each node's group.
        loss: (k,), the sum of the losses since the last communication.
        leader: (k, d), the stored leader l of each local node's group; None before the first communication.
        global_leader: (k, d), the stored leader L of all, with equal rows; None before it is first chosen.
        exchanges: How often leaders were chosen.
    """

    groups: tuple[int, ...]
    loss: Tensor
    leader: Tensor | None = None
    global_leader: Tensor | None = None
    exchanges: int = 0


@dataclass(frozen=True)
class LeaderSGD(LocalUpdates[LeaderState]):
    """Leader SGD (LSGD): all nodes are pulled towards the one that does best.

    Teng, Gao, Chalus, Choromanska, Goldfarb, Weller, "Leader Stochastic Gradient Descent for Distributed Training of
    Deep Learning Models", NeurIPS 2019, arXiv 1905.10395.

    The nodes form groups, by default those that are on the same host. A group's leader l is the node whose training
    loss, averaged over the iterations since the last communication, is lowest, that of smallest number if several are;
    the leader of all is called L. In iteration t = 0, 1, ...

        x_i <- x_i - lr v_i(x_i),   v_i the gradient, or by another local optimizer
        x_i <- x_i - (global_proximal / tau_G) (x_i - L);   x_i <- x_i - (proximal / tau) (x_i - l)
        if tau divides t + 1:      l is chosen and stored;   x_i <- x_i - pull (x_i - l)
        if tau_G divides t + 1:    L is chosen and stored;   x_i <- x_i - global_pull (x_i - L)

    A single group has only l, with `period`, `pull` and `proximal`. There are no stored leaders, and no proximal terms,
    before the first communication. This is the order of the authors' code, except that the code counts iterations of
    all nodes, which here go at the same pace. Nothing else of the leader is copied, such as momentum.

    Sent: every tau iterations the loss of each node, a number of the stack's type, to all nodes, and each group's
    leader's vector to the other members of the group, once to each; every tau_G iterations the vector of the leader of
    all to all other nodes. All of these are handed on along binary trees. W is not used.

    By default the result so depends on how many hosts there are, and on which nodes they have; with given groups it is
    the same everywhere. A run's summary has those of the hosts, if there were several.

    Args:
        lr: Learning rate, > 0, or a schedule of it.
        period: Iterations from one pull towards the group's leader to the next, tau >= 1, or a controller.
        pull: Its strength, in [0, 1].
        proximal: Strength of the pull towards the stored leader, over a whole period, in [0, period].
        groups: "hosts" for the nodes of each host, so one group in a single process; a number of groups of neighbouring
            node numbers, >= 1; or (n,) a group's number for each node.
        global_every: Every how many periods there is a pull towards the leader of all, tau_G / tau >= 1; only with
            several groups.
        global_pull: Its strength, in [0, 1].
        global_proximal: As `proximal`, for the leader of all, over tau_G iterations, in [0, tau_G].
        momentum: Momentum of the local direction, in [0, 1).
        nesterov: Use Nesterov's variant; needs momentum > 0.
        optimizer: The local update rule, instead of SGD with this momentum.
    """

    needs: ClassVar[tuple[str, ...]] = ()

    lr: float | LearningRate = 0.1
    period: int | AdaComm = 4
    pull: float = 0.1
    proximal: float = 0.1
    groups: int | tuple[int, ...] | Literal["hosts"] = "hosts"
    global_every: int = 4
    global_pull: float = 0.1
    global_proximal: float = 0.1
    momentum: float = 0.0
    nesterov: bool = False
    optimizer: LocalOptimizer | None = None

    def __post_init__(self) -> None:
        self.check_updates()
        check(0 <= self.pull <= 1, self, "pull", "in [0, 1]")
        least = self.periods.least
        check(0 <= self.proximal <= least, self, "proximal", f"in [0, period = {least}]")
        if isinstance(self.groups, str):
            check(self.groups == "hosts", self, "groups", 'a number, those of all nodes, or "hosts"')
        elif isinstance(self.groups, int):
            check(self.groups >= 1, self, "groups", ">= 1")
        check(self.global_every >= 1, self, "global_every", ">= 1")
        check(0 <= self.global_pull <= 1, self, "global_pull", "in [0, 1]")
        most = least * self.global_every
        check(0 <= self.global_proximal <= most, self, "global_proximal", f"in [0, period * global_every = {most}]")

    @property
    def acts_on_losses(self) -> bool:
        return True

    def start(self, x: Tensor, network: Network) -> LeaderState:
        groups, loss = self._settled(network), torch.zeros_like(x[:, 0])
        return LeaderState(x.clone(), *self.start_updates(x), groups=groups, loss=loss)

    def step(self, state: LeaderState, sample: Sample, network: Network) -> None:
        x = self.updated(state, sample, network)
        tau = self.periods.current(state.period)
        x = pulled(x, state.global_leader, self.global_proximal / (tau * self.global_every))
        x = pulled(x, state.leader, self.proximal / tau)
        state.loss = state.loss + sample.loss.to(x)
        if self.ends_period(state, sample, network):
            state.exchanges += 1
            losses = self._losses(state, network)
            state.leader = _group_leaders(state.groups, x, losses, network)
            x = pulled(x, state.leader, self.pull)
            if max(state.groups) > 0 and state.exchanges % self.global_every == 0:
                state.global_leader = network.rows(x, [int(np.argmin(losses))]).repeat(len(x), 1)
                x = pulled(x, state.global_leader, self.global_pull)
        state.x = x

    def chosen(self, state: LeaderState) -> dict[str, Any]:
        return {"groups": list(state.groups)} if self.groups == "hosts" and max(state.groups) else {}

    def _settled(self, network: Network) -> tuple[int, ...]:
        """(n,): the group of each node, numbered in the order of their first nodes."""
        if isinstance(self.groups, int):
            check(self.groups <= network.n, self, "groups", f"at most the number of nodes, {network.n}")
            parts = np.array_split(np.arange(network.n), self.groups)
            return tuple(group for group, part in enumerate(parts) for _ in part)
        given = network.hosts if self.groups == "hosts" else self.groups
        check(len(given) == network.n, self, "groups", f"as many as there are nodes, {network.n}")
        order = {group: i for i, group in enumerate(dict.fromkeys(given))}
        return tuple(order[group] for group in given)

    def _losses(self, state: LeaderState, network: Network) -> np.ndarray:
        """(n,): what the nodes have lost since the last communication, in sum; infinity in place of NaN."""
        gathered = network.gather(state.loss[:, None])[:, 0].nan_to_num(nan=np.inf, posinf=np.inf)
        losses = gathered.cpu().numpy().astype(np.float64)
        if np.isinf(losses).all():
            raise NonFiniteError("LeaderSGD: no node has a finite loss; in one's own loop, step needs a closure")
        state.loss = torch.zeros_like(state.loss)
        return losses


def _group_leaders(groups: tuple[int, ...], x: Tensor, losses: np.ndarray, network: Network) -> Tensor:
    """(k, d): the leader of each local node's group."""
    members = [np.flatnonzero(np.array(groups) == group) for group in range(max(groups) + 1)]
    leaders = tuple(int(group[np.argmin(losses[group])]) for group in members)
    if len(leaders) == 1:
        return network.rows(x, leaders).repeat(len(x), 1)
    rows = x.clone()
    for hears in _handed_on(groups, leaders):
        rows = network.mix(rows, over=hears)
    return rows


@lru_cache
def _handed_on(groups: tuple[int, ...], leaders: tuple[int, ...]) -> list[Star]:
    """Exchanges after which all have the row of their leader: in each those that have it give it to as many others."""
    exchanges, having = [], 1
    while having < max(Counter(groups).values()):
        heard = np.arange(len(groups))
        for group, leader in enumerate(leaders):
            order = [leader, *(node for node, its in enumerate(groups) if its == group and node != leader)]
            receivers = order[having : 2 * having]
            heard[receivers] = order[: len(receivers)]
        exchanges.append(Star(len(heard), Compressed(np.arange(len(heard) + 1), heard, np.ones(len(heard)))))
        having *= 2
    return exchanges


def pulled(x: Tensor, towards: Tensor | None, strength: float) -> Tensor:
    """x - strength (x - y), which is exactly x where y is; x itself where there is no y."""
    return x if towards is None else x - strength * (x - towards)
