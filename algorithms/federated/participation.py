"""Who the clients of a federated method are, and who of them can take part in a round."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from algorithms.blocks.server import HasServer
from algorithms.checks import check
from algorithms.federated.availability import AlwaysAvailable, Availability
from algorithms.federated.delivery import Delivery, Turnout, randomness
from algorithms.federated.sampling import multiples
from algorithms.network import Network


class HasClients(HasServer):
    """What federated methods share, of which these are fields; `Federated` says what they are."""

    local_steps: int
    participation: int | float
    weights: tuple[float, ...] | Literal["equal", "examples"]
    candidates: int | None
    client_steps: tuple[int, ...] | None
    availability: Availability
    delivery: Delivery

    def clients(self, network: Network) -> int:
        """K, how many clients there are."""
        return network.n - self.servers

    def steps_of_clients(self, network: Network) -> list[int]:
        """(K,) how many iterations of a round each client makes."""
        clients = self.clients(network)
        if self.client_steps is None:
            return [self.local_steps] * clients
        if len(self.client_steps) != clients:
            given = len(self.client_steps)
            raise ValueError(f"{type(self).__name__}: there are {given} client_steps for {clients} clients")
        return list(self.client_steps)

    def sizes(self, network: Network) -> tuple[float, ...]:
        """(K,) how much data the clients have."""
        clients = self.clients(network)
        if self.weights == "equal":
            return (1.0,) * clients
        if isinstance(self.weights, str):
            raise ValueError(f"{type(self).__name__}: weights = 'examples' is for runs; give the numbers here")
        if len(self.weights) != clients:
            raise ValueError(f"{type(self).__name__}: there are {len(self.weights)} weights for {clients} clients")
        return self.weights

    def taking_part(self, network: Network) -> int:
        """M, how many clients take part in a round."""
        clients = self.clients(network)
        if not isinstance(self.participation, int):
            return max(1, round(self.participation * clients))
        if self.participation > clients:
            raise ValueError(f"{type(self).__name__}: participation = {self.participation} of {clients} clients")
        return self.participation

    def chosen_number(self, network: Network) -> int:
        """How many clients are chosen for a round, of whom M take part."""
        return min(self.delivery.chosen(self.taking_part(network)), self.clients(network))

    def shares(self, network: Network) -> list[float]:
        """(K,) K q_k: how many times the average share of the data each client has."""
        return multiples(self.sizes(network)).tolist()

    def available(self, turnout: Turnout | None, network: Network) -> NDArray[np.bool_]:
        """(K,) which clients can be chosen."""
        random = randomness(turnout, "availability", network)
        return self.availability.available(turnout.round if turnout else 0, self.clients(network), random)

    def check_even(self, why: str) -> None:
        """Refuse clients that are not always there, or do not always deliver all of their work, and say why."""
        check(self.availability == AlwaysAvailable(), self, "availability", f"left out: {why}")
        check(self.delivery == Delivery(), self, "delivery", f"left out: {why}")

    @property
    def uneven(self) -> bool:
        """Whether clients are not always there, or do not always deliver all of their work."""
        return self.availability != AlwaysAvailable() or self.delivery != Delivery()

    def check_clients(self, network: Network) -> None:
        """Refuse what is out of range for so many clients."""
        sizes, clients = self.sizes(network), self.chosen_number(network)
        valid = not self.delivery.extra or self.taking_part(network) < self.clients(network)
        check(valid, self, "participation", "less than all clients with over-selection: nobody is left to choose")
        self.steps_of_clients(network)
        if self.candidates is not None:
            most = sum(size > 0 for size in sizes)
            check(clients <= self.candidates <= most, self, "candidates", f"in [{clients}, {most}]")
