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
from algorithms.blocks.server import (
    ServerForm,
    among,
    hear,
    local_rows,
    mean_at_server,
    server_of,
    server_rows,
)
from algorithms.checks import NonFiniteError, check
from algorithms.compressors import Compressor, Message
from algorithms.compressors.theory import check_contraction
from algorithms.federated.availability import AlwaysAvailable, Availability
from algorithms.federated.delivery import Delivery, Turnout, randomness
from algorithms.federated.links import Downlink, Uplink
from algorithms.federated.options import check_options
from algorithms.federated.participation import HasClients
from algorithms.federated.sampling import (
    Sampling,
    Weighting,
    choose_clients,
    chosen_by_server,
    draw_available,
    draw_candidates,
    votes_of_chosen,
    without,
)
from algorithms.network import Network
from algorithms.numerics.rows import placed
from algorithms.numerics.sums import add_scaled
from algorithms.optimizers import SGD, LocalOptimizer
from algorithms.schedules.learning_rate import LearningRate, learning_rate
from algorithms.state import Block, Rows, State, as_rows, put_rows, rows_of


@dataclass
class FederatedState(State):
    """The state of a federated method; `x` are the clients' parameters u_k.

    Attributes:
        server: (k, d), the server's parameters w as each node knows them: at the server w itself, at a client what it
            received last. With a replicated server all rows are w. In rounds only rows change of nodes that take part.
        clients: Those that take part in this round, ascending, the same on every rank; until power-of-choice has
            chosen, its candidates.
        votes: What each of them counts: K p_k.
        client_memory: What the clients' update rule remembers, in this round.
        server_memory: What the server's update rule remembers.
        turnout: Who has been in the rounds, if clients are not always there or do not always deliver.
        up: What clients remember of each kind of vector that they send compressed.
        down: What they know of each kind of vector that the server sends compressed.
    """

    past: ClassVar[tuple[str, ...]] = ("client_memory",)

    server: Tensor
    clients: tuple[int, ...]
    votes: tuple[float, ...]
    client_memory: Block | None
    server_memory: Block | None
    turnout: Turnout | None
    up: tuple[Uplink, ...]
    down: tuple[Downlink, ...]


S = TypeVar("S", bound=FederatedState)


