"""A new transport is one file: this one writes down what goes over another one, which does the work."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

import gossip
from algorithms import ChocoSGD, GossipPGA, Message, Posted, TopK
from gossip.network import Communicator, Site, Transport, connect, make_transport
from gossip.network.plans.halo import HaloPlan
from gossip.network.sums.mixing import RowAddresses, Scaled, Sums
from gossip.network.transport import Exchange, Rows, Total, Wire
from gossip.workloads import LeastSquares
from topologies import ring


class Logging:
    """A transport that puts down what is sent."""

    def __init__(self, inner: Transport, log: list[str]) -> None:
        self._inner = inner
        self._log = log

    @property
    def wire(self) -> Wire:
        return self._inner.wire

    @property
    def ahead(self) -> int:
        return 1

    def begin(self, value: Rows, plan: HaloPlan, posted: bool) -> Exchange:
        self._log.append(f"{'post' if posted else 'send'} {'message' if isinstance(value, Message) else 'stack'}")
        return self._inner.begin(value, plan, posted)

    def mix_in_place(self, value: Tensor, plan: HaloPlan, plus: Scaled | None) -> Tensor | None:
        return None

    def sum(
        self, sums: Sums, out: Tensor, sources: Sequence[Tensor] | RowAddresses, plus: Scaled | None = None
    ) -> None:
        self._inner.sum(sums, out, sources, plus)

    def total(self, value: Tensor, posted: bool) -> Total:
        self._log.append("total")
        return self._inner.total(value, posted)

    def rows(self, value: Tensor, nodes: Sequence[int]) -> Tensor:
        self._log.append("rows")
        return self._inner.rows(value, nodes)

    def packed_rows(self, message: Message, nodes: Sequence[int]) -> Message:
        self._log.append("packed rows")
        return self._inner.packed_rows(message, nodes)

    def empty(self, d: int, dtype: torch.dtype, device: torch.device | None = None) -> Tensor:
        return self._inner.empty(d, dtype, device)

    def exposed(self, stack: Tensor) -> bool:
        return self._inner.exposed(stack)

    def advance(self) -> None:
        self._inner.advance()

    def abandon(self) -> None:
        self._inner.abandon()

    def close(self) -> None:
        self._log.append("close")
        self._inner.close()


def logging(log: list[str]) -> gossip.network.MakeTransport:
    return lambda site: Logging(make_transport("auto", site), log)


def squares() -> LeastSquares:
    random = np.random.default_rng(0)
    return LeastSquares(random.normal(size=(6, 8, 3)), random.normal(size=(6, 8)))


def test_it_trains_with_the_same_bits() -> None:
    for algorithm, sent in (
        (ChocoSGD(lr=0.1, gamma=0.3, compressor=TopK(k=2), order="overlapped"), "post message"),
        (GossipPGA(lr=0.1, period=3), "send stack"),
    ):
        log: list[str] = []
        plain = gossip.run(squares(), ring(6), algorithm, steps=10, output=None)
        logged = gossip.run(squares(), ring(6), algorithm, steps=10, output=None, transport=logging(log))
        assert torch.equal(plain.model, logged.model)
        assert log.count(sent) >= 6
        assert log[-1] == "close"


def test_what_it_has_no_room_for_waits_for_its_turn() -> None:
    log: list[str] = []
    network = connect(ring(6), Communicator(), transport=logging(log))
    alone = connect(ring(6), Communicator())
    stacks = [torch.randn(6, d) for d in (3, 4, 5)]
    posted = [network.post(x) for x in stacks]
    assert log == ["post stack"]
    assert network.posted == (posted, [])
    assert all(network.exposed(x) for x in stacks)
    assert network.traffic.bytes.tolist() == [2 * 4 * (3 + 4 + 5)] * 6
    for handle, x in zip(posted, stacks, strict=True):
        assert torch.equal(network.mix(handle), alone.mix(x))
    assert log == ["post stack", "send stack", "send stack"]
    assert network.posted == ([], [])
    assert network.traffic.bytes.tolist() == alone.traffic.bytes.tolist()


def test_what_waits_is_there_after_a_resumption() -> None:
    log: list[str] = []
    network = connect(ring(6), Communicator(), transport=logging(log))
    stacks = [torch.randn(6, 3), torch.randn(6, 3)]
    posted = [Posted(x) for x in stacks]
    before = connect(ring(6), Communicator())
    for x in stacks:
        before.post(x)
    network.resume(0, before.traffic, posted, [])
    assert network.posted == (posted, [])
    for handle, x in zip(posted, stacks, strict=True):
        assert torch.equal(network.mix(handle), connect(ring(6), Communicator()).mix(x))
    assert network.traffic.bytes.tolist() == [2 * 2 * 12] * 6
    assert isinstance(Site(Communicator(), [range(6)]).n, int)
