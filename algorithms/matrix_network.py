"""A network of dense mixing matrices, for tests and examples: what every other one has to agree with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from algorithms.compressors.message import Message
from algorithms.network import Neighborhood, Posted, Spectrum, Traffic, Value, WeightedEdges
from algorithms.randomness import Draw

Matrix = NDArray[np.float64]

SYMMETRIC = 1e-12  # at most between W and its transpose


class MatrixNetwork:
    """All n nodes in one process, mixed by full matrices W. Implements `Network`.

    It is plain and slow, and has the bits, bytes and messages of the networks of `gossip.network`.

        >>> network = MatrixNetwork([[0.5, 0.5, 0.0], [0.5, 0.0, 0.5], [0.0, 0.5, 0.5]])
        >>> x = torch.tensor([[0.0], [4.0], [8.0]])
        >>> network.mix(x).tolist()
        [[2.0], [4.0], [6.0]]
        >>> network.traffic.messages.tolist()
        [1, 2, 1]
        >>> network.mean(x).tolist()
        [4.0]

    Args:
        W: (n, n), row i holds the weights that node i gives; or (rounds, n, n), which repeat; or a function that
            gives W (n, n) of each round t = 0, 1, ..., where they never repeat.
        seed: Seed of the random draws.
        hosts: (n,) The host that each node is said to be on; the same one for all by default.
    """

    def __init__(
        self, W: ArrayLike | Callable[[int], ArrayLike], seed: int = 0, hosts: Sequence[int] | None = None
    ) -> None:
        self.round = 0
        self.period: int | None = None
        if callable(W):
            self._given: Callable[[int], ArrayLike] = W
        else:
            rounds = np.array(W, np.float64, ndmin=3)
            self.period = len(rounds)
            self._given = lambda t: rounds[t % len(rounds)]
        self.n = len(self._matrix())
        self.nodes: Sequence[int] = range(self.n)
        self.hosts: Sequence[int] = [0] * self.n if hosts is None else hosts
        self.seed = seed
        self.seconds = 0.0
        """The time of the training so far: what whoever drives it has set."""
        self.traffic = Traffic(torch.zeros(self.n, dtype=torch.int64), torch.zeros(self.n, dtype=torch.int64))
        self._communicated = False
        self._posted: dict[Posted[Any], Matrix | None] = {}

    @property
    def spectrum(self) -> Spectrum:
        """Of a W that is the same in all rounds.

        Raises:
            ValueError: It is not.
        """
        if self.period != 1:
            raise ValueError("the mixing matrices vary with time: they have no common spectrum")
        W = self._matrix()
        if np.abs(W - W.T).max() > SYMMETRIC:
            gap = 1 - np.linalg.norm(W - 1 / self.n, ord=2)
            return Spectrum(float(gap), float(np.linalg.norm(np.eye(self.n) - W, ord=2)))
        values = np.linalg.eigvalsh(W)
        others = np.delete(values, np.argmin(np.abs(values - 1)))  # without that of the average
        return Spectrum(float(1 - np.abs(others).max(initial=0)), float(1 - others.min(initial=1)))

    def mix(
        self,
        value: Tensor | Message | Posted[Any],
        plus: tuple[float, Tensor] | None = None,
        *,
        over: WeightedEdges | None = None,
    ) -> Tensor:
        """W X, (n, d), each product and each sum rounded by itself, in node order."""
        W, sent = self._exchange(value, over)
        rows = sent.dense() if isinstance(sent, Message) else sent
        weights, edges = torch.from_numpy(W).to(rows), torch.from_numpy(W != 0)
        # A negative zero, unlike a positive one, changes no number that is added to it.
        terms = torch.where(edges[..., None], weights[..., None] * rows, -0.0)
        mixed = torch.full_like(rows, 0.0 if isinstance(sent, Message) else -0.0)
        for term in terms.unbind(dim=1):
            mixed += term
        alone = ~W.any(axis=1)
        if alone.any():
            mixed[torch.from_numpy(alone)] = 0
        return mixed if plus is None else mixed + plus[0] * plus[1]

    def own_weights(self, ahead: int = 0) -> Tensor:
        """(n, 1), float64: the diagonal of W of this round, or of so many rounds later."""
        return torch.from_numpy(np.diag(self._matrix(ahead))[:, None].copy())

    def post(self, value: Value) -> Posted[Value]:
        """Count what is sent; what completes it uses the W of this round."""
        posted = Posted(value)
        self._posted[posted] = self._send(value, None)
        return posted

    def empty(self, d: int, dtype: torch.dtype, device: torch.device | None = None) -> Tensor:
        """(n, d), uninitialised."""
        return torch.empty(self.n, d, dtype=dtype, device=device)

    def neighbors(
        self, value: Tensor | Message | Posted[Any], *, over: WeightedEdges | None = None
    ) -> list[Neighborhood]:
        """The rows that each node hears."""
        W, sent = self._exchange(value, over)
        rows = sent.dense() if isinstance(sent, Message) else sent
        heard = []
        for i, weights in enumerate(W):
            senders = [j for j in np.flatnonzero(weights).tolist() if j != i]
            heard.append(Neighborhood(tuple(senders), torch.from_numpy(weights[senders]).to(rows), rows[senders]))
        return heard

    def mean(self, value: Tensor | Message | Posted[Tensor]) -> Tensor:
        """The average of the rows, (d,)."""
        return self.sum(value) / self.n

    def sum(self, value: Tensor | Message | Posted[Tensor]) -> Tensor:
        """The sum of the rows, (d,), along a binary tree."""
        if isinstance(value, Posted):
            if value in self._posted:
                del self._posted[value]
                return _sum(value.value)
            value = value.value
        if isinstance(value, Message):
            self._gather(value.nbytes.numpy(), range(self.n))
            return _sum(value.dense())
        self._send_sum(value)
        return _sum(value)

    def post_mean(self, value: Tensor) -> Posted[Tensor]:
        """Count what is sent, before the sum is asked for."""
        posted = Posted(value)
        self._posted[posted] = None
        self._send_sum(value)
        return posted

    def gather(self, values: Tensor) -> Tensor:
        """The values themselves, (n, m)."""
        return self.rows(values, self.nodes)

    def rows(self, value: Tensor, nodes: Sequence[int]) -> Tensor:
        """The rows of these nodes, (len(nodes), d)."""
        self._gather(np.full(self.n, value.shape[1] * value.itemsize), nodes)
        return value[list(nodes)]

    def draw(self, purpose: str) -> Draw:
        """The random streams of this round for one purpose."""
        return Draw(self.seed, purpose, self.nodes, self.round)

    def finish_step(self) -> None:
        """End the round if anything was sent since the last call."""
        self.round += self._communicated
        self._communicated = False

    @contextmanager
    def unrecorded(self) -> Iterator[None]:
        """What is done meanwhile counts neither as traffic nor as a round, and leaves what was posted as it is."""
        sent = self.traffic.bytes.clone(), self.traffic.messages.clone()  # which are counted in place
        before = Traffic(*sent), self._communicated, dict(self._posted)
        yield
        self.traffic, self._communicated, self._posted = before

    def _matrix(self, ahead: int = 0) -> Matrix:
        return np.asarray(self._given(self.round + ahead), np.float64)

    def _exchange(
        self, value: Tensor | Message | Posted[Any], over: WeightedEdges | None
    ) -> tuple[Matrix, Tensor | Message]:
        """The W that this value is mixed with, which is that of this round unless it was posted; and what is sent."""
        if not isinstance(value, Posted):
            return self._send(value, over), value
        posted = self._posted.pop(value, None)
        return self._send(value.value, over) if posted is None else posted, value.value

    def _send(self, value: Tensor | Message, over: WeightedEdges | None) -> Matrix:
        """Count a row to each out-neighbour; gives W."""
        W = self._matrix() if over is None else _dense(over)
        receivers = np.count_nonzero(W, axis=0) - np.count_nonzero(np.diag(W)[None], axis=0)
        row_bytes = value.nbytes.numpy() if isinstance(value, Message) else value.shape[1] * value.itemsize
        self._count(row_bytes * receivers, receivers)
        return W

    def _send_sum(self, value: Tensor) -> None:
        """Count what goes up the tree and down again."""
        messages = np.zeros(self.n, np.int64)
        for parent, child, _ in _tree(range(self.n)):
            messages[[parent, child]] += 1
        self._count(value.shape[1] * value.itemsize * messages, messages)

    def _gather(self, sizes: NDArray[np.int64], nodes: Sequence[int]) -> None:
        """Count what goes along the tree so that all have the rows of these nodes, of so many bytes."""
        wanted = np.zeros(self.n, bool)
        wanted[list(nodes)] = True
        messages, sent = np.zeros(self.n, np.int64), np.zeros(self.n, np.int64)
        for parent, child, stop in _tree(range(self.n)):
            below = np.zeros(self.n, bool)
            below[child:stop] = wanted[child:stop]
            for node, carried in ((child, below), (parent, wanted & ~below)):
                messages[node] += carried.any()
                sent[node] += sizes[carried].sum()
        self._count(sent, messages)

    def _count(self, sent: NDArray[np.int64], messages: NDArray[np.int64]) -> None:
        self.traffic.bytes += torch.from_numpy(sent)
        self.traffic.messages += torch.from_numpy(messages)
        self._communicated = True


def _dense(edges: WeightedEdges) -> Matrix:
    found = np.zeros((edges.n, edges.n))
    found[np.repeat(np.arange(edges.n), np.diff(edges.arrays.indptr)), edges.arrays.indices] = edges.arrays.data
    return found


def _middle(n: int) -> int:
    """Where n > 1 nodes are divided: after the largest power of two that leaves any to the right."""
    return 1 << (n - 1).bit_length() - 1


def _sum(rows: Tensor) -> Tensor:
    """(d,), that of the left part plus that of the right one."""
    n = len(rows)
    return rows[0] if n == 1 else _sum(rows[: _middle(n)]) + _sum(rows[_middle(n) :])


@cache
def _tree(nodes: range) -> tuple[tuple[int, int, int], ...]:
    """The edges that carry sums: (parent, child, end of the child's part), the parts being divided as in `_sum`."""
    if len(nodes) == 1:
        return ()
    middle = nodes.start + _middle(len(nodes))
    return (nodes.start, middle, nodes.stop), *_tree(range(nodes.start, middle)), *_tree(range(middle, nodes.stop))
