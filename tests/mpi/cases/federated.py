"""Federated methods, whose topology does not matter."""

from __future__ import annotations

from algorithms import Adam, FedAdam, FedAvg, FedMom, FedNova, FedProx, FedYogi, Minibatch, Saga, Scaffold
from gossip.workloads import Digits, Dirichlet
from tests.mpi.cases import Case

CASES = [
    Case(FedAvg(lr=0.05, local_steps=3)),
    Case(FedAvg(lr=0.05, local_steps=2, participation=3, sampling="independent", weighting="unbiased")),
    Case(
        FedAvg(
            lr=0.01, local_steps=2, participation=0.5, sampling="proportional", weights="examples", optimizer=Adam()
        ),
        workload=Digits(split=Dirichlet(0.5)),
        oracle=Minibatch(8),
        steps=6,
    ),
    Case(FedProx(lr=0.05, local_steps=3, mu=0.5, weights=(1.0, 2.0, 3.0, 0.0, 5.0, 1.0, 2.0))),
    Case(FedMom(lr=0.05, local_steps=3, participation=2)),
    Case(FedAdam(lr=0.05, local_steps=3, participation=4)),
    Case(FedYogi(lr=0.05, local_steps=3, sampling="power-of-choice", participation=2, candidates=4)),
    Case(FedNova(lr=0.05, local_steps=3, participation=4, client_steps=(1, 2, 3, 3, 1, 2, 3))),
    Case(Scaffold(lr=0.05, local_steps=3, participation=4)),
    Case(FedAvg(lr=0.05, local_steps=3, participation=2), oracle=Saga(2)),  # which sees idle clients, too
    Case(
        FedYogi(lr=0.05, local_steps=2, sampling="power-of-choice", participation=2, candidates=3, server="replicated")
    ),
    Case(Scaffold(lr=0.05, local_steps=3, participation=4, server="replicated")),
]
