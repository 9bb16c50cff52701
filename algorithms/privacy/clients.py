"""What federated methods share that are private for clients: clipped sums, and noise at the server."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

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
BOUND = "left out: what has been compressed may be longer than the norm that it was clipped to"


def total_of(
    method: Method, rows: Tensor, clients: Sequence[int], weights: Sequence[float], network: Network
) -> Tensor:
    """(s, d): sum_k weights_k row_k over these clients, see `Federated.mean_of`."""
    return method.mean_of(rows, clients, weights, network) * method.clients(network)


def with_noise(total: Tensor, noised: Callable[[Tensor], Tensor]) -> Tensor:
    """(s, d): what a function makes of a sum (d,), which all s rows hold."""
    return noised(total[0]).expand_as(total) if len(total) else total


def first_state(state: FederatedState, clip: float) -> PrivateFederatedState:
    """That before the first round."""
    return PrivateFederatedState(**vars(state), rounds=0, clip=clip)
