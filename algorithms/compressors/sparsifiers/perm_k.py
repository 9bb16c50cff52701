"""Correlated compressors by a common permutation."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from algorithms.checks import check
from algorithms.compressors.linear import LinearCompressor
from algorithms.compressors.sparsifiers.sparsifier import Sparsifier
from algorithms.compressors.theory import B1, B2
from algorithms.compressors.wire import frames
from algorithms.randomness import Draw, Key, stream
from algorithms.state import Block


@dataclass(frozen=True)
class PermK(Sparsifier, LinearCompressor):
    """Every entry is kept by n / max(n, d) of the n nodes, in expectation, and by one at least, times what is missing.

    Szlendak, Tyurin, Richtárik, "Permutation Compressors for Provably Faster Distributed Nonconvex Optimization",
    ICLR 2022, arXiv 2110.03300.

    With a permutation pi of the d entries and one of the n nodes, in which this node has place a, both common to all:

        d >= n    C(x) = n sum_t x_pi(t) e_pi(t) over floor(a d / n) <= t < floor((a + 1) d / n);
        d < n     C(x) = (n / m) x_j e_j with j = pi(floor(a d / n)), which m nodes have.

    Unbiased. E|C(x)|^2 = n |x|^2, so omega = n - 1, for d >= n; for d < n it is the mean of n/m, d if d divides n. The
    average over all nodes of what they make of the same x is x. If n divides d or d divides n, these are the operators
    of the paper; the order of the nodes is random for the others to be unbiased as well. 8 itemsize max(1, d/n) bits:
    indices are not sent but drawn again from the 64 common bits that they were drawn from, which are.

    Payload: these 64 bits, the number of the node in whole bytes, then the kept numbers in the order of their indices.

    Args:
        nodes: n, the number of nodes that use it, >= 1.
    """

    random: ClassVar[bool] = True
    on_device: ClassVar[bool] = True

    nodes: int

    def __post_init__(self) -> None:
        check(self.nodes >= 1, self, "nodes", ">= 1")

    def select(self, x: Tensor, key: Key, memory: Block | None = None) -> tuple[Tensor, Tensor]:
        self._check_node(key.node)
        section = torch.cat([frames.from_word(key.common), frames.from_number(key.node, self.nodes)])
        return self._share(key.common, key.node, len(x))[0].to(x.device), section

    def read(self, payload: Tensor, d: int) -> tuple[Tensor, Tensor]:
        common, node, rest = self._head(payload)
        return self._share(common, node, d)[0], rest

    def scale(self, payload: Tensor, d: int) -> float:
        common, node, _ = self._head(payload)
        return self._share(common, node, d)[1]

    def project(self, x: Tensor, draw: Draw, memory: Block | None = None) -> Tensor:
        """(k, d) what each node keeps, in its place and scaled: an average of these has few terms for each entry."""
        rows = self.working_rows(x)
        kept = torch.zeros_like(rows)
        for row, node in enumerate(draw.nodes):
            self._check_node(node)
            entries, factor = self._share(draw.common, node, rows.shape[1])
            entries = entries.to(rows.device)
            kept[row, entries] = rows[row, entries] * factor
        return kept

    def reconstruct(self, p: Tensor, draw: Draw, memory: Block | None = None, *, d: int) -> Tensor:
        return p

    @property
    def biased(self) -> bool:
        return False

    def kept(self, d: int) -> float:
        return max(1, d / self.nodes)

    def sizes(self, d: int) -> range:
        return range(max(1, d // self.nodes), max(1, -(-d // self.nodes)) + 1)

    def omega(self, d: int) -> float:
        if d >= self.nodes:
            return self.nodes - 1
        fewer, more = divmod(self.nodes, d)  # `more` of the entries have one node more than the others
        return (more * self.nodes / (fewer + 1) + (d - more) * self.nodes / fewer) / d - 1

    def b1(self, d: int) -> B1:
        return B1(1 + self.omega(d), 1 + self.omega(d))

    def b2(self, d: int) -> B2:
        return B2(1, 1 + self.omega(d))

    def index_bytes(self, d: int) -> int:
        return frames.number_bytes(1 << 64) + frames.number_bytes(self.nodes)

    def _check_node(self, node: int) -> None:
        if node >= self.nodes:
            raise ValueError(f"PermK: nodes = {self.nodes} is not allowed for node {node}; it must be their number")

    def _head(self, payload: Tensor) -> tuple[int, int, Tensor]:
        common, rest = frames.read_word(payload)
        return common, *frames.read_number(rest, self.nodes)

    def _share(self, common: int, node: int, d: int) -> tuple[Tensor, float]:
        """(ascending indices of the entries that a node keeps, what they are multiplied by)."""
        entries, places = _permutations(common, d, self.nodes)
        first, end = int(places[node]) * d // self.nodes, (int(places[node]) + 1) * d // self.nodes
        if d >= self.nodes:
            return torch.from_numpy(np.sort(entries[first:end])), float(self.nodes)
        # The nodes at the place `first` among the entries are those from the first multiple of n/d on.
        holders = -(-(first + 1) * self.nodes // d) + (-first * self.nodes // d)
        return torch.from_numpy(entries[first : first + 1]), self.nodes / holders


@lru_cache(maxsize=1)  # the nodes of one process, and the neighbours that they hear, share it
def _permutations(common: int, d: int, nodes: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(the entries in random order, the place of each node in a random order)."""
    random = stream(common)
    return random.permutation(d), random.permutation(nodes)
