"""PowerSGD: low-rank approximation by a power iteration that goes on from round to round."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from algorithms.checks import check
from algorithms.compressors.linear import Averaging, LinearCompressor
from algorithms.compressors.low_rank.low_rank import LowRank, Part
from algorithms.compressors.remembering import memory_of_parts, part_memory
from algorithms.compressors.theory import B1, B2
from algorithms.layout import Layout
from algorithms.numerics.threads import one_thread
from algorithms.randomness import Draw, stream
from algorithms.state import Block


@dataclass
class WarmStart(Block):
    """What is remembered of one matrix (n, m) of the model: where the next power iteration begins.

    Attributes:
        right: (k, m, r) float64, the last Q of each local node for the shorter side m; zeros before there is one.
    """

    right: Tensor


@dataclass(frozen=True)
class PowerSGD(LowRank, LinearCompressor):
    """Replaces each matrix M (n, m) of the model, n >= m or transposed, by a product of rank r.

        Q = Gaussian (m, r), or the last one;  P = orthonormal basis of M Q;  Q = M^T P;  C(M) = P Q^T = P P^T M

    Vogels, Karimireddy, Jaggi, "PowerSGD: Practical Low-Rank Gradient Compression for Distributed Optimization",
    NeurIPS 2019, arXiv 1905.13727.

    There are three ways to use it. `mean` is Algorithm 1 of the paper: both P and Q are averaged over all nodes, so two
    short all-reduces give every node the approximation of the average matrix. `compress` makes a message of each node's
    own matrix. Both begin with the Q of the round before if they are given a memory (`start`), which serves one of the
    two; while M changes slowly, P Q^T comes to the best approximation of rank r. Without a memory each vector
    is by itself, and `iterations` do for it what this warm start does over rounds. `project` and `reconstruct` are a
    single pass, M projected on the range of Q.

    |C(M) - M|^2 = |M|^2 - |C(M)|^2, biased, and without a memory a contraction in expectation with alpha = r / m, m the
    shorter side: the range of M P_Q, where P_Q projects on that of Q, is the range of M Q, in which P P^T M is what is
    nearest to M. So |M - P P^T M| <= |M - M P_Q|, and E|M P_Q|^2 = (r / m) |M|^2 as the range of Q is uniformly
    distributed. Further iterations only lower the error: with Q = M^T P, |P^T M| = |P^T M P_Q| <= |M P_Q| <= |C(M)| of
    the next one. Exact if the rank of M is r at most. 8 itemsize r (n + m) bits a matrix.

    Payload: P and Q of each matrix; what is no matrix, and what they would not be shorter for, as it is
    (`algorithms.compressors.low_rank.low_rank`).

    Args:
        rank: r, >= 1.
        iterations: Power iterations, >= 1.
        warm_start: Whether methods that keep what their operator remembers begin with the Q of the round before, as in
            the paper; if not, `start` gives nothing to keep.
        shapes: Of the tensors of the model, in order; filled in by `for_layout`. Without, the vector is one matrix.

    >>> import torch
    >>> from algorithms.randomness import Draw
    >>> M = torch.outer(torch.arange(1.0, 7), torch.arange(1.0, 6))  # a matrix of rank 1
    >>> message = PowerSGD(rank=1, shapes=((6, 5),)).compress(M.reshape(1, 30), Draw(0, "example", [0], 0))
    >>> bool(torch.allclose(message.dense(), M.reshape(1, 30)))
    True
    >>> message.paper_bits == 32 * (6 + 5)
    True
    """

    random: ClassVar[bool] = True

    rank: int = 2
    iterations: int = 1
    warm_start: bool = False

    def __post_init__(self) -> None:
        check(self.rank >= 1, self, "rank", ">= 1")
        check(self.iterations >= 1, self, "iterations", ">= 1")

    def products(self, part: Part) -> float:
        return self.rank

    def count(self, part: Part) -> int:
        return self.rank

    def start(self, layout: Layout, k: int, *, dtype: torch.dtype = torch.float32) -> Block | None:
        """With `warm_start`, a `WarmStart` for each matrix, of which nothing is known yet."""
        if not self.warm_start:
            return None
        parts = list(self.parts(layout.d))
        shapes = [(k, min(part.n, part.m), self.rank) for part in parts]
        return memory_of_parts(
            [
                WarmStart(torch.zeros(shape, dtype=torch.float64)) if self.shortens(part) else None
                for part, shape in zip(parts, shapes, strict=True)
            ]
        )

    def factors(
        self, matrix: Tensor, random: np.random.Generator, memory: Block | None = None
    ) -> tuple[Tensor, Tensor]:
        known = None if memory is None else _right_of(memory)
        right = _first(known, matrix.shape[1], self.rank, random)
        for _ in range(self.iterations):
            left = _basis(matrix @ right)
            right = matrix.T @ left
        if known is not None:
            known.copy_(right)
        return left.T, right.T

    def mean(self, x: Tensor, network: Averaging, draw: Draw, memory: Block | None = None) -> Tensor:
        """The low-rank approximation of the average of all nodes' matrices, with the average of what is none, (d,).

        Algorithm 1 of the paper:

            P = mean(M Q);  P = orthonormal basis of P;  Q = mean(M^T P);  the result is P Q^T, and Q is remembered.

        This is what a single node would make of the average of the matrices. Sent: averages of r n numbers and then of
        r m numbers for a matrix (n, m), what is no matrix together with the former, in the precision of the stack.

        Args:
            x: The stack (k, d) of the local nodes.
            network: Averages; every rank must call this.
            draw: The random streams of the round. A Q of which nothing is known is drawn in common.
            memory: What `start` gave, for a warm start, the same for all nodes; it is brought up to date in place.
        """
        rows, (matrices, others) = self.working_rows(x), self._split(x.shape[1])
        rights, lefts = self._first_of_all(matrices, draw, memory), []
        stacks = [_matrices(rows, part) for part in matrices]
        averages = _averages(network, [*(rows[:, part.place] for part in others), *_products(stacks, rights)], rows)
        numbers, products = averages[: len(others)], averages[len(others) :]
        for iteration in range(self.iterations if matrices else 0):
            if iteration:
                products = _averages(network, _products(stacks, [_scaled(right) for right in rights]), rows)
            lefts = [_basis(product) for product in products]
            rights = _averages(network, _products([stack.mT for stack in stacks], lefts), rows)
        if memory is not None:
            for part, right in zip(matrices, rights, strict=True):
                _right_of(part_memory(memory, matrices[part])).copy_(right)
        return _vector(others, numbers, matrices, lefts, rights).to(x)

    def mean_and_own(
        self, x: Tensor, network: Averaging, draw: Draw, memory: Block | None = None
    ) -> tuple[Tensor, Tensor]:
        """What `mean` gives, twice: in the paper what a node has lost is the difference to that."""
        average = self.mean(x, network, draw, memory)
        return average, average.expand(len(x), -1)

    def project(self, x: Tensor, draw: Draw, memory: Block | None = None) -> Tensor:
        """(k, m) what is no matrix, then M Q of each matrix, for the Q that is remembered or drawn in common."""
        rows, (matrices, others) = self.working_rows(x), self._split(x.shape[1])
        rights = self._first_of_all(matrices, draw, memory)
        products = _products([_matrices(rows, part) for part in matrices], rights)
        return _joined([*(rows[:, part.place] for part in others), *products], rows)

    def reconstruct(self, p: Tensor, draw: Draw, memory: Block | None = None, *, d: int) -> Tensor:
        """P (Q^T Q)^-1 Q^T for each P = M Q in p (..., m): M projected on the range of Q."""
        matrices, others = self._split(d)
        rights = self._first_of_all(matrices, draw, memory)
        with one_thread():
            inverses = [torch.linalg.pinv(right).T for right in rights]
        shapes = [(part.entries,) for part in others] + [(max(part.n, part.m), self.rank) for part in matrices]
        vectors = []
        for row in p.reshape(-1, p.shape[-1]).double().cpu():
            pieces = _pieces(row, shapes)
            vectors.append(_vector(others, pieces[: len(others)], matrices, pieces[len(others) :], inverses))
        return torch.stack(vectors).to(p).view(*p.shape[:-1], d)

    def alpha(self, d: int) -> float:
        return min(self.rank / min(part.n, part.m) if self.shortens(part) else 1.0 for part in self.parts(d))

    def b1(self, d: int) -> B1:
        return B1(self.alpha(d), 1)

    def b2(self, d: int) -> B2:
        return B2(self.alpha(d), 1)

    def _split(self, d: int) -> tuple[dict[Part, int], list[Part]]:
        """(the matrices that products stand for, with their place among the parts; the other parts)."""
        parts = list(self.parts(d))
        matrices = {part: i for i, part in enumerate(parts) if self.shortens(part)}
        return matrices, [part for part in parts if part not in matrices]

    def _first_of_all(self, matrices: dict[Part, int], draw: Draw, memory: Block | None) -> list[Tensor]:
        """The Q (m, r) that all nodes begin with for each matrix, at magnitude 1."""
        random, rights = stream(draw.common), []
        for part, i in matrices.items():
            known = None if memory is None else _right_of(part_memory(memory, i))[0]
            rights.append(_scaled(_first(known, min(part.n, part.m), self.rank, random)))
        return rights


def _right_of(memory: Block | None) -> Tensor:
    assert isinstance(memory, WarmStart), "a memory that PowerSGD.start gave"
    return memory.right


def _first(known: Tensor | None, m: int, rank: int, random: np.random.Generator) -> Tensor:
    """What is known of Q (m, r); drawn if that is nothing, or zeros, from which nothing could be found."""
    if known is None or not known.any():
        return torch.from_numpy(random.standard_normal((m, rank)))
    return known.cpu().clone()


def _basis(columns: Tensor) -> Tensor:
    """An orthonormal basis of a space that has these columns, by Householder reflections: also of dependent columns."""
    with one_thread():
        return torch.linalg.qr(columns).Q


def _matrices(rows: Tensor, part: Part) -> Tensor:
    """(k, longer side, shorter side) the matrix that is a part of each row, in double precision."""
    stack = torch.stack([part.entries_of(row) for row in rows.double()]).view(-1, part.n, part.m)
    return stack if part.n >= part.m else stack.mT


def _products(stacks: Sequence[Tensor], factors: Sequence[Tensor]) -> list[Tensor]:
    """(k, n, r) each matrix (k, n, m) times its factor (m, r), row by row, so that none's bits depend on the others."""
    with one_thread():
        return [
            torch.stack([matrix @ factor for matrix in stack]) for stack, factor in zip(stacks, factors, strict=True)
        ]


