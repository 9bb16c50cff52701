"""A network of dense mixing matrices, for tests and examples: what every other one has to agree with."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from algorithms.compressors.compressor import Message
from algorithms.network import Neighborhood, Spectrum, Traffic
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
        self._posted: list[tuple[Tensor | Message, Matrix]] = []
        self._posted_means: list[Tensor] = []

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

    def mix(self, value: Tensor | Message, plus: tuple[float, Tensor] | None = None) -> Tensor:
        """W X, (n, d), each product and each sum rounded by itself, in node order."""
        W, rows = self._exchanged(value)
        # A negative zero, unlike a positive one, changes no number that is added to it.
        mixed = torch.full_like(rows, 0.0 if isinstance(value, Message) else -0.0)
        for j, row in enumerate(rows):
            listeners = np.flatnonzero(W[:, j])
            mixed[listeners] += torch.from_numpy(W[listeners, j, None]).to(rows) * row
        return mixed if plus is None else mixed + plus[0] * plus[1]

    def own_weights(self, ahead: int = 0) -> Tensor:
        """(n, 1), float64: the diagonal of W of this round, or of so many rounds later."""
        return torch.from_numpy(np.diag(self._matrix(ahead))[:, None].copy())

    def post(self, value: Tensor | Message) -> None:
        """Count what is sent; the `mix` or `neighbors` of this very value uses the W of this round."""
        self._posted.append((value, self._send(value)))

    def empty(self, d: int, dtype: torch.dtype, device: torch.device | None = None) -> Tensor:
        """(n, d), uninitialised."""
        return torch.empty(self.n, d, dtype=dtype, device=device)

    def neighbors(self, value: Tensor | Message) -> list[Neighborhood]:
        """The rows that each node hears."""
        W, rows = self._exchanged(value)
        heard = []
        for i, weights in enumerate(W):
            senders = [j for j in np.flatnonzero(weights).tolist() if j != i]
            heard.append(Neighborhood(tuple(senders), torch.from_numpy(weights[senders]).to(rows), rows[senders]))
        return heard

    def mean(self, value: Tensor) -> Tensor:
        """The average of the rows, (d,)."""
        return self.sum(value) / self.n

    def sum(self, value: Tensor) -> Tensor:
        """The sum of the rows, (d,), along a binary tree."""
        for i, posted in enumerate(self._posted_means):
            if posted is value:
                del self._posted_means[i]
                break
        else:
            self.post_mean(value)
            del self._posted_means[-1]
        return _sum(value)

    def post_mean(self, value: Tensor) -> None:
        """Count what is sent; the `mean` or `sum` of this very stack sends nothing more."""
        self._posted_means.append(value)
        self._count(_sent_in_a_sum(self.n), value.shape[1] * value.itemsize)

    def draw(self, purpose: str) -> Draw:
        """The random streams of this round for one purpose."""
        return Draw(self.seed, purpose, self.nodes, self.round)

    def finish_step(self) -> None:
        """End the round if anything was sent since the last call."""
        self.round += self._communicated
        self._communicated = False

    def _matrix(self, ahead: int = 0) -> Matrix:
        return np.asarray(self._given(self.round + ahead), np.float64)

    def _send(self, value: Tensor | Message) -> Matrix:
        """Count a row to each out-neighbour; gives the W of this round."""
        W = self._matrix()
        receivers = np.count_nonzero(W, axis=0) - np.count_nonzero(np.diag(W)[None], axis=0)
        self._count(receivers, value.nbytes if isinstance(value, Message) else value.shape[1] * value.itemsize)
        return W

    def _exchanged(self, value: Tensor | Message) -> tuple[Matrix, Tensor]:
        """The W of the round in which this value is sent, which is this one unless it was posted; and its rows."""
        rows = value.dense() if isinstance(value, Message) else value
        for i, (posted, W) in enumerate(self._posted):
            if posted is value:
                del self._posted[i]
                return W, rows
        return self._send(value), rows

    def _count(self, messages: NDArray[np.int64], row_bytes: Tensor | int) -> None:
        sent = torch.from_numpy(messages)
        self.traffic.bytes += row_bytes * sent
        self.traffic.messages += sent
        self._communicated = True


def _middle(n: int) -> int:
    """Where the nodes of a tree are divided, n > 1: after the largest power of two that leaves any to the right."""
    return 1 << (n - 1).bit_length() - 1


def _sum(rows: Tensor) -> Tensor:
    """(d,), that of the left half plus that of the right one."""
    n = len(rows)
    return rows[0] if n == 1 else _sum(rows[: _middle(n)]) + _sum(rows[_middle(n) :])


def _sent_in_a_sum(n: int) -> NDArray[np.int64]:
    """(n,): the first node of a right half sends its sum up, to the first of the left one, who sends the total back."""
    if n == 1:
        return np.zeros(1, np.int64)
    left, right = _sent_in_a_sum(_middle(n)), _sent_in_a_sum(n - _middle(n))
    left[0] += 1
    right[0] += 1
    return np.concatenate([left, right])
