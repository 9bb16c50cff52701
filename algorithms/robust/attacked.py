"""A method some of whose nodes attack it by what they send."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, cast  # noqa: F401  the command line reads the annotations of bases by these names

from torch import Tensor

from algorithms.algorithm import Algorithm, Sample
from algorithms.around import AroundMethod
from algorithms.checks import check
from algorithms.compressors.message import Message
from algorithms.network import Neighborhood, Network, Posted, WeightedEdges
from algorithms.robust.attack import Attack, SignFlip
from algorithms.robust.zeno import Zeno
from algorithms.state import State


@dataclass(frozen=True)
class Attacked(AroundMethod, Algorithm[State]):  # type: ignore[override]
    """Another method, some of whose nodes send something else than it says: Byzantine ones.

    From iteration `since` on, whatever an attacker sends by the method, to its neighbours, to a server or into an
    average, is what the attack makes of it. At the start, and in what a method gathers of single numbers, all are
    honest. An attacker computes what the method says, from the forged row where its own is averaged with others; its
    model is evaluated like theirs. What nodes train on may be false too: see the workload `FlippedLabels`.

    A forged row travels as the true one would, in as many bytes; where that is a compressed message, receivers get the
    forged row exactly, as if the operator could express it. What colluding attackers tell each other is not counted.

    Args:
        algorithm: The method.
        attack: What attackers send.
        attackers: Their numbers, each once: nodes with data, without those that the method must trust.
        since: The first iteration in which they attack, >= 0.
    """

    algorithm: Algorithm = field(default_factory=Zeno)
    attack: Attack = field(default_factory=SignFlip)
    attackers: tuple[int, ...] = (0,)
    since: int = 0

    def __post_init__(self) -> None:
        self.check_method()
        check(not isinstance(self.algorithm, Attacked), self, "algorithm", "a method that is not attacked already")
        check(not self.algorithm.masks, self, "algorithm", "one that sends vectors as they are, as RobustFedAvg")
        distinct = len(set(self.attackers)) == len(self.attackers) > 0
        check(distinct, self, "attackers", "the numbers of one or more nodes, each once")
        check(min(self.attackers, default=0) >= 0, self, "attackers", "numbers of nodes, from 0 on")
        check(self.since >= 0, self, "since", ">= 0")
        self.attack.known(tuple(sorted(self.attackers)))  # which refuses what it cannot know

    def start(self, x: Tensor, network: Network) -> State:
        able = self._able(network)
        if max(self.attackers) >= able:
            others = ", and the nodes after it must be honest or have no data" if able < network.n else ""
            raise ValueError(
                f"Attacked: attackers = {self.attackers} is not allowed; there are the nodes 0 to {able - 1}{others}"
            )
        self.attack.check_attackers(len(self.attackers), able)
        return cast(State, self.algorithm.start(x, network))

    def post(self, state: State, network: Network) -> None:
        self.algorithm.post(state, self._seen(state, network))

    def idle(self, state: State, network: Network) -> list[int]:
        return self.algorithm.idle(state, network)

    def step(self, state: State, sample: Sample, network: Network) -> None:
        self.algorithm.step(state, sample, self._seen(state, network))

    def model(self, state: State) -> Tensor:
        return self.algorithm.model(state)

    def spread(self, state: State, network: Network) -> None:
        self.algorithm.spread(state, network)

    def survive(self, state: State, network: Network) -> State:
        raise ValueError("Attacked cannot go on without nodes: those that are left are numbered anew")

    def mass(self, state: State) -> Tensor | None:
        return self.algorithm.mass(state)

    def chosen(self, state: State) -> dict[str, Any]:
        return self.algorithm.chosen(state)

    def report(self, state: State) -> dict[str, Tensor]:
        return self.algorithm.report(state)

    def _able(self, network: Network) -> int:
        """How many nodes, the first ones, could attack."""
        return network.n - self.without_data - self.trusted

    def _seen(self, state: State, network: Network) -> Network:
        """The network as the method sees it."""
        if state.step < self.since:
            return network
        return cast(Network, _ForgingNetwork(network, self.attack, tuple(sorted(self.attackers)), self._able(network)))


class _ForgingNetwork:
    """A network that carries what attackers forge; all else is as it is."""

    def __init__(self, network: Network, attack: Attack, attackers: tuple[int, ...], able: int) -> None:
        self._network, self._attack, self._attackers, self._able = network, attack, attackers, able
        self._rows = [row for row, node in enumerate(network.nodes) if node in attackers]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._network, name)

    def mix(
        self,
        value: Tensor | Message | Posted[Any],
        plus: tuple[float, Tensor] | None = None,
        *,
        over: WeightedEdges | None = None,
    ) -> Tensor:
        return self._carried(value, lambda forged: self._network.mix(forged, plus, over=over))

    def neighbors(
        self, value: Tensor | Message | Posted[Any], *, over: WeightedEdges | None = None
    ) -> list[Neighborhood]:
        return self._carried(value, lambda forged: self._network.neighbors(forged, over=over))

    def mean(self, value: Tensor | Message | Posted[Tensor]) -> Tensor:
        return self._carried(value, self._network.mean)

    def sum(self, value: Tensor | Message | Posted[Tensor]) -> Tensor:
        return self._carried(value, self._network.sum)

    def post(self, value: Any) -> Posted[Any]:
        """A message is forged where the exchange is completed, and not sent before."""
        return Posted(value) if isinstance(value, Message) else self._network.post(self._forged(value))

    def post_mean(self, value: Tensor) -> Posted[Tensor]:
        return self._network.post_mean(self._forged(value))

    def _carried(self, value: Any, exchange: Callable[[Any], Any]) -> Any:
        message = value.value if isinstance(value, Posted) else value
        if not isinstance(message, Message):
            return exchange(value if isinstance(value, Posted) else self._forged(value))
        exchange(message)  # for what it sends
        with self._network.unrecorded():
            return exchange(self._forged(message.dense()))

    def _forged(self, value: Tensor) -> Tensor:
        """The stack (k, d) with what the attackers make of their rows."""
        rows, attack = self._rows, self._attack
        if attack.colludes:
            with self._network.unrecorded():
                known = self._network.rows(value, attack.known(self._attackers))
        elif rows:
            known = value[rows]
        if not rows:
            return value
        drawn = self._network.draw("attack")
        draw = replace(drawn, nodes=[drawn.nodes[row] for row in rows])
        forged = value.clone()
        forged[rows] = attack.forge(value[rows], known, len(self._attackers), self._able, draw)
        return forged
