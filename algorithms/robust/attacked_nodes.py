"""An asynchronous method some of whose nodes attack it by what they send."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from algorithms.algorithm import Sample
from algorithms.asynchronous.asynchronous import Asynchronous
from algorithms.asynchronous.zeno_plus_plus import ZenoPlusPlus
from algorithms.checks import check
from algorithms.compressors.message import Message
from algorithms.network import WeightedEdges
from algorithms.program import NodeContext, NodeProgram
from algorithms.robust.attack import Attack, SignFlip


@dataclass(frozen=True)
class AttackedNodes(Asynchronous):
    """Another asynchronous method, some of whose nodes send something else than it says.

    Whatever an attacker sends, from the start on, is what the attack makes of it; else it does what the method says. A
    message is forged as its operator expresses it, in as many bytes. What nodes train on may be false too: see the
    workload `FlippedLabels`. Attackers that collude must know what all of them would send at the same time, which there
    is none here.

    Args:
        algorithm: The method.
        attack: What attackers send, one that does not collude.
        attackers: Their numbers, each once: nodes with data, without those that the method must trust.
    """

    algorithm: Asynchronous = field(default_factory=ZenoPlusPlus)
    attack: Attack = field(default_factory=SignFlip)
    attackers: tuple[int, ...] = (0,)

    def __post_init__(self) -> None:
        check(not isinstance(self.algorithm, AttackedNodes), self, "algorithm", "a method that is not attacked already")
        check(not self.attack.colludes, self, "attack", "one that does not collude, such as SignFlip")
        distinct = len(set(self.attackers)) == len(self.attackers) > 0
        check(distinct, self, "attackers", "the numbers of one or more nodes, each once")
        check(min(self.attackers, default=0) >= 0, self, "attackers", "numbers of nodes, from 0 on")

    @property
    def needs(self) -> tuple[str, ...]:  # type: ignore[override]
        """As those of `Method`, of the method."""
        return self.algorithm.needs

    @property
    def servers(self) -> int:
        return self.algorithm.servers

    @property
    def hubs(self) -> int:
        return self.algorithm.hubs

    @property
    def outputs_hub(self) -> bool:
        return self.algorithm.outputs_hub

    @property
    def trusted(self) -> int:
        return self.algorithm.trusted

    def programs(self, graph: WeightedEdges, nodes: Sequence[int], x: Tensor) -> list[NodeProgram]:
        able = graph.n - self.servers - self.trusted
        check(max(self.attackers) < able, self, "attackers", f"among the nodes 0 to {able - 1}")
        honest = self.algorithm.programs(graph, nodes, x)
        return [
            Attacker(self, program, able) if node in self.attackers else program
            for node, program in zip(nodes, honest, strict=True)
        ]


@dataclass(eq=False)
class Attacker(NodeProgram):
    """A node of `AttackedNodes` that lies.

    Attributes:
        program: What it does else.
        able: How many nodes could attack.
    """

    method: AttackedNodes
    program: NodeProgram
    able: int

    def on_start(self, context: NodeContext) -> None:
        self.program.on_start(_Lying(context, self))

    def on_gradient(self, sample: Sample, context: NodeContext) -> None:
        self.program.on_gradient(sample, _Lying(context, self))

    def on_message(self, sender: int, value: Tensor, kind: str, context: NodeContext) -> None:
        self.program.on_message(sender, value, kind, _Lying(context, self))

    def on_timer(self, context: NodeContext) -> None:
        self.program.on_timer(_Lying(context, self))

    def on_lost(self, neighbor: int, returned: Sequence[tuple[Tensor, str]], context: NodeContext) -> None:
        self.program.on_lost(neighbor, returned, _Lying(context, self))

    def report(self) -> dict[str, float]:
        return self.program.report()

    @property
    def model(self) -> Tensor:
        return self.program.model


class _Lying:
    """What a program sees of its context, with another `send`."""

    def __init__(self, context: NodeContext, attacker: Attacker) -> None:
        self._context, self._attacker = context, attacker

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    def send(self, to: int, value: Tensor | Message, kind: str = "") -> None:
        """See `NodeContext`."""
        draw = self._context.draw(f"attack on {to}")
        own = value.dense() if isinstance(value, Message) else value
        attack, able = self._attacker.method.attack, self._attacker.able
        forged: Tensor | Message = attack.forge(own, own, len(self._attacker.method.attackers), able, draw)
        if isinstance(value, Message):
            forged = value.compressor.compress(forged, draw)  # type: ignore[attr-defined]
        self._context.send(to, forged, kind)
