"""Public copies: what the neighbours of a node know of it, kept in step by compressed differences."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from algorithms.compressors import Compressor, Message
from algorithms.network import Network, Posted
from algorithms.numerics.sums import add_scaled
from algorithms.state import Block


@dataclass
class Replica(Block):
    """The public copies of what all nodes have, under one mixing matrix W.

        q_i = C(x_i - h_i);   sent: q_i;   h_i <- h_i + q_i   at node i itself and at all that listen to it

    Instead of one copy h_j per neighbour a node keeps sum_j w_ij h_j, by adding sum_j w_ij q_j: the memory-efficient
    form, with the same iterates. An algorithm has one for each kind of vector that it publishes. There are two ways to
    use it: `publish`, and `hear` now or a round later; or `exchange`, and `take` as much of it as the method does.

    Attributes:
        public: (k, d), the copies h of the local nodes.
        mixed: (k, d), W h, of which each row is what a local node hears of all.
        sent: The message that has been published and not been heard yet, if there is one; as what the network gave for
            it where it travels meanwhile.
        remembered: What the compressor remembers of the differences; None if it does not.
    """

    public: Tensor
    mixed: Tensor
    sent: Message | Posted[Message] | None = None
    remembered: Block | None = None

    @classmethod
    def start(cls, x: Tensor, compressor: Compressor) -> Self:
        """Copies that are 0, of vectors like those in the stack x (k, d), for messages of this operator."""
        return cls(torch.zeros_like(x), torch.zeros_like(x), remembered=compressor.start_like(x))

    def publish(
        self,
        x: Tensor,
        compressor: Compressor,
        network: Network,
        *,
        purpose: str = "compression",
        fires: Callable[[Tensor], Tensor] | None = None,
        ahead: bool = False,
    ) -> None:
        """Make the message q = C(x - h) of the stack x (k, d) and add it to the local copies.

        Args:
            x: What the copies are to follow.
            compressor: The operator C.
            network: Gives the random streams.
            purpose: Of the random draws; each message of a round needs one of its own.
            fires: Which nodes send anything, (k,) bool, given x - h (k, d); all by default.
            ahead: Let the message travel from now on until it is heard.
        """
        difference = x - self.public
        sends = fires(difference) if fires else None
        message = compressor.compress(difference, network.draw(purpose), self.remembered, sent=sends)
        message.add(self.public)
        self.sent = network.post(message) if ahead else message

    def hear(self, network: Network) -> None:
        """Add what the neighbours and this node itself have published to the mixed copies, if anything was."""
        if self.sent is not None:
            self.mixed += network.mix(self.sent)
            self.sent = None

    def exchange(
        self, x: Tensor, compressor: Compressor, network: Network, *, purpose: str = "compression"
    ) -> tuple[Tensor, Tensor]:
        """Send q = C(x - h), of which the copies take up nothing yet: (q, W q), both (k, d). See `publish`."""
        return exchange(x - self.public, compressor, network, purpose=purpose, memory=self.remembered)

    def take(self, share: float, q: Tensor, mixed_q: Tensor) -> None:
        """Add a share of what has been exchanged to the copies."""
        add_scaled(self.public, share, q, out=self.public)
        add_scaled(self.mixed, share, mixed_q, out=self.mixed)

    def disagreement(self) -> Tensor:
        """(W - I) h, (k, d): along this a node moves towards what its neighbours have published."""
        return self.mixed - self.public


@dataclass
class Replicas(Block):
    """Public copies where W repeats with a period of P rounds: a `Replica` for each of the P matrices.

    Round t uses and updates the one of t mod P only, so its messages go to just those who have heard all earlier
    messages of this replica, and all copies stay in step; with a single one for all rounds, a node would miss what its
    neighbour sends while they are not linked. Sent is what the schedule's round has edges for; a copy is P rounds old
    when it is used next. Matrices that never repeat have no such replicas and are refused.

    Attributes:
        of_round: The replica of each round of a period; a single one where W is static.
    """

    of_round: tuple[Replica, ...]

    @classmethod
    def start(cls, owner: object, x: Tensor, network: Network, compressor: Compressor) -> Self:
        """Copies that are 0, of vectors like those in the stack x (k, d).

        Args:
            owner: The algorithm, for errors.
            x: The stack.
            network: Whose matrices they are for.
            compressor: Whose messages they are for.

        Raises:
            ValueError: The mixing matrices never repeat.
        """
        if network.period is None:
            raise ValueError(
                f"{type(owner).__name__} needs a topology that is static or repeats: in rounds that never come again, "
                f"neighbours cannot keep their copies of each other in step"
            )
        return cls(tuple(Replica.start(x, compressor) for _ in range(network.period)))

    def current(self, network: Network) -> Replica:
        """The replica of this round."""
        return self.of_round[network.round % len(self.of_round)]


def exchange(
    x: Tensor,
    compressor: Compressor,
    network: Network,
    *,
    purpose: str = "compression",
    memory: Block | None = None,
) -> tuple[Tensor, Tensor]:
    """Compress a stack x (k, d) and send it: (q, W q), both (k, d), with q as every receiver decodes it.

    Args:
        x: The stack.
        compressor: The operator.
        network: Carries the message and gives the random streams.
        purpose: Of the random draws; each message of a round needs one of its own.
        memory: What the operator remembers, which is brought up to date.
    """
    message = compressor.compress(x, network.draw(purpose), memory)
    return message.dense(), network.mix(message)
