"""Networks that tell a simulated time beside what they do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from algorithms.compressors.compressor import Message
from algorithms.network import Neighborhood, Posted, Value, WeightedEdges
from gossip.network.clock import NodeTimes, Seconds
from gossip.network.network import InProcessNetwork
from gossip.network.sums.mixing import Scaled

UNSETTLED = 1024  # events that are kept at most

Bytes = NDArray[np.int64] | int  # of a row of each node, the same for all or (n,)


@dataclass(eq=False)
class UnderWay:
    """What has been sent and not been waited for yet.

    Attributes:
        value: What it is,
        there: and when each node has what it needs of it, once the event of sending it is settled.
    """

    value: Tensor | Message
    there: Seconds | None = None


class ClockedNetwork(InProcessNetwork):
    """What a network with a simulated clock has in the place of what it has without.

    How long packed rows are is known to the ranks that sent them only. So what happens is put down first, and the
    times follow from it later, whenever somebody asks for them, after one exchange of all lengths since then.
    """

    times: NodeTimes

    def start_clock(self, times: NodeTimes) -> None:
        """To be called before anything else."""
        self.times = times
        self._events: list[tuple[Callable[[Bytes], None], Tensor | int]] = []
        self._under_way: list[UnderWay] = []
        self._restored: list[Seconds] = []

    @property
    def seconds(self) -> float:
        self._settle()
        return float(self.times.now.max())

    def finish_gradients(self, step: int) -> None:
        self._add(lambda _: self.times.compute(step))

    def mix(
        self, value: Tensor | Message | Posted[Any], plus: Scaled | None = None, *, over: WeightedEdges | None = None
    ) -> Tensor:
        self._wait(_plain(value), self._send)
        return super().mix(value, plus, over=over)

    def neighbors(
        self, value: Tensor | Message | Posted[Any], *, over: WeightedEdges | None = None
    ) -> list[Neighborhood]:
        self._wait(_plain(value), self._send)
        return super().neighbors(value, over=over)

    def post(self, value: Value) -> Posted[Value]:
        self._post(value, self._send)
        return super().post(value)

    def sum(self, value: Tensor | Message | Posted[Tensor]) -> Tensor:
        plain = _plain(value)
        self._wait(plain.dense() if isinstance(plain, Message) else plain, self._reduce)
        return super().sum(value)

    def post_mean(self, value: Tensor) -> Posted[Tensor]:
        self._post(value, self._reduce)
        return super().post_mean(value)

    def complete(self) -> None:
        super().complete()
        self._under_way.clear()

    def clock_state(self) -> dict[str, Any]:
        self._settle()
        posted = [each.value for each, _ in [*self._posted, *self._posted_means]]
        under_way = [each.there for value in posted for each in self._under_way if each.value is value]
        return {
            "now": self.times.now.tolist(),
            "free": self.times.free.tolist(),
            "under_way": [there.tolist() for there in under_way if there is not None],
        }

    def load_clock_state(self, state: dict[str, Any]) -> None:
        self._events.clear()
        self._under_way.clear()
        self.times.now, self.times.free = np.array(state["now"]), np.array(state["free"])
        self._restored = [np.array(there) for there in state["under_way"]]

    def _post(self, value: Any, send: Callable[[Any], UnderWay]) -> None:
        if self._restored:  # it has been sent before the state was saved
            self._under_way.append(UnderWay(value, self._restored.pop(0)))
        else:
            self._under_way.append(send(value))

    def _wait(self, value: Any, send: Callable[[Any], UnderWay]) -> None:
        """Wait for what comes of this value, which is sent now unless it was posted."""
        if not self._recording:
            return
        found = next((each for each in self._under_way if each.value is value), None)
        if found is None:
            found = send(value)
        else:
            self._under_way.remove(found)

        def wait(_: Bytes) -> None:
            assert found.there is not None  # sending was settled before
            self.times.wait(found.there)

        self._add(wait)

    def _send(self, value: Tensor | Message) -> UnderWay:
        sent, topology = UnderWay(value), self._topology()

        def send(row_bytes: Bytes) -> None:
            sent.there = self.times.send(topology, row_bytes)

        self._add(send, value.nbytes if isinstance(value, Message) else value.shape[1] * value.itemsize)
        return sent

    def _reduce(self, value: Tensor) -> UnderWay:
        sent = UnderWay(value)

        def reduce(row_bytes: Bytes) -> None:
            assert isinstance(row_bytes, int)
            sent.there = self.times.reduce(row_bytes)

        self._add(reduce, value.shape[1] * value.itemsize)
        return sent

    def _add(self, event: Callable[[Bytes], None], row_bytes: Tensor | int = 0) -> None:
        """Put down what happens.

        Args:
            event: Moves the times on, given the bytes of a row of each node.
            row_bytes: These as this rank knows them: of the local nodes, (k,), if they depend on the node.
        """
        self._events.append((event, row_bytes))
        if len(self._events) >= UNSETTLED:
            self._settle()

    def _settle(self) -> None:
        """Bring the times up to date; collective."""
        events, self._events = self._events, []
        local = [row_bytes for _, row_bytes in events if isinstance(row_bytes, Tensor)]
        everywhere = iter(self.all_rows(torch.stack(local, dim=1)).T.numpy() if local else ())
        for event, row_bytes in events:
            event(next(everywhere) if isinstance(row_bytes, Tensor) else row_bytes)


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, Posted) else value


def clocked(kind: type[InProcessNetwork]) -> type[ClockedNetwork]:
    """A kind of network with a simulated clock."""
    made: type[ClockedNetwork] = type(f"Clocked{kind.__name__}", (ClockedNetwork, kind), {})
    return made
