"""What federated methods share: rounds of local iterations at the clients that take part, and their aggregation.

The clients are the nodes. One `step` is one local iteration: a gradient at each client's own parameters u_k. A round is
`local_steps` of them, from the server's parameters w, and ends at the server:

    u_k <- w at the start of the round, then moved by the local optimizer with the gradients of f_k
    g = sum_k p_k (w - u_k)            the pseudo-gradient, with the weights p_k of `sampling`
    w <- what the method makes of g

Clients that do not take part stay at w; a run computes no gradients for them, except where it measures something.
Local optimizers start anew in each round.

There is no server: g is an exact mean over all nodes, the same bits everywhere, and what the server would keep every
node keeps. Sent: one dense vector along the tree that `network.mean` sums over, up and down again, at the end of each
round and once at the start, from and to all nodes whether they take part or not; with power-of-choice also the losses
of the clients, n numbers, in a round's first iteration. With a server w would travel down to
the clients that take part, and w - u_k up.

The server starts from the mean of what the nodes start from.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal, Self

import numpy as np
from torch import Tensor

from algorithms.algorithm import Algorithm, Sample
from algorithms.blocks.period import Every
from algorithms.checks import NonFiniteError, check
from algorithms.federated.sampling import (
    SAMPLINGS,
    WEIGHTINGS,
    Sampling,
    Weighting,
    choose_clients,
    draw_candidates,
    draw_clients,
    multiples,
)
from algorithms.gathering import losses_of_all
from algorithms.network import Network
from algorithms.numerics.sums import add_scaled
from algorithms.optimizers import SGD, LocalOptimizer
from algorithms.randomness import stream
from algorithms.schedules.learning_rate import LearningRate, check_learning_rate, learning_rate
from algorithms.state import LooseState, State


@dataclass(frozen=True)
class Federated(Algorithm):
    """A federated method.

    Args:
        lr: Learning rate of the local iterations, > 0, or a schedule of it over these.
        server_lr: Learning rate of the server, > 0, or a schedule of it over the rounds.
        local_steps: Local iterations of a round, >= 1.
        participation: How many clients take part in a round: an integer for their number, or a share of all in (0, 1],
            such as 1.0 for everyone, of which the nearest number is used, at least 1.
        sampling: How they are drawn: "uniform", without replacement; "proportional", to their weights and with
            replacement; "independent", each one by itself; or "power-of-choice", those with the largest losses in the
            first iteration of the round, out of some `candidates`.
        weighting: Whether those of a round count as much as all ("sampled"), as what they are of these ("all"), or so
            that the expectation over samples is the sum over all ("unbiased").
        weights: (n,) how much each client counts, in any unit; "equal", as in the objective of a run; or "examples",
            the numbers of training examples that they have, which a run knows.
        optimizer: The clients' update rule.
        candidates: With "power-of-choice", from how many clients it chooses: at least those that take part, and no more
            than there are with a weight.
        client_steps: (n,) how many local iterations each client makes in a round, between 1 and local_steps, if not
            all of them; in the others it stays where it is.
    """

    needs: ClassVar[tuple[str, ...]] = ()

    lr: float | LearningRate = 0.1
    server_lr: float | LearningRate = 1.0
    local_steps: int = 10
    participation: int | float = 1.0
    sampling: Sampling = "uniform"
    weighting: Weighting = "sampled"
    weights: tuple[float, ...] | Literal["equal", "examples"] = "equal"
    optimizer: LocalOptimizer = field(default_factory=SGD)
    candidates: int | None = None
    client_steps: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        check_learning_rate(self, self.lr)
        valid = isinstance(self.server_lr, LearningRate) or 0 < self.server_lr < math.inf
        check(valid, self, "server_lr", "> 0, or a schedule of the round")
        check(self.local_steps >= 1, self, "local_steps", ">= 1")
        number = isinstance(self.participation, int)
        valid = self.participation >= 1 if number else 0 < self.participation <= 1
        check(valid, self, "participation", "an integer >= 1, or a share in (0, 1]")
        check(self.sampling in SAMPLINGS, self, "sampling", f"one of {', '.join(SAMPLINGS)}")
        check(self.weighting in WEIGHTINGS, self, "weighting", f"one of {', '.join(WEIGHTINGS)}")
        choosing = self.sampling == "power-of-choice"
        if choosing:
            check(
                self.weighting != "unbiased", self, "weighting", "sampled or all with power-of-choice, which is biased"
            )
        check(
            (self.candidates is not None) == choosing, self, "candidates", "given with power-of-choice, and only then"
        )
        if isinstance(self.weights, str):
            check(self.weights in ("equal", "examples"), self, "weights", 'numbers, "equal" or "examples"')
        else:
            valid = all(0 <= weight < math.inf for weight in self.weights) and any(self.weights)
            check(valid, self, "weights", ">= 0, and not all 0")
        valid = all(1 <= steps <= self.local_steps for steps in self.client_steps or ())
        check(valid, self, "client_steps", f"between 1 and local_steps = {self.local_steps}")
        plain = self.client_steps is None or type(self.optimizer).model is LocalOptimizer.model
        check(plain, self, "client_steps", "None with this optimizer, whose models are not where gradients are taken")
        check(not self.optimizer.communicates, self, "optimizer", "one that sends nothing in local iterations")

    @property
    def proportional(self) -> bool:
        return self.optimizer.proportional

    def for_examples(self, examples: Sequence[int]) -> Self:
        return replace(self, weights=tuple(map(float, examples))) if self.weights == "examples" else self

    def start(self, x: Tensor, network: Network) -> State:
        self._check_for(network)
        server = network.mean(x).expand_as(x)
        state = LooseState(x=server.clone(), server=server.clone(), step=0)
        self._start_round(state, network)
        return state

    def idle(self, state: State, network: Network) -> list[int]:
        done = state.step % self.local_steps
        taking_part = zip(state.counts, self.steps_of(network), strict=True)
        return [row for row, (count, steps) in enumerate(taking_part) if count == 0 or done >= steps]

    def step(self, state: State, sample: Sample, network: Network) -> None:
        if self.candidates is not None and state.step % self.local_steps == 0:
            self._choose(state, sample, network)
        lr = learning_rate(self.lr, state.step)
        gradient = self.local_gradient(state, sample.gradient)
        scale, direction = self.optimizer.update(state.x, state.memory, gradient, lr)
        idle = {*self.idle(state, network)}
        for row, (u, along) in enumerate(zip(state.x, direction, strict=True)):
            if row not in idle:
                add_scaled(u, scale, along, out=u)
        if Every(self.local_steps).foreseen(state.step):
            self.end_round(state, learning_rate(self.server_lr, state.step // self.local_steps), network)
            state.x = state.server.clone()
            self._start_round(state, network)

    def model(self, state: State) -> Tensor:
        server: Tensor = state.server
        return server

    def local_gradient(self, state: State, gradient: Tensor) -> Tensor:
        """(k, d): what takes the place of the gradients of f_k at the clients' parameters `state.x`."""
        return gradient

    def end_round(self, state: State, server_lr: float, network: Network) -> None:
        """Renew the server's parameters `state.server`, (k, d) with equal rows, and what else the method keeps."""
        raise NotImplementedError

    def pseudo_gradient(self, state: State, network: Network) -> Tensor:
        """(k, d) with equal rows: g = sum_k p_k (w - u_k)."""
        moved = state.server - self.optimizer.model(state.x, state.memory)
        for row in absent(state):
            moved[row] = 0
        return weighted_mean(moved, state.counts, network)

    def shares(self, network: Network) -> list[float]:
        """n q_k of the local clients: how many times the average share of the data they have."""
        return multiples(self._sizes(network.n))[network.nodes].tolist()

    def steps_of(self, network: Network) -> list[int]:
        """How many iterations of a round each local client makes."""
        if self.client_steps is None:
            return [self.local_steps] * len(network.nodes)
        if len(self.client_steps) != network.n:
            given = len(self.client_steps)
            raise ValueError(f"{type(self).__name__}: there are {given} client_steps for {network.n} clients")
        return [self.client_steps[node] for node in network.nodes]

    def _start_round(self, state: State, network: Network) -> None:
        """Draw the clients of the round, the same ones everywhere: `state.counts` are n p_k of the local ones.

        Of candidates they are not 0, until the losses in the first iteration choose among them.
        """
        random = stream(network.draw("clients").key(0).common)
        sizes, clients = self._sizes(network.n), self._clients(network.n)
        if self.candidates is not None:
            state.candidates = draw_candidates(sizes, self.candidates, random)
            state.counts = [float(node in state.candidates) for node in network.nodes]
        else:
            counts = draw_clients(sizes, clients, self.sampling, self.weighting, random)
            state.counts = counts[network.nodes].tolist()
        state.memory = self.optimizer.start(state.x)

    def _choose(self, state: State, sample: Sample, network: Network) -> None:
        """The clients of the round, given what they lose at the server's parameters."""
        losses = losses_of_all(sample.loss, network)
        if not np.isfinite(losses[list(state.candidates)]).any():
            raise NonFiniteError(
                f"{type(self).__name__}: no candidate has a finite loss; in one's own loop, step needs a closure"
            )
        counts = choose_clients(losses, state.candidates, self._clients(network.n), self.weighting)
        state.counts = counts[network.nodes].tolist()

    def _sizes(self, n: int) -> tuple[float, ...]:
        if self.weights == "equal":
            return (1.0,) * n
        if isinstance(self.weights, str):
            raise ValueError(f"{type(self).__name__}: weights = 'examples' is for runs; give the numbers here")
        if len(self.weights) != n:
            raise ValueError(f"{type(self).__name__}: there are {len(self.weights)} weights for {n} clients")
        return self.weights

    def _check_for(self, network: Network) -> None:
        """Refuse what is out of range for so many clients."""
        sizes, clients = self._sizes(network.n), self._clients(network.n)
        self.steps_of(network)
        if self.candidates is not None:
            most = sum(size > 0 for size in sizes)
            check(clients <= self.candidates <= most, self, "candidates", f"in [{clients}, {most}]")

    def _clients(self, n: int) -> int:
        if not isinstance(self.participation, int):
            return max(1, round(self.participation * n))
        if self.participation > n:
            raise ValueError(f"{type(self).__name__}: participation = {self.participation} of {n} clients")
        return self.participation


def weighted_mean(value: Tensor, multiples: Sequence[float], network: Network) -> Tensor:
    """(k, d) with equal rows: the mean of a stack over all nodes, each row r of it times `multiples[r]`, in place."""
    for row, multiple in enumerate(multiples):
        if multiple != 1:
            value[row] *= multiple
    return network.mean(value).expand_as(value)


def absent(state: State) -> list[int]:
    """The rows of the clients that do not take part in this round."""
    return [row for row, count in enumerate(state.counts) if count == 0]
