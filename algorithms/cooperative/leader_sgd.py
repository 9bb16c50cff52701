"""Leader SGD (LSGD): all nodes are pulled towards the one that does best.

Teng, Gao, Chalus, Choromanska, Goldfarb, Weller, "Leader Stochastic Gradient Descent for Distributed Training of Deep
Learning Models", NeurIPS 2019, arXiv 1905.10395.

The nodes form groups of neighbouring numbers. A group's leader l is the node whose training loss, averaged over the
iterations since the last communication, is lowest, that of smallest number if several are; the leader of all is called
L. In iteration t = 0, 1, ...

    x_i <- x_i - lr v_i(x_i),   v_i the gradient or the local momentum
    x_i <- x_i - (global_proximal / tau_G) (x_i - L),  x_i <- x_i - (proximal / tau) (x_i - l),   as they were stored
    if tau divides t + 1:      l is chosen and stored;   x_i <- x_i - pull (x_i - l)
    if tau_G divides t + 1:    L is chosen and stored;   x_i <- x_i - global_pull (x_i - L)

A single group has only l, with `period`, `pull` and `proximal`. There are no stored leaders, and no proximal terms,
before the first communication. This is the order of the authors' code, except that the code counts iterations of
all nodes, which here go at the same pace. Neither momentum nor anything else of the leader is copied.

Sent: every tau iterations the losses, n numbers of the stack's type, and for each group the leader's vector, up and
down a binary tree over the nodes; every tau_G iterations another vector. W is not used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from algorithms.algorithm import Algorithm, Sample, State, check_momentum, descent_direction, start_momentum
from algorithms.arithmetic import add_scaled
from algorithms.checks import NonFiniteError, check
from algorithms.learning_rate import LearningRate, check_learning_rate, learning_rate
from algorithms.local_steps import check_period
from algorithms.network import Network


@dataclass(frozen=True)
class LeaderSGD(Algorithm):
    """Leader SGD.

    Args:
        lr: Learning rate, > 0, or a schedule of it.
        period: Iterations from one pull towards the group's leader to the next, tau >= 1.
        pull: Its strength, in [0, 1].
        proximal: Strength of the pull towards the stored leader, over a whole period, in [0, period].
        groups: Number of groups, >= 1.
        global_every: Every how many periods there is a pull towards the leader of all, tau_G / tau >= 1; only with
            several groups.
        global_pull: Its strength, in [0, 1].
        global_proximal: As `proximal`, for the leader of all, over tau_G iterations, in [0, tau_G].
        momentum: Momentum of the local direction, in [0, 1).
        nesterov: Use Nesterov's variant; needs momentum > 0.
    """

    needs: ClassVar[tuple[str, ...]] = ()

    lr: float | LearningRate = 0.1
    period: int = 4
    pull: float = 0.1
    proximal: float = 0.1
    groups: int = 1
    global_every: int = 4
    global_pull: float = 0.1
    global_proximal: float = 0.1
    momentum: float = 0.0
    nesterov: bool = False

    def __post_init__(self) -> None:
        check_learning_rate(self, self.lr)
        check_period(self, self.period)
        check(0 <= self.pull <= 1, self, "pull", "in [0, 1]")
        check(0 <= self.proximal <= self.period, self, "proximal", f"in [0, period = {self.period}]")
        check(self.groups >= 1, self, "groups", ">= 1")
        check(self.global_every >= 1, self, "global_every", ">= 1")
        check(0 <= self.global_pull <= 1, self, "global_pull", "in [0, 1]")
        tau = self._global_period
        check(0 <= self.global_proximal <= tau, self, "global_proximal", f"in [0, period * global_every = {tau}]")
        check_momentum(self, self.momentum, self.nesterov)

    def start(self, x: Tensor, network: Network) -> State:
        check(self.groups <= network.n, self, "groups", f"at most the number of nodes, {network.n}")
        state = State(x=x.clone(), leader=None, global_leader=None, loss=torch.zeros_like(x[:, 0]), step=0)
        start_momentum(state, self.momentum)
        return state

    def step(self, state: State, sample: Sample, network: Network) -> None:
        v = descent_direction(state, sample.gradient, self.momentum, self.nesterov)
        x = add_scaled(state.x, -learning_rate(self.lr, state.step), v)
        x = pulled(x, state.global_leader, self.global_proximal / self._global_period)
        x = pulled(x, state.leader, self.proximal / self.period)
        state.loss = state.loss + sample.loss.to(x)
        state.step += 1
        if state.step % self.period == 0:
            losses = self._losses(state, network)
            state.leader = self._group_leaders(x, losses, network)
            x = pulled(x, state.leader, self.pull)
            if self.groups > 1 and state.step % self._global_period == 0:
                state.global_leader = row_of(int(np.argmin(losses)), x, network).repeat(len(x), 1)
                x = pulled(x, state.global_leader, self.global_pull)
        state.x = x

    @property
    def _global_period(self) -> int:
        return self.period * self.global_every

    def _losses(self, state: State, network: Network) -> np.ndarray:
        """(n,): what the nodes have lost since the last communication, in sum; infinity in place of NaN."""
        diagonal = torch.zeros(len(state.x), network.n, dtype=state.loss.dtype, device=state.loss.device)
        for row, node in enumerate(network.nodes):
            diagonal[row, node] = state.loss[row].nan_to_num(nan=np.inf, posinf=np.inf)
        losses = network.sum(diagonal).cpu().numpy()
        if np.isinf(losses).all():
            raise NonFiniteError("LeaderSGD: no node has a finite loss; in one's own loop, step needs a closure")
        state.loss = torch.zeros_like(state.loss)
        return losses

    def _group_leaders(self, x: Tensor, losses: np.ndarray, network: Network) -> Tensor:
        """(k, d): the leader of each local node's group."""
        leaders = torch.empty_like(x)
        for group in np.array_split(np.arange(network.n), self.groups):
            leader = row_of(int(group[np.argmin(losses[group])]), x, network)
            for row, node in enumerate(network.nodes):
                if group[0] <= node <= group[-1]:
                    leaders[row] = leader
        return leaders


def pulled(x: Tensor, towards: Tensor | None, strength: float) -> Tensor:
    """x - strength (x - y), which is exactly x where y is; x itself where there is no y."""
    return x if towards is None else x - strength * (x - towards)


def row_of(node: int, x: Tensor, network: Network) -> Tensor:
    """(d,): this node's row of a stack, on every rank."""
    alone = torch.zeros_like(x)
    if node in network.nodes:
        row = network.nodes.index(node)
        alone[row] = x[row]
    return network.sum(alone)
