"""Public copies: what the neighbours of a node know of it, kept in step by compressed differences.

    q_i = C(x_i - h_i);   sent: q_i;   h_i <- h_i + q_i   at node i itself and at all that listen to it

Instead of one copy h_j per neighbour a node keeps s_i = sum_j w_ij h_j, by adding sum_j w_ij q_j: the memory-efficient
form, with the same iterates. Public copies start at 0.

Where W varies with a period of P rounds, there is a pair (h, s) for each of the P matrices. Round t uses and updates
the one of t mod P only, so its messages go to just those who have heard all earlier messages of this pair, and all
copies stay in step; with a single h for all rounds, a node would miss what its neighbour sends while they are not
linked. Sent is what the schedule's round has edges for; a copy is P rounds old when it is used next. Matrices that
never repeat have no such pairs and are refused.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from algorithms.compressors import Compressor
from algorithms.network import Network
from algorithms.state import State


def start_replicas(owner: object, state: State, network: Network) -> None:
    """Add the public copies h and their mixed ones s, one pair for each round of a period.

    Raises:
        ValueError: if the mixing matrices never repeat.
    """
    if network.period is None:
        raise ValueError(
            f"{type(owner).__name__} needs a topology that is static or repeats: in rounds that never come again, "
            f"neighbours cannot keep their copies of each other in step"
        )
    state.public = {pair: torch.zeros_like(state.x) for pair in range(network.period)}
    state.mixed_public = {pair: torch.zeros_like(state.x) for pair in range(network.period)}
    state.sent = None


def publish(
    state: State,
    x: Tensor,
    compressor: Compressor,
    network: Network,
    fires: Callable[[Tensor], Tensor] | None = None,
) -> None:
    """Make the message q = C(x - h) of the stack x (k, d) and add it to the public copy h.

    Args:
        fires: Which nodes send anything, (k,) bool, given x - h (k, d); all by default.
    """
    public = state.public[_pair(network)]
    difference = x - public
    state.sent = compressor.compress(difference, network.draw("compression"), sent=fires(difference) if fires else None)
    state.sent.add(public)


def hear(state: State, network: Network) -> None:
    """Add what the neighbours and this node itself have sent to s, if anything was."""
    if state.sent is not None:
        pair = _pair(network)
        state.mixed_public[pair] = state.mixed_public[pair] + network.mix(state.sent)


def consensus_step(state: State, network: Network) -> Tensor:
    """gamma (W - I) h, (k, d)."""
    pair = _pair(network)
    step: Tensor = state.gamma * (state.mixed_public[pair] - state.public[pair])
    return step


def exchange(
    x: Tensor, compressor: Compressor, network: Network, purpose: str = "compression"
) -> tuple[Tensor, Tensor]:
    """Compress a stack x (k, d) and send it: (q, W q), both (k, d), with q as every receiver decodes it.

    For methods that keep no public copy, or one that takes up something else than the whole message.

    Args:
        purpose: Of the random draws; each message of a round needs one of its own.
    """
    message = compressor.compress(x, network.draw(purpose))
    return message.dense(), network.mix(message)


def _pair(network: Network) -> int:
    """The number of the copies that this round uses."""
    assert network.period is not None, "refused at the start"
    return network.round % network.period
