"""A network of dense mixing matrices, for tests and examples: what every other one has to agree with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from algorithms.compressors.message import Message
from algorithms.network import Neighborhood, Posted, Spectrum, Traffic, Value, WeightedEdges
from algorithms.numerics.tree_sum import fold, split
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
        self._posted: list[tuple[Posted[Any], Matrix]] = []
        self._posted_means: list[Posted[Tensor]] = []

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
        others = np.delete(values, np.argmin(np.abs(values - 1))) if self.n > 1 else np.zeros(1)
        return Spectrum(float(1 - np.abs(others).max()), float(1 - others.min()))

    def mix(
        self,
        value: Tensor | Message | Posted[Any],
        plus: tuple[float, Tensor] | None = None,
        *,
        over: WeightedEdges | None = None,
    ) -> Tensor:
        """W X, (n, d), each product and each sum rounded by itself, in node order."""
        W, rows, packed = self._exchanged(value, over)
        # A negative zero, unlike a positive one, changes no number that is added to it.
        mixed = torch.full_like(rows, 0.0 if packed else -0.0)
        mixed[~torch.from_numpy(W.any(axis=1))] = 0.0  # the sum of nothing
        for j, row in enumerate(rows):
            listeners = np.flatnonzero(W[:, j])
            mixed[listeners] += torch.from_numpy(W[listeners, j, None]).to(rows) * row
        return mixed if plus is None else mixed + plus[0] * plus[1]

    def own_weights(self, ahead: int = 0) -> Tensor:
        """(n, 1), float64: the diagonal of W of this round, or of so many rounds later."""
        return torch.from_numpy(np.diag(self._matrix(ahead))[:, None].copy())

    def post(self, value: Value) -> Posted[Value]:
        """Count what is sent; the `mix` or `neighbors` of what this gives uses the W of this round."""
        posted = Posted(value)
        self._posted.append((posted, self._send(value, None)))
        return posted

    def empty(self, d: int, dtype: torch.dtype, device: torch.device | None = None) -> Tensor:
        """(n, d), uninitialised."""
        return torch.empty(self.n, d, dtype=dtype, device=device)

    def neighbors(
        self, value: Tensor | Message | Posted[Any], *, over: WeightedEdges | None = None
    ) -> list[Neighborhood]:
        """The rows that each node hears."""
        W, rows, _ = self._exchanged(value, over)
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
        if isinstance(value, Message):
            self._gathered(value.nbytes.numpy(), range(self.n))
            return fold(value.dense())
        if isinstance(value, Posted) and value in self._posted_means:
            self._posted_means.remove(value)
            return fold(value.value)
        rows = value.value if isinstance(value, Posted) else value
        self._posted_means.remove(self.post_mean(rows))
        return fold(rows)

    def post_mean(self, value: Tensor) -> Posted[Tensor]:
        """Count what is sent; the `mean` or `sum` of what this gives sends nothing more."""
        posted = Posted(value)
        self._posted_means.append(posted)
        self._count(_sent_in_a_sum(self.n), value.shape[1] * value.itemsize)
        return posted

    def gather(self, values: Tensor) -> Tensor:
        """The rows of all nodes, (n, m)."""
        return self.rows(values, range(self.n))

    def rows(self, value: Tensor, nodes: Sequence[int]) -> Tensor:
        """These rows, (len(nodes), d)."""
        self._gathered(np.full(self.n, value.shape[1] * value.itemsize), nodes)
        return value[list(nodes)]

    def draw(self, purpose: str) -> Draw:
        """The random streams of this round for one purpose."""
        return Draw(self.seed, purpose, self.nodes, self.round)

    def finish_step(self) -> None:
        """End the round if anything was sent since the last call."""
        self.round += self._communicated
        self._communicated = False

    def _matrix(self, ahead: int = 0) -> Matrix:
        return np.asarray(self._given(self.round + ahead), np.float64)

    def _send(self, value: Tensor | Message, over: WeightedEdges | None) -> Matrix:
        """Count a row to each out-neighbour; gives the W of this exchange."""
        W = self._matrix() if over is None else _dense(over)
        receivers = np.count_nonzero(W, axis=0) - np.count_nonzero(np.diag(W)[None], axis=0)
        self._count(receivers, value.nbytes if isinstance(value, Message) else value.shape[1] * value.itemsize)
        return W

    def _exchanged(
        self, value: Tensor | Message | Posted[Any], over: WeightedEdges | None
    ) -> tuple[Matrix, Tensor, bool]:
        """The W of the round in which this value is sent, which is this one unless it was posted; its rows; and whether
        they are packed."""
        sent: Tensor | Message = value.value if isinstance(value, Posted) else value
        rows = sent.dense() if isinstance(sent, Message) else sent
        for i, (posted, W) in enumerate(self._posted):
            if posted is value:
                del self._posted[i]
                return W, rows, isinstance(sent, Message)
        return self._send(sent, over), rows, isinstance(sent, Message)

    def _gathered(self, sizes: NDArray[np.int64], nodes: Sequence[int]) -> None:
        """Count that the rows of these nodes, of so many bytes (n,), have gone to all along the tree."""
        wanted = np.isin(np.arange(self.n), np.asarray(nodes, np.int64))

        def visit(tree: range) -> None:
            if len(tree) > 1:
                left, right = split(tree)
                inside = wanted & np.isin(np.arange(self.n), right)
                for sender, sent in ((right.start, inside), (left.start, wanted & ~inside)):
                    self.traffic.bytes[sender] += int(sizes[sent].sum())
                    self.traffic.messages[sender] += int(sent.any())
                visit(left)
                visit(right)

        visit(range(self.n))
        self._communicated = True

    def _count(self, messages: NDArray[np.int64], row_bytes: Tensor | int) -> None:
        sent = torch.from_numpy(messages)
        self.traffic.bytes += row_bytes * sent
        self.traffic.messages += sent
        self._communicated = True


def _dense(edges: WeightedEdges) -> Matrix:
    """(n, n)."""
    W, arrays = np.zeros((edges.n, edges.n)), edges.arrays
    for i in range(edges.n):
        row = slice(arrays.indptr[i], arrays.indptr[i + 1])
        W[i, arrays.indices[row]] = arrays.data[row]
    return W


def _sent_in_a_sum(n: int) -> NDArray[np.int64]:
    """(n,): the first node of a right half sends its sum up, to the first of the left one, who sends the total back."""
    if n == 1:
        return np.zeros(1, np.int64)
    left, right = (_sent_in_a_sum(len(half)) for half in split(range(n)))
    left[0] += 1
    right[0] += 1
    return np.concatenate([left, right])
