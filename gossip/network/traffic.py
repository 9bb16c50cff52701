"""How what the local nodes send is counted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy

import numpy as np
import torch
from numpy.typing import NDArray

from algorithms.network import Traffic
from gossip.network.transport import Wire

Counts = NDArray[np.int64]


class TrafficCounter:
    """Adds up what the local nodes send.

    Args:
        nodes: The number of local nodes, k.
        wire: What this process hands to others, which a transport counts.

    Attributes:
        communicated: Whether anything was counted since this was last set to False.
    """

    def __init__(self, nodes: int, wire: Wire) -> None:
        self.communicated = False
        self._wire = wire
        self._traffic = Traffic(torch.zeros(nodes, dtype=torch.int64), torch.zeros(nodes, dtype=torch.int64))
        # Exchanges of rows of the same size to the same receivers are only counted, and multiplied when asked for.
        self._uses: dict[tuple[int, int], int] = {}
        self._receivers: dict[int, Counts] = {}

    def count(self, row_bytes: Counts | int, receivers: Counts) -> None:
        """Each local node has sent its row to so many others.

        Args:
            row_bytes: Of each row, the same for all or (k,).
            receivers: (k,). Not to be changed later.
        """
        self.communicated = True
        if isinstance(row_bytes, int):
            key = row_bytes, id(receivers)
            if key in self._uses:
                self._uses[key] += 1
            else:
                self._uses[key], self._receivers[key[1]] = 1, receivers
        else:
            self.add(row_bytes * receivers, receivers)

    def add(self, sent: Counts, messages: Counts) -> None:
        """Each local node has sent so many bytes in so many messages, (k,) each."""
        self.communicated = True
        self._traffic.bytes += torch.from_numpy(sent)
        self._traffic.messages += torch.from_numpy(messages)

    @property
    def traffic(self) -> Traffic:
        """All that was sent so far."""
        for (row_bytes, receivers), uses in self._uses.items():
            messages = torch.from_numpy(self._receivers[receivers] * uses)
            self._traffic.bytes += row_bytes * messages
            self._traffic.messages += messages
        self._uses.clear()
        self._receivers.clear()
        self._traffic.wire_bytes, self._traffic.wire_messages = self._wire.bytes, self._wire.messages
        return self._traffic

    @traffic.setter
    def traffic(self, traffic: Traffic) -> None:
        self._uses.clear()
        self._receivers.clear()
        self._traffic = traffic
        self._wire.bytes, self._wire.messages = traffic.wire_bytes, traffic.wire_messages

    @contextmanager
    def paused(self) -> Iterator[None]:
        """What is sent meanwhile does not count."""
        traffic, communicated = self.traffic, self.communicated
        self._traffic = deepcopy(traffic)  # of whoever looks meanwhile
        try:
            yield
        finally:
            self.traffic, self.communicated = traffic, communicated
