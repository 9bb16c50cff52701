"""FedAvg whose server learns the sum of what clients send, and not what any of them sends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
from torch import Tensor

from algorithms.blocks.secure.ring import Ring
from algorithms.blocks.server import local_rows
from algorithms.checks import NonFiniteError, check
from algorithms.compressors.message import Message, dense
from algorithms.federated.federated import Federated, FederatedState
from algorithms.federated.sampling import without
from algorithms.network import Network
from algorithms.randomness import stream

if TYPE_CHECKING:
    from algorithms.blocks.secure.secure_sum import Recovery

PLACES = 40  # binary ones behind the point of the numbers that the server's start is made of


@dataclass
class SecureFederatedState(FederatedState):
    """The state of `SecureFedAvg`. It has no secrets: these live as long as one sum.

    Attributes:
        rounds: Those that are over.
        abandoned: Those of them in which too few clients were left to unmask anything.
        vanished: Clients that have vanished in the protocol, in all rounds that are over.
    """

    rounds: int = 0
    abandoned: int = 0
    vanished: int = 0


@dataclass(frozen=True)
class SecureFedAvg(Federated[SecureFederatedState]):
    """Federated averaging by secure aggregation; for rounds and the other options see `Federated`.

        q_k = round(clip_to_range(s_k (w - u_k)) levels / clip)    at random, without bias; s_k = p_k / max_j p_j
        g = (max_j p_j clip / levels) sum_k q_k                    over the clients that have not vanished
        w <- w - server_lr g

    The server learns the sum of the q_k, an exact sum of integers modulo 2^bits, and no q_k, as each comes with masks
    that cancel in the sum. Clients that vanish on the way are recovered from by shares of their secrets, which others
    hold. The server is honest but curious: it follows the protocol. Against one that lies about keys or survivors this
    does not protect, nor against clients that send nonsense; and what the sum itself tells is told. `algorithms.blocks.
    secure.secure_sum` has the protocol: Bonawitz et al., "Practical Secure Aggregation for Privacy-Preserving Machine
    Learning", CCS 2017.

    Secrets come from the operating system and live for one sum; the model does not depend on them. In one process, or
    where a rank hosts several nodes, all that is on one machine: use as many ranks as nodes to keep it apart. What a
    run records and saves takes no part: checkpoints have the models of clients.

    With m clients in a round and t = max(2, ceil(threshold m)), a round with fewer than t left is abandoned: the server
    keeps w. Records have `vanished_per_round` and `abandoned_rounds`.

    Sent: of d numbers, by each of the m clients of a round 64 + 48 (m - 1) + d bits / 8 + 16 m bytes, less what it does
    not send because it has vanished; to each of them 64 m + 48 (m - 1) + m bytes, and w as in `Federated`. At the start
    x up by all clients, masked as well, in numbers of 64 bits with 40 binary places, for which nobody may vanish.

    Args:
        clip: The largest number that a client sends of s_k (w - u_k), > 0; larger ones are clipped, each by itself.
        levels: Integers on either side of 0 in the range, >= 1; clients times levels must fit into the ring.
        bits: Of the ring and of each number that travels: 16, 32 or 64.
        threshold: The share of a round's clients of whom the server needs answers, in (0, 1], at least 2 of them: so
            many have to collude with it to see what others send.
        vanishing: The probability that a client vanishes after it has shared its secrets, before it sends its vector;
            and, that it has not, before it answers; in [0, 1).
    """

    masks: ClassVar[bool] = True

    clip: float = 1.0
    levels: int = 2**15 - 1
    bits: int = 32
    threshold: float = 2 / 3
    vanishing: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        Ring(self.bits, self.levels, self.clip)
        check(0 < self.threshold <= 1, self, "threshold", "in (0, 1], a share of the clients of a round")
        check(0 <= self.vanishing < 1, self, "vanishing", "in [0, 1)")
        check(self.server == "node", self, "server", '"node": where all keep what the server would, nothing is hidden')
        check(self.compressor is None, self, "compressor", "left out: what is masked is in integers")
        valid = self.sampling != "power-of-choice"
        check(valid, self, "sampling", "another one: the losses of candidates would be sent without a mask")
        valid = not self.vanishing or self.weighting != "unbiased"
        check(valid, self, "weighting", "sampled or all where clients vanish")
        if find_spec("cryptography") is None or find_spec("Crypto") is None:
            raise ValueError("SecureFedAvg needs cryptography and pycryptodome: pip install 'gossip-mpi[secure]'")

    def start(self, x: Tensor, network: Network) -> SecureFederatedState:
        clients, chosen = self.clients(network), self.chosen_number(network)
        if chosen < 2:
            raise ValueError(
                f"SecureFedAvg: participation = {self.participation} of {clients} clients is not allowed; the sum over "
                f"one client hides nothing, so take at least 2"
            )
        self._ring.check_room(clients if self.sampling == "independent" else chosen)
        return super().start(x, network)

    def first_state(self, server: Tensor) -> SecureFederatedState:
        return SecureFederatedState(**vars(super().first_state(server)))

    def mean_of(
        self, value: Tensor | Message, clients: Sequence[int], weights: Sequence[float], network: Network
    ) -> Tensor:
        """(s, d): 1/K sum_k value_k over all clients, of their starting points.

        Raises:
            NonFiniteError: A number is not finite, or so large that the sum could overflow.
        """
        value, most = dense(value), 2 ** (62 - PLACES) // len(clients)
        if not bool((value.abs() <= most).all()):
            raise NonFiniteError(f"SecureFedAvg: a starting point holds a number that is not finite or beyond {most}")
        encoded = np.rint(np.ldexp(value.cpu().double().numpy(), PLACES)).astype(np.int64).view(np.uint64)
        total = self._total(encoded, clients, network, None)
        return _as_rows(np.ldexp(total.view(np.int64).astype(np.float64), -PLACES) / len(clients), value)

    def end_round(self, state: SecureFederatedState, server_lr: float, network: Network) -> Tensor:
        from algorithms.blocks.secure.secure_sum import TooFewClientsError

        recovery, votes = self._recovery(state, network)
        state.rounds += 1
        state.vanished += len(state.clients) - len(recovery.answering)
        travelled, largest = self.travelled(state, network), max(state.votes, default=1.0)
        encoded = np.zeros(travelled.shape, self._ring.dtype)
        draw, vote_of = network.draw("randomised rounding"), dict(zip(state.clients, state.votes, strict=True))
        for place, row in enumerate(local_rows(state.clients, network)):
            weighted = travelled[place].cpu().double().numpy() * (vote_of[network.nodes[row]] / largest)
            encoded[place] = self._ring.encode(weighted, stream(draw.key(row).own).random(len(weighted)))
        try:
            total = self._total(encoded, state.clients, network, recovery)
        except TooFewClientsError:  # on all ranks
            state.abandoned += 1
            return state.server[self.keepers(network)]
        kept = next((new / old for new, old in zip(votes, state.votes, strict=True) if new), 1.0)
        scale = largest * kept / self.clients(network)
        return self.moved(state, _as_rows(self._ring.decode(total) * scale, travelled), server_lr, network)

    def report(self, state: SecureFederatedState) -> dict[str, Tensor]:
        each = torch.ones(len(state.x), dtype=torch.float64)
        vanished, abandoned = state.vanished / max(1, state.rounds), float(state.abandoned)
        return {**super().report(state), "vanished_per_round": each * vanished, "abandoned_rounds": each * abandoned}

    @property
    def _ring(self) -> Ring:
        return Ring(self.bits, self.levels, self.clip)

    def _recovery(self, state: SecureFederatedState, network: Network) -> tuple[Recovery, Sequence[float]]:
        """Who of the round's clients vanishes, drawn alike on all ranks; and what votes are left, 0 of those."""
        from algorithms.blocks.secure.secure_sum import Recovery

        m, clients = len(state.clients), np.array(state.clients, np.int64)
        draws = stream(network.draw("vanishing").key(0).common).random((2, self.clients(network)))[:, clients]
        survive = draws[0] >= self.vanishing
        answer = survive & (draws[1] >= self.vanishing)
        threshold = max(2, int(np.ceil(round(self.threshold * m, 9))))
        votes = without(np.array(state.votes), survive, self.clients(network), self.weighting)
        return Recovery(threshold, clients[survive].tolist(), clients[answer].tolist()), votes.tolist()

    def _total(
        self, encoded: np.ndarray, clients: Sequence[int], network: Network, recovery: Recovery | None
    ) -> np.ndarray:
        """(s, d): the sum over these clients of what they have encoded, of which the local ones have (r, d)."""
        from algorithms.blocks.secure.secure_sum import secure_sum

        rows = np.zeros((len(network.nodes), encoded.shape[1]), encoded.dtype)
        rows[local_rows(clients, network)] = encoded
        total = secure_sum(rows, list(clients), network, recovery)
        return rows[:0] if total is None else total[None]


def _as_rows(mean: np.ndarray, like: Tensor) -> Tensor:
    """(s, d): what the server has decoded, as parameters are."""
    return torch.from_numpy(mean).to(like)
