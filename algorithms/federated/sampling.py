"""Which clients take part in a round, and how much each of them counts.

With q_k client k's share of the data and r_k how often it is in the sample of M out of K clients, the server uses

    sum_k p_k Delta_k        p_k = q_k r_k / E[r_k]                  "unbiased": E is sum_k q_k Delta_k
                             p_k = (M / K) q_k r_k / E[r_k]          "all": who is absent counts with Delta_k = 0
                             p_k = the same, divided by its sum      "sampled"

The samples are

    uniform         M clients without replacement; E[r_k] = M / K
    proportional    M draws with replacement, client k with probability q_k; E[r_k] = M q_k
    independent     each client with probability M / K, so their number varies; E[r_k] = M / K

    power-of-choice d candidates without replacement, drawn like that one by one with the q_k of those that are left; of
                    these the M whose losses at w are largest, those of smaller numbers if some are equal

so that "all" is q_k r_k in the first and the third, and M / K times the plain mean of the draws in the second. In the
last, which is biased, the server uses the plain mean of the M clients, or M / K times it with "all". McMahan, Moore,
Ramage, Hampson, Aguera y Arcas, AISTATS 2017, arXiv 1602.05629 sample uniformly and weigh by q_k among the sampled; Li,
Sahu, Zaheer, Sanjabi, Talwalkar, Smith, MLSys 2020, arXiv 1812.06127 draw proportionally. Power-of-choice: Cho, Wang,
Joshi, "Towards Understanding Biased Client Selection in Federated Learning", AISTATS 2022, arXiv 2010.01243.

Where only A < K clients are available, with the share Q of the data, the sample is drawn of them alike: M of them, or
all if they are fewer; with "independent" each with probability M / A. With "all", those that are not available count
with Delta_k = 0, too, so that p_k is q_k r_k, and M Q / A times the plain mean of the draws with "proportional".
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from algorithms.blocks.server import collect, server_of
from algorithms.network import Network

Sampling = Literal["uniform", "proportional", "independent", "power-of-choice"]
Weighting = Literal["sampled", "all", "unbiased"]
SAMPLINGS = ("uniform", "proportional", "independent", "power-of-choice")
WEIGHTINGS = ("sampled", "all", "unbiased")


def multiples(sizes: Sequence[float]) -> NDArray[np.float64]:
    """(K,) K q_k: how many times the average share of the data each client has."""
    return np.array(sizes, np.float64) * (len(sizes) / math.fsum(sizes))


def draw_clients(
    sizes: Sequence[float], clients: int, sampling: Sampling, weighting: Weighting, random: np.random.Generator
) -> NDArray[np.float64]:
    """(K,) K p_k of one round: with these the plain mean over all clients is what the server uses.

    Args:
        sizes: (K,), how much data each client has, in any unit.
        clients: M, in [1, K].
        sampling: How the sample is drawn.
        weighting: How its members count.
        random: The round's draws.
    """
    total, shares = len(sizes), multiples(sizes)
    weights: NDArray[np.float64] = np.zeros(total)
    match sampling:
        case "uniform":
            chosen = random.choice(total, clients, replace=False) if clients < total else np.arange(total)
            weights[chosen] = shares[chosen] * (total / clients)
        case "proportional":
            np.add.at(weights, random.choice(total, clients, p=shares / total), total / clients)
        case "independent":
            chosen = np.flatnonzero(random.random(total) < clients / total)
            weights[chosen] = shares[chosen] * (total / clients)
    if weighting == "all":
        weights *= clients / total
    elif weighting == "sampled" and weights.any():
        weights *= total / math.fsum(weights)
    return weights


def draw_available(
    available: NDArray[np.bool_],
    sizes: Sequence[float],
    clients: int,
    sampling: Sampling,
    weighting: Weighting,
    random: np.random.Generator,
) -> NDArray[np.float64]:
    """(K,) K p_k of one round in which these clients are available, (K,); all 0 if they are none with a weight.

    For the arguments see `draw_clients`, whose result it is, to the bit, if all are available.
    """
    if available.all():
        return draw_clients(sizes, clients, sampling, weighting, random)
    total, here = len(sizes), np.flatnonzero(available)
    own = [sizes[client] for client in here.tolist()]
    votes: NDArray[np.float64] = np.zeros(total)
    if any(own):
        scale = total / len(here)
        if weighting == "all":
            scale *= math.fsum(own) / math.fsum(sizes)
        votes[here] = draw_clients(own, min(clients, len(here)), sampling, weighting, random) * scale
    return votes


def draw_candidates(sizes: Sequence[float], candidates: int, random: np.random.Generator) -> tuple[int, ...]:
    """The clients from which power-of-choice takes those of a round, all with a weight if they are fewer.

    See `draw_clients`.
    """
    if not any(sizes):
        return ()
    shares = multiples(sizes) / len(sizes)
    candidates = min(candidates, int(np.count_nonzero(shares)))
    drawn = random.choice(len(sizes), candidates, replace=False, p=shares)
    return tuple(sorted(drawn.tolist()))


def choose_clients(losses: Mapping[int, float], candidates: Sequence[int], clients: int) -> list[int]:
    """The clients of a round by power-of-choice, ascending, given what each candidate loses; see `draw_clients`.

    None if no loss is finite.
    """
    if not any(math.isfinite(losses[client]) for client in candidates):
        return []
    return sorted(sorted(candidates, key=lambda client: (-losses[client], client))[:clients])


def votes_of_chosen(chosen: Sequence[int], total: int, weighting: Weighting) -> NDArray[np.float64]:
    """(K,) K p_k of a round by power-of-choice, given who has been chosen of K = `total` clients."""
    votes: NDArray[np.float64] = np.zeros(total)
    votes[list(chosen)] = 1.0 if weighting == "all" else total / len(chosen)
    return votes


def without(
    votes: NDArray[np.float64], counts: NDArray[np.bool_], total: int, weighting: Weighting
) -> NDArray[np.float64]:
    """(c,) K p_k of the clients of a round, 0 where their work does not count; with "sampled" the others' sum to K."""
    left = np.where(counts, votes, 0.0)
    if weighting == "sampled" and not counts.all() and left.any():
        left *= total / math.fsum(left)
    return left


def chosen_by_server(losses: Tensor, candidates: Sequence[int], clients: int, network: Network) -> list[int]:
    """Whom the server chooses by power-of-choice, known to all nodes, which it tells.

    Args:
        losses: (k, 1), of which those of the candidates go up.
        candidates: The same on every rank.
        clients: How many it is to choose.
        network: Links all.
    """
    heard = collect(losses, candidates, network)
    told = torch.full((len(losses), clients), -1.0, dtype=torch.float64)
    if heard:
        chosen = choose_clients({client: float(loss) for client, loss in heard.items()}, candidates, clients)
        told[-1, : len(chosen)] = torch.tensor(chosen, dtype=torch.float64)
    return [int(client) for client in network.rows(told, [server_of(network)])[0].tolist() if client >= 0]
