"""What federated methods share that are private for clients: clipped sums, and noise at the server."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from algorithms.blocks.server import server_rows
from algorithms.federated.federated import Federated, FederatedState
from algorithms.network import Network


@dataclass
class PrivateFederatedState(FederatedState):
    """The state of a federated method that is private for clients.

    Attributes:
        rounds: Those that have ended, each with a noised sum.
        clip: To which norm the clients clip what they send.
    """

    rounds: int
    clip: float


Method = Federated[PrivateFederatedState]


ACCOUNTED = "it is not known what is spent where clients come and go"


def total_of(
    method: Method, rows: Tensor, clients: Sequence[int], weights: Sequence[float], network: Network
) -> Tensor:
    """(k, d): sum_k weights_k row_k over these clients, at the nodes that keep the server."""
    return method.mean_of(rows, clients, weights, network) * method.clients(network)


def at_server(method: Method, total: Tensor, noised: Callable[[Tensor], Tensor], network: Network) -> Tensor:
    """The rows (k, d), with what a function makes of the server's (d,) in its place: in one row, or in all of them."""
    here = server_rows(network) if method.servers else slice(0, len(total))
    if len(total[here]):
        total = total.clone()
        total[here] = noised(total[here][0])
    return total


def first_state(state: FederatedState, clip: float) -> PrivateFederatedState:
    """That before the first round."""
    return PrivateFederatedState(**vars(state), rounds=0, clip=clip)
