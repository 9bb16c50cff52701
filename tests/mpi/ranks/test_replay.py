"""A schedule recorded in one process gives the same bits on several ranks, of which each has some of the nodes."""

from __future__ import annotations

import pytest
import torch

from algorithms import Minibatch
from gossip.drivers.replay import ReplayDriver
from gossip.network import Communicator
from tests.gossip.drivers.test_replay import METHODS, gradients, graph_of, recorded


@pytest.mark.ranks(2, 3, 4)
@pytest.mark.parametrize("name", sorted(METHODS))
def test_the_models_are_those_of_one_process(processes: Communicator, name: str) -> None:
    from gossip.network.transports.mpi_mail import MpiMail
    from gossip.processes.mpi import MpiCommunicator

    assert isinstance(processes, MpiCommunicator)
    (method, topology), graph = METHODS[name], graph_of(name)
    run = recorded(name, Minibatch(8))
    hosted = [range(rank, graph.n, processes.size) for rank in range(processes.size)]
    here = hosted[processes.rank]
    programs = method.programs(graph, here, torch.zeros(len(here), 31, dtype=torch.float64))
    every_gradient = gradients(topology, Minibatch(8))
    again = ReplayDriver(programs, graph, every_gradient, run.schedule, seed=3, mail=MpiMail(processes, hosted))
    again.run()
    assert torch.equal(again.models(), run.models()[list(here)])
    left = sorted((letter.sender, letter.to) for letter in run.under_way() if letter.to in here)
    assert sorted((letter.sender, letter.to) for letter in again.under_way()) == left
