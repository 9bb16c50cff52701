"""A method whose nodes clip what they send, and add noise to it."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from functools import lru_cache
from typing import Any, ClassVar, cast  # noqa: F401  the command line reads the annotations of bases by these names

import torch
from torch import Tensor

from algorithms.algorithm import Algorithm, Sample
from algorithms.around import AroundMethod
from algorithms.checks import check
from algorithms.compressors import Compressor
from algorithms.compressors.message import Message
from algorithms.decentralized import DecentralizedSGD
from algorithms.network import Neighborhood, Network, Posted, WeightedEdges
from algorithms.privacy.clipping import clipped
from algorithms.privacy.mechanisms import GaussianMechanism, Mechanism
from algorithms.privacy.spending import PrivateMethod, Spending, check_mechanism
from algorithms.randomness import generator
from algorithms.state import State

PURPOSE = "noise of messages"


@dataclass
class NoisyMessagesState(State):
    """What a method with noisy messages carries on; `x` is that of the method.

    Attributes:
        method: The state of the method.
        sent: (k,) int64, the noised vectors that each local node has made.
        exchanges: All exchanges so far.
    """

    method: State
    sent: Tensor
    exchanges: int = 0


@dataclass(frozen=True)
class NoisyMessages(AroundMethod, Algorithm[NoisyMessagesState]):  # type: ignore[override]
    """Another method, each of whose nodes clips and noises what it sends: local differential privacy of its data.

    In each exchange, with its neighbours, with a server, or in an average, a node puts in the place of its vector v

        min(1, clip / |v|) v + N(0, (noise_multiplier clip)^2)

    also for its own share where that is averaged with others. What that does to a method is up to what it sends:
    models, as those of DecentralizedSGD, are kept within `clip` and get noise of their own size; FedAvg sends
    differences. A server, and nodes without data, send what follows from what they hear, and add nothing. At the start
    all send what no data are in. Where a server is replicated, all send in each of its averages: who does not take part
    sends noise alone.

    What is private is all data of a node, against everybody who sees what it sends. Any two data sets are neighbours,
    so the sensitivity is 2 clip; nothing amplifies that. Every noised vector counts, once however many hear it. The
    model that a node has for itself is not covered while it goes on locally, as with local steps.

    Refused are methods that send compressed messages, whose copies at both ends would differ, and those that gather
    single numbers without noise, such as losses.

    Args:
        algorithm: The method.
        clip: The norm to clip to, > 0, and infinite only without noise.
        noise_multiplier: >= 0.
        delta: For which a run tells epsilon, in (0, 1).
        mechanism: What kind of noise.
    """

    algorithm: Algorithm = field(default_factory=DecentralizedSGD)
    clip: float = 1.0
    noise_multiplier: float = 1.0
    delta: float = 1e-5
    mechanism: Mechanism = field(default_factory=GaussianMechanism)

    def __post_init__(self) -> None:
        self.check_method()
        single = not isinstance(self.algorithm, PrivateMethod | AroundMethod)
        check(single, self, "algorithm", "a method that is neither private nor around another one")
        check(
            not self.algorithm.acts_on_losses, self, "algorithm", "one whose nodes tell no losses, as DecentralizedSGD"
        )
        check(not self.algorithm.masks, self, "algorithm", "one that sends vectors as they are, as DecentralizedSGD")
        compresses = self.algorithm.compresses or _has_compressor(self.algorithm)
        check(not compresses, self, "algorithm", "one that sends vectors, not compressed messages, as DecentralizedSGD")
        check_mechanism(self, self.clip, self.noise_multiplier, self.delta)
        if self.noise_multiplier:
            self.mechanism.check_deviation(self.noise_multiplier * self.clip)

    def start(self, x: Tensor, network: Network) -> NoisyMessagesState:
        method = self.algorithm.start(x, network)
        return NoisyMessagesState(method.x, method, torch.zeros(len(x), dtype=torch.int64))

    def post(self, state: NoisyMessagesState, network: Network) -> None:
        self.algorithm.post(self._of(state), self._seen(state, network))

    def idle(self, state: NoisyMessagesState, network: Network) -> list[int]:
        return self.algorithm.idle(self._of(state), network)

    def step(self, state: NoisyMessagesState, sample: Sample, network: Network) -> None:
        self.algorithm.step(self._of(state), sample, self._seen(state, network))
        state.x = state.method.x

    def model(self, state: NoisyMessagesState) -> Tensor:
        return self.algorithm.model(self._of(state))

    def spread(self, state: NoisyMessagesState, network: Network) -> None:
        self.algorithm.spread(self._of(state), network)
        state.x = state.method.x

    def mass(self, state: NoisyMessagesState) -> Tensor | None:
        return self.algorithm.mass(state.method)

    def chosen(self, state: NoisyMessagesState) -> dict[str, Any]:
        return self.algorithm.chosen(state.method)

    def report(self, state: NoisyMessagesState) -> dict[str, Tensor]:
        return self.algorithm.report(self._of(state))

    def spent(self, state: NoisyMessagesState, network: Network) -> set[Spending]:
        """See `PrivateMethod`."""
        with_data = zip(network.nodes, state.sent.tolist(), strict=True)
        counts = {count for node, count in with_data if node < network.n - self.without_data}
        discrete = self.mechanism.discrete
        return {Spending(self.noise_multiplier / 2, count, "replace", discrete=discrete) for count in counts}

    def _of(self, state: NoisyMessagesState) -> State:
        """The method's state at the point of this one."""
        state.method.x, state.method.step = state.x, state.step
        return state.method

    def _seen(self, state: NoisyMessagesState, network: Network) -> Network:
        """The network as the method sees it."""
        return cast(Network, _NoisyNetwork(self, state, network))


