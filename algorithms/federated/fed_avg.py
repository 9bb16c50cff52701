"""FedAvg: clients train on their own, then the server averages."""

from __future__ import annotations

from dataclasses import dataclass

from algorithms.federated.federated import Federated, FederatedState


@dataclass(frozen=True)
class FedAvg(Federated[FederatedState]):
    """Federated averaging; for rounds, what is sent, and the options see `Federated`.

        g = sum_k p_k (w - u_k)            u_k: client k's parameters after `local_steps` iterations from w
        w <- w - server_lr g

    With server_lr = 1 and p_k that sum to 1, w is the weighted mean of the u_k: of the clients that take part with the
    weighting "sampled". With "all", the absent ones vote for w; server_lr = K / M then makes up for it where M of K
    equal clients take part. Its fixed point is not the optimum if clients differ and local_steps > 1.

    McMahan, Moore, Ramage, Hampson, Aguera y Arcas, "Communication-Efficient Learning of Deep Networks from
    Decentralized Data", AISTATS 2017, arXiv 1602.05629. As a method of biased gradients with a rate of the server's
    own: Huo, Yang, Gu, Carin, Huang, arXiv 2002.02090; Reddi et al., arXiv 2003.00295.
    """
