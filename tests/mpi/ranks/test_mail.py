"""Asynchronous runs of several ranks: they end, lose nothing, and their schedules give the same models again."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from algorithms import Minibatch, Sample
from algorithms.asynchronous import AdPsgd, AsynchronousPushSum
from algorithms.asynchronous.push_sum import PushSumNode
from gossip.drivers.gradients import NodeGradients
from gossip.drivers.mail import OVERHEAD, MailDriver
from gossip.drivers.nodes import Gradient
from gossip.drivers.replay import ReplayDriver
from gossip.drivers.schedule import GRADIENT, Schedule
from gossip.network import Communicator
from tests.gossip.drivers.test_replay import METHODS, WITHOUT_SERVERS, columns, gradients
from topologies import Topology, exponential, ring


def prepared(
    processes: Communicator, name: str, topology: Topology, gradient: Gradient, d: int, **options: int
) -> MailDriver:
    """At its start."""
    from gossip.network.transports.mpi_mail import MpiMail
    from gossip.processes.mpi import MpiCommunicator

    assert isinstance(processes, MpiCommunicator)
    hosted = [range(rank, topology.n, processes.size) for rank in range(processes.size)]
    here = hosted[processes.rank]
    method = METHODS[name][0] if name in METHODS else AsynchronousPushSum()
    x = torch.zeros(topology.n, d, dtype=torch.float64) + torch.arange(topology.n)[:, None]
    return MailDriver(
        method.programs(topology, here, x[list(here)]),
        topology,
        gradient,
        MpiMail(processes, hosted),
        seed=3,
        **options,
    )


class SlowedDown:
    """Gradients that take node 1 longer."""

    def __init__(self, gradients: NodeGradients) -> None:
        self._gradients = gradients

    def __call__(self, nodes: Sequence[int], x: Tensor, steps: Sequence[int]) -> Sample:
        time.sleep(0.01 * (1 in nodes))
        return self._gradients(nodes, x, steps)


@pytest.mark.ranks(2, 3, 4)
@pytest.mark.parametrize("name", WITHOUT_SERVERS)
def test_its_schedule_gives_its_models_in_one_process(processes: Communicator, name: str) -> None:
    method, topology = METHODS[name]
    driver = prepared(processes, name, topology, SlowedDown(gradients(topology, Minibatch(8))), 31, steps=10)
    driver.run()
    schedule = driver.schedule()
    assert np.bincount(schedule.nodes[schedule.kinds == 1]).tolist() == [10] * topology.n
    x = torch.zeros(topology.n, 31, dtype=torch.float64) + torch.arange(topology.n)[:, None]
    programs = method.programs(topology, range(topology.n), x)
    again = ReplayDriver(programs, topology, gradients(topology, Minibatch(8)), schedule, seed=3)
    again.run()
    assert torch.equal(again.models()[processes.rank :: processes.size], driver.models())
    assert not again.under_way()  # nothing was lost, and nothing is left


@pytest.mark.ranks(4)
def test_a_rank_answers_while_it_computes(processes: Communicator) -> None:
    """Nodes 1 and 3 ask nodes 0 and 2, of which the first is slow, and wait for the answer."""
    from gossip.network.transports.mpi_mail import MpiMail
    from gossip.processes.mpi import MpiCommunicator

    assert isinstance(processes, MpiCommunicator)

    def slow(nodes: Sequence[int], x: Tensor, steps: Sequence[int]) -> Sample:
        time.sleep(0.2 if 0 in nodes else 0.003)
        return Sample(torch.zeros_like(x), x.new_zeros(len(x)))

    programs = AdPsgd().programs(ring(4), [processes.rank], torch.zeros(1, 2))
    driver = MailDriver(programs, ring(4), slow, MpiMail(processes, [[rank] for rank in range(4)]), seed=3)
    driver.advance(gradients=100)
    schedule = driver.schedule()
    gradients = np.bincount(schedule.nodes[schedule.kinds == GRADIENT], minlength=4)
    assert gradients[0] <= 10 and gradients[1:].min() > 2 * gradients[0]


def nothing(nodes: Sequence[int], x: Tensor, steps: Sequence[int]) -> Sample:
    time.sleep(1e-3)
    return Sample(torch.zeros_like(x), x.new_zeros(len(x)))


def mass_of(processes: Communicator, driver: MailDriver) -> list[float]:
    """Of all nodes: the sums of the numerators and of the weights."""
    nodes = [program.push_sum for program in driver.programs if isinstance(program, PushSumNode)]
    mine = [sum(float(each.numerator.sum()) for each in nodes), sum(float(each.weight.sum()) for each in nodes)]
    return np.sum(processes.gather(mine), axis=0).tolist()


@pytest.mark.ranks(3)
def test_mass_is_kept_where_few_letters_may_be_under_way(processes: Communicator) -> None:
    driver = prepared(processes, "", exponential(8), nothing, 1, outstanding=1)
    driver.advance(seconds=0.5)
    assert mass_of(processes, driver) == pytest.approx([28, 8], abs=1e-11)
    schedule = driver.schedule()
    assert np.bincount(schedule.nodes[schedule.kinds == 1], minlength=8).min() > 3
    assert schedule.seconds >= 0.4


@pytest.mark.ranks(3)
def test_others_go_on_beside_a_rank_that_stands_still_and_hold_no_more_than_they_may(processes: Communicator) -> None:
    victim = processes.gather(os.getpid())[2]
    calls, stopped, most = [0.0], [0.0, 0.0], [0]
    limit = 200 * OVERHEAD

    def go_on() -> None:
        stopped[1] = time.time()
        os.kill(victim, signal.SIGCONT)

    def gradient(nodes: Sequence[int], x: Tensor, steps: Sequence[int]) -> Sample:
        calls.append(time.time())
        if processes.rank == 0 and len(calls) == 20:
            stopped[0] = time.time()
            threading.Timer(1.0, go_on).start()
            os.kill(victim, signal.SIGSTOP)
        count, size = driver._mail.outstanding
        most[0] = max(most[0], size + count * OVERHEAD)
        return nothing(nodes, x, steps)

    driver = prepared(processes, "", exponential(6), gradient, 1, outstanding=limit)
    driver.advance(seconds=2.0)
    assert mass_of(processes, driver) == pytest.approx([15, 6], abs=1e-11)
    began, ended = processes.broadcast(stopped)
    meanwhile = sum(began + 0.02 < each < ended for each in calls)
    assert meanwhile == 0 if processes.rank == 2 else meanwhile >= 10
    assert most[0] <= limit + 10 * OVERHEAD  # what a process has sent with its last gradients
    assert calls[-1] > ended  # all have gone on


@pytest.mark.ranks(3)
@pytest.mark.parametrize("name", WITHOUT_SERVERS)
def test_at_marks_nothing_is_under_way_and_a_replay_has_the_models(processes: Communicator, name: str) -> None:
    method, topology = METHODS[name]
    driver = prepared(processes, name, topology, SlowedDown(gradients(topology, Minibatch(8))), 31, steps=15)
    found, told = [driver.models()], []
    while driver.more:
        wanted = driver.gradients + 3 * topology.n
        driver.advance(gradients=wanted)
        found.append(driver.models())
        assert min(wanted, 15 * topology.n) <= driver.gradients == np.count_nonzero(driver.schedule().kinds == 1)
        told.append((driver.gradients, driver.seconds))
    assert 2 <= len(told) <= 6  # a few gradients more than asked for, but not all of them
    schedule = driver.schedule()
    done = np.cumsum(schedule.kinds == 1)[schedule.marks - 1]
    assert done.tolist() == [each for each, _ in told]
    messages = schedule.kinds == 2
    marks = np.searchsorted(schedule.marks, np.arange(len(schedule)), side="right")
    assert (marks[schedule.causes[messages]] == marks[messages]).all()
    x = torch.zeros(topology.n, 31, dtype=torch.float64) + torch.arange(topology.n)[:, None]
    for mark, models in zip([0, *schedule.marks], found, strict=True):
        seen = schedule.clocks[:mark]
        until = Schedule(schedule.n, *(column[:mark] for column in columns(schedule)), clocks=seen)
        programs = method.programs(topology, range(topology.n), x)
        again = ReplayDriver(programs, topology, gradients(topology, Minibatch(8)), until, seed=3)
        again.run()
        assert torch.equal(again.models()[processes.rank :: processes.size], models)
        assert not again.under_way()