class _NoisyNetwork:
    """A network that carries noised vectors; all else is as it is."""

    def __init__(self, method: NoisyMessages, state: NoisyMessagesState, network: Network) -> None:
        self._method, self._state, self._network = method, state, network

    def __getattr__(self, name: str) -> Any:
        return getattr(self._network, name)

    def mix(
        self,
        value: Tensor | Message | Posted[Any],
        plus: tuple[float, Tensor] | None = None,
        *,
        over: WeightedEdges | None = None,
    ) -> Tensor:
        return self._network.mix(self._noised(value, self._senders(over)), plus, over=over)

    def neighbors(
        self, value: Tensor | Message | Posted[Any], *, over: WeightedEdges | None = None
    ) -> list[Neighborhood]:
        return self._network.neighbors(self._noised(value, self._senders(over)), over=over)

    def mean(self, value: Tensor | Message | Posted[Tensor]) -> Tensor:
        return self._network.mean(self._noised(value, range(self._network.n)))

    def sum(self, value: Tensor | Message | Posted[Tensor]) -> Tensor:
        return self._network.sum(self._noised(value, range(self._network.n)))

    def post(self, value: Any) -> Posted[Any]:
        return self._network.post(self._noised(value, range(self._network.n)))

    def post_mean(self, value: Tensor) -> Posted[Tensor]:
        return self._network.post_mean(self._noised(value, range(self._network.n)))

    def rows(self, value: Tensor, nodes: Sequence[int]) -> Tensor:
        return self._network.rows(self._noised(value, nodes), nodes)

    def gather(self, values: Tensor) -> Tensor:
        raise TypeError("a method tells numbers of single nodes, to which no noise is added")

    def _senders(self, over: WeightedEdges | None) -> Container[int]:
        """The nodes whose rows others hear over these edges."""
        return range(self._network.n) if over is None else _senders(over)

    def _noised(self, value: Any, senders: Container[int]) -> Any:
        """What travels in the place of this: of what has been posted, what was noised then."""
        if isinstance(value, Posted):
            return value
        if isinstance(value, Message):
            raise TypeError("a method sends compressed messages, to which no noise is added")
        method, state, network = self._method, self._state, self._network
        with_data = network.n - method.without_data
        rows = [row for row, node in enumerate(network.nodes) if node < with_data and node in senders]
        deviation = method.noise_multiplier * method.clip if method.noise_multiplier else 0.0
        seed, changed = network.draw(PURPOSE).seed, value.clone()
        shares = method.mechanism.prepared(clipped(value[rows], method.clip))
        for row, share in zip(rows, shares, strict=True):
            random = generator(seed, PURPOSE, network.nodes[row], state.exchanges)
            changed[row] = method.mechanism.noised(share, deviation, random)
        state.sent[rows] += 1
        state.exchanges += 1
        return changed


def _has_compressor(part: Any) -> bool:
    """Whether this is one, or has one in its fields or their fields."""
    if isinstance(part, Compressor):
        return True
    return is_dataclass(part) and any(_has_compressor(getattr(part, field.name)) for field in fields(part))


@lru_cache(maxsize=16)
def _senders(over: WeightedEdges) -> frozenset[int]:
    """Those whose rows others hear."""
    arrays: Any = over.arrays
    heard: Sequence[tuple[int, Any]] = [
        (i, arrays.indices[arrays.indptr[i] : arrays.indptr[i + 1]]) for i in range(over.n)
    ]
    return frozenset(int(j) for i, row in heard for j in row if j != i)
