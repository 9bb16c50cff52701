"""What federated methods share: rounds of local iterations at the clients that take part, and their aggregation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal, Self, TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from algorithms.algorithm import Algorithm, Sample
from algorithms.blocks.period import Every
from algorithms.blocks.server import HasServer, ServerForm, collect_mean, distribute, server_of
from algorithms.checks import NonFiniteError, check
from algorithms.federated.availability import AlwaysAvailable, Availability
from algorithms.federated.delivery import Delivery, Turnout, check_uneven, randomness
from algorithms.federated.sampling import (
    SAMPLINGS,
    WEIGHTINGS,
    Sampling,
    Weighting,
    choose_clients,
    chosen_by_server,
    draw_available,
    draw_candidates,
    multiples,
    votes_of_chosen,
    without,
)
from algorithms.network import Network
from algorithms.numerics.sums import add_scaled
from algorithms.optimizers import SGD, LocalOptimizer
from algorithms.schedules.learning_rate import LearningRate, check_learning_rate, learning_rate
from algorithms.state import Block, State


@dataclass
class FederatedState(State):
    """The state of a federated method; `x` are the clients' parameters u_k.

    Attributes:
        server: (k, d), the server's parameters w as each node knows them: at the server w itself, at a client what it
            received last. With a replicated server all rows are w.
        clients: Those that take part in this round, ascending, the same on every rank; until power-of-choice has
            chosen, its candidates.
        votes: What each of them counts: K p_k.
        client_memory: What the clients' update rule remembers, in this round.
        server_memory: What the server's update rule remembers.
        turnout: Who has been in the rounds, if clients are not always there or do not always deliver.
    """

    past: ClassVar[tuple[str, ...]] = ("client_memory",)

    server: Tensor
    clients: tuple[int, ...]
    votes: tuple[float, ...]
    client_memory: Block | None
    server_memory: Block | None
    turnout: Turnout | None


S = TypeVar("S", bound=FederatedState)


@dataclass(frozen=True)
class Federated(HasServer, Algorithm[S]):
    """A federated method, whose clients are the nodes of the topology; its links do not matter.

    One `step` is one local iteration: a gradient at each client's own parameters u_k. A round is `local_steps` of them,
    from the server's parameters w, and ends at the server:

        u_k <- w at the start of the round, then moved by the local optimizer with the gradients of f_k
        g = sum_k p_k (w - u_k)            the pseudo-gradient, with the weights p_k of `sampling`
        w <- what the method makes of g

    The server starts from the mean of what the clients start from. Clients that do not take part do nothing; a run
    computes no gradients for them, except where it measures something. Local optimizers start anew in each round.

    Sent: at the end of a round w - u_k up, by each client that has taken part, and w down to each that takes part in
    the next round; at the start x up by all clients. With power-of-choice w goes down to the candidates. In the first
    iteration of the round each of these sends its loss up, one number, and the server tells all nodes whom it chose.
    What a run evaluates, records and returns is w, wherever it is: that takes no part in what is counted.

    With server = "replicated" there is no server. g is an exact mean over all nodes and what the server would keep
    every node keeps: one dense vector travels along the tree of `network.mean`, up and down again, at the end of each
    round and at the start, from and to all nodes whether they take part or not; with power-of-choice also n losses. The
    models are the same bits.

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
        availability: Which clients can be chosen in a round: if too few, it goes on with them; if there is none, or if
            nobody delivers anything, it passes and the server keeps what it has. Records have `clients_per_round` and,
            of these, `dropped_per_round`, whose work did not count: means over the rounds that are over.
        delivery: How far the clients come that were chosen: drop-out, limits of time, over-selection.
        server: Whether the server is a "node" of its own, after the clients, or "replicated" at all of them.
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
    availability: Availability = field(default_factory=AlwaysAvailable, kw_only=True)
    delivery: Delivery = field(default_factory=Delivery, kw_only=True)
    server: ServerForm = field(default="node", kw_only=True)

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
        if self.uneven:
            check_uneven(self, self.delivery, self.sampling, self.weighting, self.optimizer)
        self.check_server()

    def check_even(self, why: str) -> None:
        """Refuse clients that are not always there, or do not always deliver all of their work, and say why."""
        check(self.availability == AlwaysAvailable(), self, "availability", f"left out: {why}")
        check(self.delivery == Delivery(), self, "delivery", f"left out: {why}")

    @property
    def uneven(self) -> bool:
        """Whether clients are not always there, or do not always deliver all of their work."""
        return self.availability != AlwaysAvailable() or self.delivery != Delivery()

    @property
    def proportional(self) -> bool:
        return self.optimizer.proportional

    @property
    def acts_on_losses(self) -> bool:
        return super().acts_on_losses or self.candidates is not None

    @property
    def server_rule(self) -> LocalOptimizer:
        """How the server moves w along g."""
        return SGD()

    def for_examples(self, examples: Sequence[int]) -> Self:
        return replace(self, weights=tuple(map(float, examples))) if self.weights == "examples" else self

    def start(self, x: Tensor, network: Network) -> S:
        self._check_for(network)
        everyone = range(self.clients(network))
        mean = self.mean_of(x, everyone, [1.0] * len(everyone), network)
        state = self.first_state(self.sent_down(mean, (), network, known=x))
        self.begin_round(state, state.server, network)
        return state

    def first_state(self, server: Tensor) -> S:
        """The state before the first round, given the server's parameters (k, d) as far as each node knows them."""
        turnout = Turnout() if self.uneven else None
        return cast(S, FederatedState(server, server, (), (), None, self.server_rule.start(server), turnout))

    def idle(self, state: S, network: Network) -> list[int]:
        done, clients = state.step % self.local_steps, self.clients(network)
        steps = zip(state.clients, self.steps_made(state, network), strict=True)
        training = {client for client, own in steps if done < own}
        return [row for row, node in enumerate(network.nodes) if node < clients and node not in training]

    def step(self, state: S, sample: Sample, network: Network) -> None:
        if self.candidates is not None and state.step % self.local_steps == 0 and state.clients:
            self._choose(state, sample, network)
        lr = learning_rate(self.lr, state.step)
        gradient = self.local_gradient(state, sample.gradient)
        scale, direction = self.optimizer.update(state.x, state.client_memory, gradient, lr)
        idle, clients = {*self.idle(state, network)}, self.clients(network)
        for row, node in enumerate(network.nodes):
            if node < clients and row not in idle:
                add_scaled(state.x[row], scale, direction[row], out=state.x[row])
        if Every(self.local_steps).foreseen(state.step):
            server = state.server
            if state.turnout is not None:
                state.clients, state.votes = state.turnout.close(state.clients, state.votes)
            if state.clients or state.turnout is None:
                server = self.end_round(state, learning_rate(self.server_lr, state.step // self.local_steps), network)
            self.begin_round(state, server, network)

    def model(self, state: S) -> Tensor:
        return state.server

    def spread(self, state: S, network: Network) -> None:
        if not self.servers:
            return
        state.server = network.rows(state.server, [server_of(network)]).repeat(len(state.server), 1)
        taking_part = {*state.clients}
        for row, node in enumerate(network.nodes):
            if node not in taking_part:
                state.x[row] = state.server[row]

    def local_gradient(self, state: S, gradient: Tensor) -> Tensor:
        """(k, d): what takes the place of the gradients of f_k at the clients' parameters `state.x`."""
        return gradient

    def end_round(self, state: S, server_lr: float, network: Network) -> Tensor:
        """(k, d): the server's next parameters, at the nodes that keep it; what else the method keeps changes."""
        return self.moved(state, self.mean_of(self.travelled(state), state.clients, state.votes, network), server_lr)

    def moved(self, state: S, gradient: Tensor, lr: float) -> Tensor:
        """(k, d): the server's parameters after a step of its rule along g, at the nodes that keep it."""
        return add_scaled(state.server, *self.server_rule.update(state.server, state.server_memory, gradient, lr))

    def travelled(self, state: S) -> Tensor:
        """(k, d): w - u_k at the clients that take part."""
        return state.server - self.optimizer.model(state.x, state.client_memory)

    def mean_of(self, value: Tensor, clients: Sequence[int], weights: Sequence[float], network: Network) -> Tensor:
        """(k, d): 1/K sum_k weights_k value_k over these clients, of K in all, at the nodes that keep the server.

        Sent: the rows of these clients up; with a replicated server what a mean over all nodes sends.
        """
        if self.servers:
            return collect_mean(value, clients, network, weights)
        weight_of, rows = dict(zip(clients, weights, strict=True)), torch.zeros_like(value)
        for row, node in enumerate(network.nodes):
            if node in weight_of:
                rows[row] = value[row] * weight_of[node]
        return network.mean(rows).expand_as(value)

    def sent_down(self, value: Tensor, clients: Sequence[int], network: Network, known: Tensor) -> Tensor:
        """(k, d): what the server has in `value`, at itself and at these clients, which it sends it to; else `known`.

        With a replicated server all nodes have it in `value`, and nothing is sent.
        """
        return distribute(value, clients, network, others=known) if self.servers else value.contiguous()

    def begin_round(self, state: S, server: Tensor, network: Network) -> None:
        """Draw the clients of a round, the same everywhere, and let them and the server have its parameters (k, d)."""
        if state.turnout is not None:
            state.turnout.round += 1
        random = randomness(state.turnout, "clients", network)
        if self.candidates is not None:
            there = zip(self._sizes(network), self._available(state.turnout, network), strict=True)
            state.clients = draw_candidates([size if here else 0.0 for size, here in there], self.candidates, random)
            state.votes = (1.0,) * len(state.clients)  # until it is known who is chosen
            if state.turnout is not None:
                state.turnout.steps = (1,) * len(state.clients)
        else:
            self._take_part(state, self.drawn(state, random, network), network)
        state.server = self.sent_down(server, state.clients, network, known=state.server)
        state.x = state.server.clone()
        state.client_memory = self.optimizer.start(state.x)

    def drawn(self, state: S, random: np.random.Generator, network: Network) -> NDArray[np.float64]:
        """(K,) the votes K p_k of the round that begins, the same on every rank; who has 0 does not take part."""
        available, chosen = self._available(state.turnout, network), self.chosen_number(network)
        return draw_available(available, self._sizes(network), chosen, self.sampling, self.weighting, random)

    def clients(self, network: Network) -> int:
        """K, how many clients there are."""
        return network.n - self.servers

    def steps_of_clients(self, network: Network) -> list[int]:
        """(K,) how many iterations of a round each client makes."""
        clients = self.clients(network)
        if self.client_steps is None:
            return [self.local_steps] * clients
        if len(self.client_steps) != clients:
            given = len(self.client_steps)
            raise ValueError(f"{type(self).__name__}: there are {given} client_steps for {clients} clients")
        return list(self.client_steps)

    def steps_made(self, state: S, network: Network) -> Sequence[int]:
        """How many iterations each client of this round makes in it, in the order of `state.clients`."""
        steps = self.steps_of_clients(network)
        return [steps[client] for client in state.clients] if state.turnout is None else state.turnout.steps

    def report(self, state: S) -> dict[str, Tensor]:
        return super().report(state) if state.turnout is None else state.turnout.report(len(state.x))

    def shares(self, network: Network) -> list[float]:
        """(K,) K q_k: how many times the average share of the data each client has."""
        return multiples(self._sizes(network)).tolist()

    def _available(self, turnout: Turnout | None, network: Network) -> NDArray[np.bool_]:
        """(K,) which clients can be chosen."""
        random = randomness(turnout, "availability", network)
        return self.availability.available(turnout.round if turnout else 0, self.clients(network), random)

    def _take_part(self, state: S, votes: NDArray[np.float64], network: Network) -> None:
        """Those that count, of the votes (K,) of all clients, and how far they come."""
        clients = np.flatnonzero(votes)
        state.clients, kept = tuple(clients.tolist()), votes[clients]
        if state.turnout is not None:
            steps, random = self.steps_of_clients(network), randomness(state.turnout, "delivery", network)
            made, counts = self.delivery.draw(clients, np.array(steps), self.taking_part(network), random)
            state.turnout.steps, kept = tuple(made.tolist()), without(kept, counts, len(votes), self.weighting)
        state.votes = tuple(kept.tolist())

    def _choose(self, state: S, sample: Sample, network: Network) -> None:
        """The clients of the round, given what its candidates lose at the server's parameters.

        Raises:
            NonFiniteError: None of them has a finite loss.
        """
        losses = sample.loss[:, None].nan_to_num(nan=math.inf, posinf=math.inf)
        wanted = self.chosen_number(network)
        if self.servers:
            chosen = chosen_by_server(losses, state.clients, wanted, network)
        else:
            chosen = choose_clients(dict(enumerate(network.gather(losses)[:, 0].tolist())), state.clients, wanted)
        if not chosen:
            raise NonFiniteError(
                f"{type(self).__name__}: no candidate has a finite loss; in one's own loop, step needs a closure"
            )
        self._take_part(state, votes_of_chosen(chosen, self.clients(network), self.weighting), network)

    def _sizes(self, network: Network) -> tuple[float, ...]:
        """(K,) how much data the clients have."""
        clients = self.clients(network)
        if self.weights == "equal":
            return (1.0,) * clients
        if isinstance(self.weights, str):
            raise ValueError(f"{type(self).__name__}: weights = 'examples' is for runs; give the numbers here")
        if len(self.weights) != clients:
            raise ValueError(f"{type(self).__name__}: there are {len(self.weights)} weights for {clients} clients")
        return self.weights

    def taking_part(self, network: Network) -> int:
        """M, how many clients take part in a round."""
        clients = self.clients(network)
        if not isinstance(self.participation, int):
            return max(1, round(self.participation * clients))
        if self.participation > clients:
            raise ValueError(f"{type(self).__name__}: participation = {self.participation} of {clients} clients")
        return self.participation

    def chosen_number(self, network: Network) -> int:
        """How many clients are chosen for a round, of whom M take part."""
        return min(self.delivery.chosen(self.taking_part(network)), self.clients(network))

    def _check_for(self, network: Network) -> None:
        """Refuse what is out of range for so many clients."""
        sizes, clients = self._sizes(network), self.chosen_number(network)
        valid = not self.delivery.extra or self.taking_part(network) < self.clients(network)
        check(valid, self, "participation", "less than all clients with over-selection: nobody is left to choose")
        self.steps_of_clients(network)
        if self.candidates is not None:
            most = sum(size > 0 for size in sizes)
            check(clients <= self.candidates <= most, self, "candidates", f"in [{clients}, {most}]")