def _scaled(right: Tensor) -> Tensor:
    """Q at magnitude 1, by a power of two: its range is what counts, and M Q has to fit into single precision."""
    return torch.ldexp(right, -torch.frexp(right.abs().max()).exponent)


def _joined(stacks: Sequence[Tensor], like: Tensor) -> Tensor:
    """(k, m) the numbers of all these stacks (k, ...), in the precision and on the device of `like`."""
    return torch.cat([stack.flatten(1).to(like) for stack in stacks], dim=1)


def _averages(network: Averaging, stacks: Sequence[Tensor], like: Tensor) -> list[Tensor]:
    """The averages (...) over all nodes of stacks (k, ...), by a single one of them all; in double precision."""
    return _pieces(network.mean(_joined(stacks, like)).double(), [stack.shape[1:] for stack in stacks])


def _pieces(numbers: Tensor, shapes: Sequence[Sequence[int]]) -> list[Tensor]:
    """Numbers (m,) cut into tensors of these shapes."""
    cut = numbers.split([math.prod(shape) for shape in shapes])
    return [piece.view(*shape) for piece, shape in zip(cut, shapes, strict=True)]


def _vector(
    others: Sequence[Part],
    numbers: Sequence[Tensor],
    matrices: Iterable[Part],
    lefts: Sequence[Tensor],
    rights: Sequence[Tensor],
) -> Tensor:
    """(d,) the vector with these numbers in some parts, and left right^T in others."""
    pieces = dict(zip(others, numbers, strict=True))
    for part, left, right in zip(matrices, lefts, rights, strict=True):
        with one_thread():
            matrix = left @ right.T
        pieces[part] = (matrix if part.n >= part.m else matrix.T).flatten()[: part.entries]
    return torch.cat([pieces[part] for part in sorted(pieces)])