@dataclass(frozen=True)
class Federated(HasClients, Algorithm[S]):
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

    Links may be compressed. Up, client k sends C(p), p = w - u_k + e_k, and keeps the error e_k <- p - C(p) until it
    takes part again; without error feedback C(w - u_k). Down, the server sends C'(w - w_k), and the client goes on from
    w_k <- w_k + C'(w - w_k), which both know and which stands for w at the client; the first time it hears w as it is.
    Other vectors that a method sends are compressed likewise, and numbers are not.

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
        compressor: C, of what clients send; None for vectors as they are.
        error_feedback: Whether what compression up has lost is sent later. C is a contraction then; without, it should
            be unbiased.
        server_compressor: C', a contraction that remembers nothing, of what the server sends; None for vectors as they
            are.
        server: Whether the server is a "node" of its own, after the clients, or "replicated" at all of them.
    """

    needs: ClassVar[tuple[str, ...]] = ()

    vectors: ClassVar[tuple[str, ...]] = ("model",)
    """The kinds of vectors that go up and down."""

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
    compressor: Compressor | None = field(default=None, kw_only=True)
    error_feedback: bool = field(default=True, kw_only=True)
    server_compressor: Compressor | None = field(default=None, kw_only=True)
    server: ServerForm = field(default="node", kw_only=True)

    def __post_init__(self) -> None:
        check_options(self)
        self.check_server()

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
        self.check_clients(network)
        everyone = range(self.clients(network))
        mean = self.mean_of(x[as_rows(local_rows(everyone, network))], everyone, [1.0] * len(everyone), network)
        known = x.clone()
        known[self.keepers(network)] = mean
        state = self.first_state(known)
        state.up, state.down = self._links(known, network)
        self.begin_round(state, mean, network)
        return state

    def first_state(self, server: Tensor) -> S:
        """The state before the first round, given the server's parameters (k, d) as far as each node knows them."""
        turnout = Turnout() if self.uneven else None
        memories = self.optimizer.start(server), self.server_rule.start(server)
        return cast(S, FederatedState(server.clone(), server, (), (), *memories, turnout, (), ()))

    def idle(self, state: S, network: Network) -> list[int]:
        training, clients = {*self._training(state, network)}, self.clients(network)
        return [row for row, node in enumerate(network.nodes) if node < clients and row not in training]

    def step(self, state: S, sample: Sample, network: Network) -> None:
        if self.candidates is not None and state.step % self.local_steps == 0 and state.clients:
            self._choose(state, sample, network)
        for link in state.down[:1]:
            link.recall(state.server, state.clients, network)  # `spread` may have brought them w itself
        self.local_iteration(state, sample, network)
        if Every(self.local_steps).foreseen(state.step):
            server = state.server[self.keepers(network)]
            if state.turnout is not None:
                state.clients, state.votes = state.turnout.close(state.clients, state.votes)
            if state.clients or state.turnout is None:
                server = self.end_round(state, learning_rate(self.server_lr, state.step // self.local_steps), network)
            self.begin_round(state, server, network)

    def _training(self, state: S, network: Network) -> list[int]:
        """The rows of the local clients that make a local iteration."""
        done = state.step % self.local_steps
        steps = zip(state.clients, self.steps_made(state, network), strict=True)
        return local_rows([client for client, own in steps if done < own], network)

    def local_iteration(self, state: S, sample: Sample, network: Network) -> None:
        """One of those clients of the round that have not made all of theirs."""
        rows = as_rows(self._training(state, network))
        updated = rows if self.optimizer.by_rows else slice(0, len(state.x))
        x, memory = state.x[updated], rows_of(state.client_memory, updated)
        gradient = self.local_gradient(state, sample.of(updated), updated)
        moved = add_scaled(x, *self.optimizer.update(x, memory, gradient, learning_rate(self.lr, state.step)))
        state.client_memory = put_rows(state.client_memory, updated, memory)
        state.x[rows] = moved if updated == rows else moved[rows]

    def model(self, state: S) -> Tensor:
        return state.server

    def spread(self, state: S, network: Network) -> None:
        if self.servers:
            state.server = network.rows(state.server, [server_of(network)]).repeat(len(state.server), 1)
        taking_part = {*local_rows(state.clients, network)}
        away = [row for row in range(len(state.x)) if row not in taking_part]
        state.x[away] = state.server[away]

    def local_gradient(self, state: S, gradient: Tensor, rows: Rows) -> Tensor:
        """(r, d): what takes the place of the gradients of f_k, (r, d), at the parameters `state.x` in these rows."""
        return gradient

    def end_round(self, state: S, server_lr: float, network: Network) -> Tensor:
        """(s, d): the server's next parameters, see `mean_of`; what else the method keeps changes."""
        sent = self.sent_up(state, self.travelled(state, network), network)
        return self.moved(state, self.mean_of(sent, state.clients, state.votes, network), server_lr, network)

    def moved(self, state: S, gradient: Tensor, lr: float, network: Network) -> Tensor:
        """(s, d): the server's parameters after a step of its rule along g (s, d)."""
        here = self.keepers(network)
        server, memory = state.server[here], rows_of(state.server_memory, here)
        server = add_scaled(server, *self.server_rule.update(server, memory, gradient, lr))
        state.server_memory = put_rows(state.server_memory, here, memory)
        return server

    def travelled(self, state: S, network: Network) -> Tensor:
        """(r, d): w - u_k of the r local clients of the round, in the order of their rows."""
        rows = as_rows(local_rows(state.clients, network))
        return state.server[rows] - self.optimizer.model(state.x[rows], rows_of(state.client_memory, rows))

    def keepers(self, network: Network) -> slice:
        """The local rows of those that keep the server, the last ones: s rows, of the server or of all nodes."""
        return server_rows(network) if self.servers else slice(0, len(network.nodes))

    def sent_up(self, state: S, value: Tensor, network: Network, vector: str = "model") -> Tensor | Message:
        """(r, d): what the clients of the round send of vectors (r, d), of which the local ones have a row each."""
        if self.compressor is None:
            return value
        rows, draw = local_rows(state.clients, network), network.draw(f"up {vector}")
        draw = replace(draw, nodes=[draw.nodes[row] for row in rows])
        return state.up[self.vectors.index(vector)].message(value, as_rows(rows), self.compressor, draw)

    def mean_of(
        self, value: Tensor | Message, clients: Sequence[int], weights: Sequence[float], network: Network
    ) -> Tensor:
        """(s, d): 1/K sum_k weights_k value_k over these clients, of K in all, at the local nodes that keep the server.

        Sent: what these clients have, up; with a replicated server what a mean over all nodes sends.

        Args:
            value: (r, d), or packed: what the r local ones of these clients have, in the order of their rows.
            clients: Ascending, the same on every rank.
            weights: Of each of these clients.
            network: The clients and the server.
        """
        rows, k = local_rows(clients, network), len(network.nodes)
        if self.servers:
            return mean_at_server(among(value, as_rows(rows), k), clients, network, weights)
        assert isinstance(value, Tensor)
        weight_of, weighted = dict(zip(clients, weights, strict=True)), torch.empty_like(value)
        for place, row in enumerate(rows):
            weighted[place] = value[place] * weight_of[network.nodes[row]]
        return network.mean(placed(weighted, as_rows(rows), k)).expand(k, -1)

    def send_down(self, state: S, known: Tensor, network: Network, vector: str = "model") -> None:
        """Let the clients of the round hear what the server has, if it is not replicated.

        Args:
            state: Has the clients, and the links.
            known: (k, d), what each local node knows: the server what it has, clients what they hear now.
            network: The clients and the server.
            vector: Which kind it is.
        """
        if self.server_compressor is not None:
            link = state.down[self.vectors.index(vector)]
            link.send(known, state.clients, self.server_compressor, network, f"down {vector}")
        elif self.servers:
            rows, heard = hear(known, state.clients, network)
            known[rows] = heard

    def begin_round(self, state: S, server: Tensor, network: Network) -> None:
        """Draw the clients of a round, the same everywhere, and let them and the server have its parameters (s, d)."""
        if state.turnout is not None:
            state.turnout.round += 1
        random = randomness(state.turnout, "clients", network)
        if self.candidates is not None:
            there = zip(self.sizes(network), self.available(state.turnout, network), strict=True)
            state.clients = draw_candidates([size if here else 0.0 for size, here in there], self.candidates, random)
            state.votes = (1.0,) * len(state.clients)  # until it is known who is chosen
            if state.turnout is not None:
                state.turnout.steps = (1,) * len(state.clients)
        else:
            self._take_part(state, self.drawn(state, random, network), network)
        state.server[self.keepers(network)] = server
        self.send_down(state, state.server, network)
        rows = as_rows(local_rows(state.clients, network))
        state.x[rows] = state.server[rows]
        anew = rows if self.optimizer.by_rows else slice(0, len(state.x))
        state.client_memory = put_rows(state.client_memory, anew, self.optimizer.start(state.x[anew]))

    def drawn(self, state: S, random: np.random.Generator, network: Network) -> NDArray[np.float64]:
        """(K,) the votes K p_k of the round that begins, the same on every rank; who has 0 does not take part."""
        available, chosen = self.available(state.turnout, network), self.chosen_number(network)
        return draw_available(available, self.sizes(network), chosen, self.sampling, self.weighting, random)

    def steps_made(self, state: S, network: Network) -> Sequence[int]:
        """How many iterations each client of this round makes in it, in the order of `state.clients`."""
        steps = self.steps_of_clients(network)
        return [steps[client] for client in state.clients] if state.turnout is None else state.turnout.steps

    def _links(self, x: Tensor, network: Network) -> tuple[tuple[Uplink, ...], tuple[Downlink, ...]]:
        """Those of nothing sent so far, of vectors like those in the stack x (k, d)."""
        up, down = self.compressor, self.server_compressor
        if up is not None and self.error_feedback:
            check_contraction(self, up, x.shape[1])
        if down is not None:
            check_contraction(self, down, x.shape[1])
            forgets = down.start_like(x) is None
            check(forgets, self, "server_compressor", "one that remembers nothing: its messages have many receivers")
        return (
            tuple(Uplink.start(x, up, self.error_feedback) for _ in self.vectors if up is not None),
            tuple(Downlink.start(x, self.clients(network)) for _ in self.vectors if down is not None),
        )

    def report(self, state: S) -> dict[str, Tensor]:
        return super().report(state) if state.turnout is None else state.turnout.report(len(state.x))

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
