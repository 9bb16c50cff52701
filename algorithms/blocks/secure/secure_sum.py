"""The sum of clients' vectors at a server that sees none of them: the four rounds of secure aggregation.

Bonawitz, Ivanov, Kreuter, Marcedone, McMahan, Patel, Ramage, Segal, Seth, "Practical Secure Aggregation for
Privacy-Preserving Machine Learning", CCS 2017, figure 4 for a server that is honest but curious. Between the m clients
u, v of one sum, with vectors x_u modulo 2^b and fresh secrets in each sum:

    keys        u makes the key pairs c_u and s_u and sends both public keys; all get those of all
    shares      u shares s_u and a secret b_u, t of m; each share goes to its holder through the server, sealed
    masked      y_u = x_u + PRG(b_u) + sum_{v > u} PRG(s_uv) - sum_{v < u} PRG(s_uv); s_uv as agreed by s_u and s_v
    unmasking   the server tells who has survived; survivors send it their shares of b_v of each v that has, and of s_v
                of each that has not. From t of each it makes all masks that are left in sum_u y_u, and takes them off

Where the paper shares the private key, of 32 bytes, here a seed of 16 bytes is shared that the key follows from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from algorithms.blocks.secure.member import (
    KEY,
    SEALED,
    SECRET,
    Bytes,
    Member,
    combined,
    mask_of,
    masking_key,
    pairwise_mask,
)
from algorithms.blocks.server import collect, distribute, local_rows, server_rows
from algorithms.network import Network


class TooFewClientsError(ValueError):
    """Fewer clients are left of a secure sum than its threshold; it is raised on all ranks."""


@dataclass(frozen=True)
class Recovery:
    """How a secure sum comes to its end without those that vanish; the same on every rank.

    Args:
        threshold: t >= 2, how many clients must answer; with fewer nothing can be unmasked.
        survivors: Those of the clients that send their masked vectors, ascending.
        answering: Those of the survivors that send shares, ascending.
    """

    threshold: int
    survivors: Sequence[int]
    answering: Sequence[int]


def secure_sum(
    rows: NDArray[Any], clients: Sequence[int], network: Network, recovery: Recovery | None = None
) -> NDArray[Any] | None:
    """(d,): the sum of the survivors' vectors, at the server; None on ranks that do not host it.

    Sent by each client, of m, with vectors of d numbers in B bytes: 64 bytes, 48 (m - 1), d B and 16 m; by the server
    to each client 64 m and 48 (m - 1), and to each survivor m. Without recovery nobody may vanish: there are neither
    shares nor masks of one's own, and of these only the keys and the vectors are sent.

    Args:
        rows: (k, d), of the local nodes, unsigned integers, which wrap around; those of others than these clients
            stay where they are.
        clients: At least two, ascending, the same on every rank.
        network: The clients and the server.
        recovery: Who vanishes, and how many must be left.

    Raises:
        TooFewClientsError: So few are left that nothing can be unmasked, or a sum would be a client's own vector.
    """
    if len(clients) < 2:
        raise TooFewClientsError(
            f"secure aggregation: a sum over {len(clients)} clients hides nothing; take 2 at least"
        )
    members = {row: Member(clients.index(network.nodes[row])) for row in local_rows(clients, network)}
    keys = _exchange_keys(members, clients, network)
    threshold = 0
    survivors = clients
    if recovery is not None:
        threshold, survivors = recovery.threshold, recovery.survivors
        _exchange_shares(members, keys, clients, network, threshold)
    masked = np.zeros((len(rows), rows.shape[1] * rows.itemsize), np.uint8)
    for row in local_rows(survivors, network):
        masked[row] = members[row].masked(rows[row], keys[row], own_mask=recovery is not None).view(np.uint8)
    heard = _up(masked, survivors, network)
    total = np.sum([each.view(rows.dtype) for each in heard.values()], axis=0, dtype=rows.dtype) if heard else None
    if recovery is None:
        return total
    _check_left(len(survivors), threshold, "have sent their masked vectors")
    answers = _ask(members, clients, network, recovery)
    _check_left(len(recovery.answering), threshold, "have answered")
    return None if total is None else _unmasked(total, answers, keys[len(rows) - 1], clients, recovery)


def _exchange_keys(members: Mapping[int, Member], clients: Sequence[int], network: Network) -> dict[int, Bytes]:
    """Row -> (m, 64), the public keys of all clients: at the clients, and at the server."""
    k, m = len(network.nodes), len(clients)
    own = np.zeros((k, 2 * KEY), np.uint8)
    for row, member in members.items():
        own[row] = member.public_keys()
    heard = _up(own, clients, network)
    table = np.zeros((k, m * 2 * KEY), np.uint8)
    if heard:
        table[-1] = np.concatenate([heard[client] for client in clients])
    received = _down(table, clients, network).reshape(k, m, 2 * KEY)
    return {row: received[row] for row in (*members, *range(*server_rows(network).indices(k)))}


def _exchange_shares(
    members: Mapping[int, Member],
    keys: Mapping[int, Bytes],
    clients: Sequence[int],
    network: Network,
    threshold: int,
) -> None:
    """Let all clients hold the shares of the others, which the server passes on and cannot read."""
    k, m = len(network.nodes), len(clients)
    sealed = np.zeros((k, (m - 1) * SEALED), np.uint8)
    for row, member in members.items():
        sealed[row] = member.sealed_shares(keys[row], threshold).reshape(-1)
    heard = {node: each.reshape(m - 1, SEALED) for node, each in _up(sealed, clients, network).items()}
    for place, client in enumerate(clients):
        for_client = np.zeros((k, (m - 1) * SEALED), np.uint8)
        if heard:
            # A client has sealed nothing for itself, so that later ones have moved up by one.
            others = [heard[each][place - (place > i)] for i, each in enumerate(clients) if i != place]
            for_client[-1] = np.concatenate(others)
        received = _down(for_client, [client], network)
        for row, member in members.items():
            if member.place == place:
                member.take_shares(keys[row], received[row].reshape(m - 1, SEALED))


def _ask(
    members: Mapping[int, Member], clients: Sequence[int], network: Network, recovery: Recovery
) -> dict[int, Bytes]:
    """What the server hears of those that answer: client -> (m, 16), one share of each client."""
    k, m = len(network.nodes), len(clients)
    told = np.zeros((k, m), np.uint8)
    told[server_rows(network)] = np.isin(clients, recovery.survivors)
    told = _down(told, recovery.survivors, network)
    shares = np.zeros((k, m * SECRET), np.uint8)
    for row in local_rows(recovery.answering, network):
        shares[row] = members[row].answer(told[row], recovery.threshold).reshape(-1)
    return {node: each.reshape(m, SECRET) for node, each in _up(shares, recovery.answering, network).items()}


def _unmasked(
    total: NDArray[Any], answers: Mapping[int, Bytes], keys: Bytes, clients: Sequence[int], recovery: Recovery
) -> NDArray[Any]:
    """(d,): the sum of the survivors' masked vectors without their masks."""
    holders = [(clients.index(node), shares) for node, shares in answers.items()][: recovery.threshold]
    survivors = [clients.index(node) for node in recovery.survivors]
    total = total.copy()
    for place in range(len(clients)):
        secret = combined([(holder + 1, shares[place].tobytes()) for holder, shares in holders])
        if place in survivors:
            total -= mask_of(secret, len(total), total.dtype)
            continue
        private = masking_key(secret)
        for survivor in survivors:  # has added the opposite of what the one that vanished would have
            total += pairwise_mask(private, keys, place, survivor, total)
    return total


def _check_left(left: int, threshold: int, did: str) -> None:
    if left < threshold:
        raise TooFewClientsError(
            f"secure aggregation: {left} clients {did}, and the threshold is {threshold}; nothing can be unmasked"
        )


def _up(value: Bytes, clients: Sequence[int], network: Network) -> dict[int, Bytes]:
    """See `collect`."""
    return {node: row.numpy() for node, row in collect(torch.from_numpy(value), clients, network).items()}


def _down(value: Bytes, clients: Sequence[int], network: Network) -> Bytes:
    """See `distribute`; (k, width), zeros at others."""
    rows = torch.from_numpy(value)
    received: Bytes = distribute(rows, clients, network, others=torch.zeros_like(rows)).numpy()
    return received
