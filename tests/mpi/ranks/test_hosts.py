"""On four ranks of two hosts: what is placed sends less between hosts, and groups are those of the hosts."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from algorithms import Algorithm, ChocoSGD, Full, LeaderSGD
from gossip.network import Communicator
from gossip.workloads import LeastSquares
from tests.mpi.helpers import split_into_hosts, trained
from topologies import Topology, torus

pytestmark = pytest.mark.ranks(4)


@pytest.fixture
def hosts(processes: Communicator) -> Iterator[Communicator]:
    """Two hosts with two of the ranks each."""
    found = split_into_hosts(2)
    yield found
    found.close()


def options(algorithm: Algorithm) -> dict[str, Any]:
    """A run on a torus whose nodes are in no good order."""
    random = np.random.default_rng(0)
    order = random.permutation(16)
    return {
        "workload": LeastSquares(random.normal(size=(16, 4, 3)), random.normal(size=(16, 4))),
        "topology": Topology.from_matrix(torus(16).matrix.toarray()[np.ix_(order, order)]),
        "algorithm": algorithm,
        "oracle": Full(),
        "steps": 10,
    }


def test_less_crosses_between_hosts_and_the_bits_are_the_same(hosts: Communicator) -> None:
    run = options(ChocoSGD(lr=0.05, gamma=0.3))
    contiguous, *_ = trained(hosts, **run)
    placed, _, summary = trained(hosts, **run, placement="spectral")
    assert torch.equal(placed, contiguous)
    if hosts.rank == 0:
        sent = summary["bytes_between_hosts_per_round"]
        before = summary["bytes_between_hosts_per_round_if_contiguous"]
        assert 0 < sent < before and sent % (3 * 8) == 0


def test_leader_sgd_has_a_group_on_each_host(hosts: Communicator) -> None:
    """The same groups in one process give the same bits."""
    leader, seen = LeaderSGD(lr=0.05, period=2, global_every=2), []
    for placement in ("contiguous", "spectral"):
        model, _, summary = trained(hosts, **options(leader), placement=placement)
        groups = summary["groups"]
        given = dataclasses.replace(leader, groups=tuple(groups))
        alone, _, summary = trained(Communicator(), **options(given))
        assert torch.equal(model, alone)
        assert "groups" not in summary
        seen.append(groups)
    assert seen[0] == [0] * 8 + [1] * 8
    assert seen[1] != seen[0] and sorted(seen[1]) == seen[0] and seen[1][0] == 0
