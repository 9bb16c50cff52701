"""Learned gradient compression: an autoencoder that learns, during the training, to encode the largest entries."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import pairwise
from typing import ClassVar, Self, get_args

import numpy as np
import torch
from torch import Tensor

from algorithms.algorithm import Algorithm, Sample
from algorithms.blocks.momentum import check_momentum
from algorithms.blocks.server import ServerForm, collect, distribute, server_rows
from algorithms.blocks.two_way import average_at_server
from algorithms.checks import check
from algorithms.compressors import Message, PerTensor, SignTopK, TopK
from algorithms.compressors.message import working_precision
from algorithms.compressors.sparsifiers.top_k import largest_entries
from algorithms.error_feedback.autoencoder import Autoencoder
from algorithms.layout import Layout
from algorithms.network import Network
from algorithms.numerics.sums import add_scaled
from algorithms.randomness import random_bits
from algorithms.schedules.learning_rate import LearningRate, check_learning_rate, learning_rate
from algorithms.star import Compressed, Star
from algorithms.state import State


@dataclass
class LearnedCompressionState(State):
    """What learned gradient compression carries on; all rows of `x` are equal.

    Attributes:
        momentum: (k, d), u_i.
        velocity: (k, d), v_i: momentum that has not been sent.
        encoder: For each local node the weights of the encoder, float64; empty where they are not known.
        decoders: For each local node (decoders, weights) float64; none at those who do not decode.
        lost: (k,) float64, the share of the square that the autoencoder lost when it last learnt; 0 where none does.
        iterations: Since the start, which the phases follow.
    """

    past: ClassVar[tuple[str, ...]] = ("momentum", "velocity")

    momentum: Tensor
    velocity: Tensor
    encoder: list[Tensor]
    decoders: list[Tensor]
    lost: Tensor
    iterations: int = 0


@dataclass(frozen=True)
class Places:
    """Where the tensors of the model lie in the vector, and the shapes of those that are not sent as they are.

    Attributes:
        dense: The first tensors.
        coded: Those in between.
        sparse: The last ones.
        coded_shapes: Of each tensor.
        sparse_shapes: Of each tensor.
    """

    dense: slice
    coded: slice
    sparse: slice
    coded_shapes: tuple[tuple[int, ...], ...]
    sparse_shapes: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class LearnedCompression(Algorithm[LearnedCompressionState]):
    """LGC: the largest entries of what momentum has accumulated, encoded by an autoencoder that learns them meanwhile.

    Abrahamyan, Chen, Bekoulis, Deligiannis, "Learned Gradient Compression for Distributed Deep Learning", IEEE TNNLS
    2021, arXiv 2103.08870. It is a method and no compressor, as what it sends can be decoded only with weights that its
    receivers have learnt, while the message of a compressor says all that they need.

    With u_i and v_i, 0 at the start, u_i <- momentum u_i + g_i(x) and v_i <- v_i + u_i, in three phases

        dense        the mean of all v_i is sent as it is, and v_i <- 0: SGD with momentum
        training     the first tensors of the model are sent like that; of the last ones each node sends the largest
                     entries of its v_i; of those in between, one node after another, the leader of an iteration, says
                     where its v_i is largest, S, and all send their values there. The autoencoder learns these
        compressed   of the tensors in between, codes of the values at S are sent

    Where largest entries have been sent, u_i and v_i become 0 as in `DeepGradientCompression`: what the autoencoder
    loses is lost. With r_i = v_i[S] divided by scales that the leader has said, and the encoder E, x moves at S by

        all-reduce   D(mean_i E(r_i)), one decoder D, which with E learns to decode the mean of all r_i
        server       mean_i D_i(E(r_leader), innovation_i), a decoder for each node, and the largest entries of r_i, its
                     innovation; E also learns to give all nodes like codes (`Autoencoder.trained_on_each`)

    No code of the authors is known. Reconstructed are: how S is sent, as signs and for each tensor a scale, which is a
    power of two near the mean magnitude; that the leader changes in turn, also in training; who trains, and with what:
    every node alike with all values, or the server, which then sends the encoder; and all sizes but those of
    `Autoencoder`'s defaults.

    Sent: dense vectors and codes along the tree of `network.mean`; S, and entries of the last tensors, to all others;
    in training all values to all along the tree. With a server: what is said above up, also S, which it passes on; and
    down the mean of each kind, of the values at S as they are, and after the training the encoder. All nodes start from
    the mean of their parameters. W is not used.

    Args:
        lr: Learning rate, > 0, or a schedule of it.
        fraction: Share of the entries of each tensor that are kept, in (0, 1]; one at least.
        momentum: The momentum, in [0, 1).
        dense_steps: Iterations of the dense phase, >= 0.
        training_steps: Iterations of the training of the autoencoder, >= 1.
        dense_tensors: How many tensors, the first ones, are sent as they are, >= 0.
        sparse_tensors: How many tensors, the last ones, are sent without being encoded, >= 0.
        innovation: Share of the values at S that are an innovation, in (0, 1]; one at least. Only with a server.
        autoencoder: Its sizes, and how it learns.
        server: None for the instance by all-reduce; else whether the server is a "node" of its own, after the others,
            or "replicated" at all of them, who send to each other what it would hear.
        shapes: Of the tensors of the model, in order; filled in by `for_layout`. Without, the vector is one tensor.
    """

    compresses: ClassVar[bool] = True

    needs: ClassVar[tuple[str, ...]] = ()

    lr: float | LearningRate = 0.1
    fraction: float = 0.001
    momentum: float = 0.9
    dense_steps: int = 200
    training_steps: int = 300
    dense_tensors: int = 1
    sparse_tensors: int = 2
    innovation: float = 0.01
    autoencoder: Autoencoder = field(default_factory=Autoencoder)
    server: ServerForm | None = None
    shapes: tuple[tuple[int, ...], ...] | None = None

    def __post_init__(self) -> None:
        check_learning_rate(self, self.lr)
        check(0 < self.fraction <= 1, self, "fraction", "in (0, 1]")
        check_momentum(self, self.momentum)
        for name, least in (("dense_steps", 0), ("training_steps", 1), ("dense_tensors", 0), ("sparse_tensors", 0)):
            check(getattr(self, name) >= least, self, name, f">= {least}")
        check(0 < self.innovation <= 1, self, "innovation", "in (0, 1]")
        forms = get_args(ServerForm)
        check(self.server is None or self.server in forms, self, "server", f"None or one of {', '.join(forms)}")

    @property
    def proportional(self) -> bool:
        return False  # the scales of what is encoded are powers of two

    @property
    def servers(self) -> int:
        return int(self.server == "node")

    def replicated(self) -> Self:
        return replace(self, server="replicated") if self.server else self

    def for_layout(self, layout: Layout) -> Self:
        return replace(self, shapes=tuple(tuple(shape) for shape in layout.shapes.values()))

    def places(self, d: int) -> Places:
        """Which of the d parameters are sent in which way.

        Raises:
            ValueError: if none are left to be encoded.
        """
        return _places(self.shapes or ((d,),), self.dense_tensors, self.sparse_tensors)

    def start(self, x: Tensor, network: Network) -> LearnedCompressionState:
        places = self.places(x.shape[1])
        if places.sparse.stop != x.shape[1]:
            raise ValueError(f"LearnedCompression: the tensors hold {places.sparse.stop} numbers, not {x.shape[1]}")
        common, nodes = network.draw("autoencoder").common, network.n - self.servers
        encoder = self.autoencoder.first_encoder(common)
        keys = [random_bits(common, i) for i in range(1 if self.server is None else nodes)]
        decoders = torch.stack([self.autoencoder.first_decoder(key, self.server is not None) for key in keys])
        known = [self.server != "node" or node == network.n - 1 for node in network.nodes]
        return LearnedCompressionState(
            average_at_server(x, network, self._form),
            torch.zeros_like(x),
            torch.zeros_like(x),
            [encoder if each else encoder[:0] for each in known],
            [decoders if each else decoders[:0] for each in known],
            torch.zeros(len(x), dtype=torch.float64),
        )

    def step(self, state: LearnedCompressionState, sample: Sample, network: Network) -> None:
        dense = state.iterations < self.dense_steps
        state.momentum = add_scaled(sample.gradient, self.momentum, state.momentum)
        state.velocity = state.velocity + state.momentum
        if dense:
            update = average_at_server(state.velocity, network, self._form)
            state.velocity = torch.zeros_like(state.velocity)
        else:
            update = self._update(state, network)
        state.iterations += 1
        state.x = add_scaled(state.x, -learning_rate(self.lr, state.step), update)

    def report(self, state: LearnedCompressionState) -> dict[str, Tensor]:
        return {} if self.server else {"share_lost_by_autoencoder": state.lost}

    def _update(self, state: LearnedCompressionState, network: Network) -> Tensor:
        """(k, d) what x moves along, after which what has been sent is 0 in the velocity."""
        velocity, update, places = state.velocity, torch.zeros_like(state.x), self.places(state.x.shape[1])
        state.velocity, state.momentum = velocity.clone(), state.momentum.clone()
        if places.dense.stop:
            update[:, places.dense] = average_at_server(velocity[:, places.dense].contiguous(), network, self._form)
            state.velocity[:, places.dense] = 0
        if places.sparse_shapes:
            operator = PerTensor(TopK(fraction=self.fraction), shapes=places.sparse_shapes)
            largest, draw = velocity[:, places.sparse].contiguous(), network.draw("last tensors")
            message = operator.compress(largest, draw, sent=self._with_data(network))
            update[:, places.sparse] = average_at_server(message, network, self._form)
            state.velocity[:, places.sparse] -= message.dense()
            state.momentum[:, places.sparse].masked_fill_(message.dense() != 0, 0)
        leader = state.iterations % (network.n - self.servers)
        pattern = self._pattern(velocity[:, places.coded], places, leader, network)
        kept = pattern.nonzero()[:, 0]
        where, scales = places.coded.start + kept, pattern[kept].abs()
        values = velocity[:, where] / scales
        trains = state.iterations < self.dense_steps + self.training_steps
        mean = (self._learn if trains else self._decode)(state, values, leader, network)
        update[:, where] = mean * scales
        state.velocity[:, where] = 0
        state.momentum[:, where] = 0
        return update

    def _pattern(self, coded: Tensor, places: Places, leader: int, network: Network) -> Tensor:
        """(d of these tensors,) at S the scale of the tensor with the sign of the leader's entry, and 0 elsewhere."""
        led = torch.tensor([node == leader for node in network.nodes])
        patterns = torch.zeros_like(coded)
        for row in led.nonzero()[:, 0].tolist():
            patterns[row] = self._signs(coded[row].to(working_precision(coded.dtype)), places.coded_shapes)
        # Scales are powers of two, so what the operator makes of a pattern is that pattern.
        operator, draw = PerTensor(SignTopK(fraction=self.fraction), shapes=places.coded_shapes), network.draw("leader")
        message = operator.compress(patterns, draw, sent=led)
        if self.server != "node":
            return network.sum(message)
        heard, here = collect(message, [leader], network), server_rows(network)
        patterns = torch.zeros_like(coded)
        if heard:
            patterns[here] = heard[leader].to(coded)
        answer = operator.compress(patterns, network.draw("answer"), sent=~self._with_data(network))
        return distribute(answer, range(network.n - 1), network, others=patterns)[0]

    def _signs(self, coded: Tensor, shapes: tuple[tuple[int, ...], ...]) -> Tensor:
        """(d of these tensors,) for the velocity of one node."""
        pattern, first = torch.zeros_like(coded), 0
        for part in coded.split([math.prod(shape) for shape in shapes]):
            if len(part):
                kept = largest_entries(part, TopK(fraction=self.fraction).kept(len(part)))
                scale = math.ldexp(1.0, math.frexp(float(part[kept].abs().mean()))[1])
                pattern[first + kept] = torch.where(part[kept] < 0, -scale, scale).to(coded)
            first += len(part)
        return pattern

    def _learn(self, state: LearnedCompressionState, values: Tensor, leader: int, network: Network) -> Tensor:
        """(k, L) the mean of the values of all nodes, from which the autoencoder learns."""
        rows = self._of_all(values, network)
        decoding, mean = self._decoding(network), torch.zeros_like(values)
        if rows is not None:
            mean[decoding] = rows.mean(dim=0)
            self._train(state, rows.double().cpu(), leader, decoding)
        if self.server == "node":
            mean = distribute(mean, range(network.n - 1), network, others=mean)
        if state.iterations + 1 == self.dense_steps + self.training_steps and self.server is not None:
            self._share_encoder(state, values, network)
        return mean

    def _train(self, state: LearnedCompressionState, rows: Tensor, leader: int, decoding: list[int]) -> None:
        """One step, with the values (n, L) of all nodes; all who decode have the same weights."""
        learner, encoder, decoders = self.autoencoder, state.encoder[decoding[0]], state.decoders[decoding[0]]
        if self.server is None:
            encoder, decoder, lost = learner.trained_on_mean(encoder, decoders[0], rows)
            decoders = decoder[None]
        else:
            innovations = torch.zeros_like(rows)
            for row, innovation in zip(rows, innovations, strict=True):
                kept = largest_entries(row, TopK(fraction=self.innovation).kept(len(row)))
                innovation[kept] = row[kept]
            encoder, decoders, lost = learner.trained_on_each(encoder, decoders, rows, innovations, leader)
        state.lost = torch.zeros_like(state.lost)
        for row in decoding:
            state.encoder[row], state.decoders[row], state.lost[row] = encoder, decoders, lost

    def _share_encoder(self, state: LearnedCompressionState, like: Tensor, network: Network) -> None:
        """The encoder as it comes to be at all nodes, in the precision of the model."""
        weights = torch.zeros(len(like), len(self.autoencoder.first_encoder(0)), dtype=like.dtype, device=like.device)
        for row in self._decoding(network):
            weights[row] = state.encoder[row].to(like)
        if self.server == "node":
            weights = distribute(weights, range(network.n - 1), network, others=weights)
        state.encoder = [row.double().cpu() for row in weights]

    def _decode(self, state: LearnedCompressionState, values: Tensor, leader: int, network: Network) -> Tensor:
        """(k, L) what stands for the mean of the values of all nodes."""
        entries = values.shape[1]
        codes = torch.zeros(len(values), self.autoencoder.length(entries), dtype=values.dtype, device=values.device)
        for row, node in enumerate(network.nodes):
            if self.server is None or node == leader:
                codes[row] = self.autoencoder.encode(state.encoder[row], values[row : row + 1])[0].to(codes)
        if self.server is None:
            mean_code = network.mean(codes)
            return self.autoencoder.decode(state.decoders[0][0], mean_code, entries).to(values).repeat(len(values), 1)
        operator, draw = TopK(fraction=self.innovation), network.draw("innovation")
        message = operator.compress(values.contiguous(), draw, sent=self._with_data(network))
        code, innovations = self._code_of(leader, codes, network), self._of_all(message, network)
        mean, decoding = torch.zeros_like(values), self._decoding(network)
        if code is not None and innovations is not None:
            pairs = zip(state.decoders[decoding[0]], innovations, strict=True)
            decoded = [self.autoencoder.decode(decoder, code, entries, each) for decoder, each in pairs]
            mean[decoding] = torch.stack(decoded).mean(dim=0).to(mean)
        if self.server == "node":
            mean = distribute(mean, range(network.n - 1), network, others=mean)
        return mean

    def _code_of(self, leader: int, codes: Tensor, network: Network) -> Tensor | None:
        """The leader's code, where it is decoded."""
        if self.server == "node":
            return collect(codes, [leader], network).get(leader)
        return network.rows(codes, [leader])[0]

    def _of_all(self, value: Tensor | Message, network: Network) -> Tensor | None:
        """(nodes, L) what all nodes have, where it is decoded: rows, or what is left of them in messages."""
        if self.server == "node":
            heard = collect(value, range(network.n - 1), network)
            return torch.stack([heard[node] for node in range(network.n - 1)]) if heard else None
        if isinstance(value, Tensor):
            return network.gather(value)
        own, others = value.dense()[0], network.neighbors(value, over=_everybody(network.n))[0]
        rows = dict(zip(others.nodes, others.rows, strict=True)) | {network.nodes[0]: own}
        return torch.stack([rows[node] for node in range(network.n)])

    def _decoding(self, network: Network) -> list[int]:
        """The local rows of those who train and decode."""
        rows = range(len(network.nodes))
        return list(rows[server_rows(network)] if self.server == "node" else rows)

    def _with_data(self, network: Network) -> Tensor:
        """(k,) which local nodes are no server."""
        return torch.tensor([node < network.n - self.servers for node in network.nodes])

    @property
    def _form(self) -> ServerForm:
        return self.server or "replicated"


@lru_cache(maxsize=16)
def _places(shapes: tuple[tuple[int, ...], ...], dense: int, sparse: int) -> Places:
    coded = shapes[dense : len(shapes) - sparse]
    if not any(math.prod(shape) for shape in coded):
        raise ValueError(
            f"LearnedCompression: dense_tensors = {dense} and sparse_tensors = {sparse} leave nothing to encode of the "
            f"{len(shapes)} tensors of this model; together they must be fewer"
        )
    bounds = [0, *(sum(map(math.prod, shapes[:stop])) for stop in (dense, len(shapes) - sparse, len(shapes)))]
    parts = (slice(first, stop) for first, stop in pairwise(bounds))
    return Places(next(parts), next(parts), next(parts), coded, shapes[len(shapes) - sparse :])


@lru_cache(maxsize=16)
def _everybody(n: int) -> Star:
    """Each node hears all others."""
    columns = [np.delete(np.arange(n), i) for i in range(n)]
    return Star(n, Compressed(np.arange(n + 1) * (n - 1), np.concatenate(columns), np.ones(n * (n - 1))))
