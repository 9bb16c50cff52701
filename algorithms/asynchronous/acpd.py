"""ACPD: primal-dual steps of workers, of which a server waits for a group, and of which the largest entries travel."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from algorithms.algorithm import Sample
from algorithms.asynchronous.asynchronous import Asynchronous
from algorithms.checks import check, positive
from algorithms.compressors.compressor import Compressor
from algorithms.compressors.message import Message
from algorithms.compressors.sparsifiers.threshold import Threshold
from algorithms.network import WeightedEdges
from algorithms.oracles.sdca import Sdca
from algorithms.program import NodeContext, NodeProgram

CHANGED = Threshold(2.0**-149)
"""All entries that are not 0: the smallest number in single precision. What is less in double precision waits."""


@dataclass(frozen=True)
class Acpd(Asynchronous):
    """ACPD: primal-dual steps of workers, of which a server waits for a group, and of which the largest entries travel.

    Huo & Huang, "Straggler-Agnostic and Communication-Efficient Distributed Primal-Dual Algorithm for High-Dimensional
    Data Mining", arXiv 1910.04235. Each of K nodes has dual variables of its own examples, which are the `Sdca`
    oracle's, where H, gamma and sigma' are set. They make v_k of the model w(alpha) = (1/K) sum_k v_k. Node k has a
    model w_k and a residual r_k, 0 at the start, and

        asks      for the change u_k of v_k that its dual steps make at w_k + sigma r_k
        sends     C(r_k + u_k) to the server, and keeps the rest as r_k
        waits     for an answer c, and then w_k <- w_k + c

    The server adds 1/K of what it is sent to w, and to c_j for every node j, c_j being what j has missed. When
    `group` nodes are waiting it answers these with their c_j, then 0: a step. Every `barrier`-th step takes all nodes,
    so that no model is older than that many steps. Its model w is the one of the run. At any time

        w + (1/K) (sum_k r_k + all that is under way to the server) = w(alpha)

    With group = K and without a compressor this is CoCoA+, and CoCoA with `Sdca(gamma=1/K)`; with one node it is SDCA.
    A node that is lost is one less to wait for, and its dual variables stay in the model as they are.

    A run records "duality_gap", the mean of the nodes' parts of it, each where the node has asked last: with group = K
    and without a compressor it is the gap of the model before the last step.

    The authors' code leaves sigma' out of the denominator of a dual step and diverges; here it is there.

    Sent: C(..) to the server for each time that a node asks; back the entries of c that are not 0 with their indices,
    or all d if there is no compressor, or what another one makes of c, of which the rest stays in c (as the authors'
    code does it).

        >>> import torch
        >>> from topologies import ring, with_hubs
        >>> method = Acpd(group=2)
        >>> graph = with_hubs(ring(4), method.hubs, method.servers)
        >>> [type(program).__name__ for program in method.programs(graph, [0, 4], torch.zeros(2, 1))]
        ['AcpdWorker', 'AcpdServer']

    Args:
        group: B, for how many nodes the server waits, 1 <= B <= K; by default half of them, rounded up.
        barrier: T, every how many steps of the server it waits for all, >= 1.
        compressor: C, a contraction; TopK(fraction=rho) is the paper's. None sends all, and leaves no residual.
        answers: What the server makes of c; by default nothing is lost.
        sigma: That of the oracle.
    """

    needs = ()

    group: int | None = None
    barrier: int = 10
    compressor: Compressor | None = None
    answers: Compressor | None = None
    sigma: float = 1.0

    def __post_init__(self) -> None:
        check(self.group is None or self.group >= 1, self, "group", ">= 1")
        check(self.barrier >= 1, self, "barrier", ">= 1")
        check(positive(self.sigma), self, "sigma", "> 0")

    @property
    def servers(self) -> int:
        return 1

    def check_oracle(self, oracle: Any) -> None:
        name = type(oracle).__name__
        if not isinstance(oracle, Sdca):
            raise ValueError(f"Acpd takes dual updates, and {name} gives {oracle.gives}; the oracle must be Sdca")
        check(self.sigma == oracle.sigma, self, "sigma", f"that of the oracle, {oracle.sigma!r}")

    def report(self, state: Any) -> dict[str, Tensor]:
        return super().report(state) if state.step else {}  # before the first one no node knows any

    def programs(self, graph: WeightedEdges, nodes: Sequence[int], x: Tensor) -> list[NodeProgram]:
        workers = graph.n - 1
        check(self.group is None or self.group <= workers, self, "group", f"at most {workers}, the number of nodes")
        return [
            AcpdServer.start(self, row, workers) if node == workers else AcpdWorker.start(self, row, workers)
            for node, row in zip(nodes, x.split(1), strict=True)
        ]


@dataclass(eq=False)
class AcpdWorker(NodeProgram):
    """A node with data of `Acpd`.

    Attributes:
        server: The number of the server.
        w: (1, d), what it knows of the server's model.
        residual: (1, d), what it has not sent of the changes of v_k.
        updates: How often it has sent something.
        gap: Its part of the duality gap where it asked last; infinite at first.
    """

    method: Acpd
    server: int
    w: Tensor
    residual: Tensor
    updates: int = 0
    gap: float = math.inf

    @classmethod
    def start(cls, method: Acpd, x: Tensor, server: int) -> AcpdWorker:
        """At x (1, d)."""
        return cls(method, server, x.clone(), torch.zeros_like(x))

    def on_start(self, context: NodeContext) -> None:
        self._ask(context)

    def on_gradient(self, sample: Sample, context: NodeContext) -> None:
        self.gap = float(sample.loss[0])
        self.updates += 1
        changed = self.residual - sample.gradient
        if self.server not in context.neighbors:  # it is lost, and there is nobody to wait for
            self.residual = changed
            return
        if self.method.compressor is None:
            context.send(self.server, changed)
            return
        message: Message = self.method.compressor.compress(changed, context.draw("change"))
        context.send(self.server, message)
        self.residual = changed - message.dense()

    def on_message(self, sender: int, value: Tensor, kind: str, context: NodeContext) -> None:
        self.w = self.w + value
        self._ask(context)

    @property
    def model(self) -> Tensor:
        return self.w

    def report(self) -> dict[str, float]:
        """ "duality_gap": its part of that, see `Sdca`, where it asked last; infinite at first."""
        return {"duality_gap": self.gap}

    def _ask(self, context: NodeContext) -> None:
        context.ask_gradient(self.w + self.method.sigma * self.residual)


@dataclass(eq=False)
class AcpdServer(NodeProgram):
    """The server of `Acpd`.

    Attributes:
        workers: K, the nodes with data at the start.
        w: (1, d), the model.
        missed: Node -> (1, d), what it has not been told of w.
        waiting: The nodes that wait for an answer, in the order in which they began to.
        steps: How often it has answered a group.
    """

    method: Acpd
    workers: int
    w: Tensor
    missed: dict[int, Tensor]
    waiting: list[int] = field(default_factory=list)
    steps: int = 0

    @classmethod
    def start(cls, method: Acpd, x: Tensor, workers: int) -> AcpdServer:
        """At x (1, d)."""
        return cls(method, workers, x.clone(), {node: torch.zeros_like(x) for node in range(workers)})

    def on_message(self, sender: int, value: Tensor, kind: str, context: NodeContext) -> None:
        change = value / self.workers
        self.w = self.w + change
        for node, missed in self.missed.items():
            self.missed[node] = missed + change
        self.waiting.append(sender)
        self._answer(context)

    def on_lost(self, neighbor: int, returned: Sequence[tuple[Tensor, str]], context: NodeContext) -> None:
        self.missed.pop(neighbor, None)
        self.waiting = [node for node in self.waiting if node != neighbor]
        self._answer(context)

    @property
    def model(self) -> Tensor:
        return self.w

    def report(self) -> dict[str, float]:
        """What the nodes with data report; it has no part in it."""
        return {"duality_gap": 0.0}

    def _answer(self, context: NodeContext) -> None:
        """Answer those that wait, if they are enough for this step."""
        there, group = len(self.missed), self.method.group or (self.workers + 1) // 2
        enough = there if (self.steps + 1) % self.method.barrier == 0 else min(group, there)
        if not self.waiting or len(self.waiting) < enough:
            return
        self.steps += 1
        waiting, self.waiting = self.waiting, []
        for node in waiting:
            self.missed[node] = self._tell(node, self.missed[node], context)

    def _tell(self, node: int, missed: Tensor, context: NodeContext) -> Tensor:
        """Send what a node has missed; (1, d), what it still misses then."""
        if self.method.compressor is None and self.method.answers is None:
            context.send(node, missed)
            return torch.zeros_like(missed)
        compressor = self.method.answers or CHANGED
        message: Message = compressor.compress(missed, context.draw(f"answer to {node}"))
        context.send(node, message)
        return missed - message.dense()
