"""Asynchronous runs of several ranks: they end, lose nothing, and their schedules give the same models again."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Sequence
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor

from algorithms import Minibatch, Sample
from algorithms.asynchronous import AdPsgd, Asynchronous, AsynchronousPushSum
from algorithms.asynchronous.push_sum import PushSumNode
from gossip.drivers.gradients import NodeGradients
from gossip.drivers.mail import OVERHEAD, MailDriver
from gossip.drivers.nodes import Gradient
from gossip.drivers.replay import ReplayDriver
from gossip.drivers.schedule import GRADIENT, SECOND
from gossip.network import Communicator
from gossip.network.mail import Letter
from tests.gossip.drivers.test_replay import METHODS, gradients, graph_of
from topologies import Topology, exponential, ring


def prepared(
    processes: Communicator, method: Asynchronous, graph: Topology, gradient: Gradient, x: Tensor, **options: int
) -> MailDriver:
    """At its start."""
    from gossip.network.transports.mpi_mail import MpiMail
    from gossip.processes.mpi import MpiCommunicator

    assert isinstance(processes, MpiCommunicator)
    hosted = [range(rank, graph.n, processes.size) for rank in range(processes.size)]
    here = hosted[processes.rank]
    programs = method.programs(graph, here, x[list(here)])
    return MailDriver(programs, graph, gradient, MpiMail(processes, hosted), seed=3, **options)


def start(graph: Topology) -> Tensor:
    return torch.zeros(graph.n, 31, dtype=torch.float64)


def numbers(n: int) -> Tensor:
    return torch.arange(n, dtype=torch.float64)[:, None]


class SlowedDown:
    """Gradients that take node 1 longer."""

    def __init__(self, gradients: NodeGradients) -> None:
        self._gradients = gradients

    def __call__(self, nodes: Sequence[int], x: Tensor, steps: Sequence[int]) -> Sample:
        time.sleep(0.01 * (1 in nodes))
        return self._gradients(nodes, x, steps)


@pytest.mark.ranks(3)
@pytest.mark.parametrize("name", sorted(METHODS))
def test_at_marks_nothing_is_under_way_and_a_replay_has_the_models(processes: Communicator, name: str) -> None:
    (method, topology), graph = METHODS[name], graph_of(name)
    slow = SlowedDown(gradients(topology, Minibatch(8)))
    driver = prepared(processes, method, graph, slow, start(graph))
    found, counts = [], []
    for _ in range(2):
        wanted = driver.gradients + 3 * topology.n
        driver.advance(gradients=wanted)
        schedule = driver.schedule()
        assert wanted <= driver.gradients == np.count_nonzero(schedule.kinds == 1) and driver.more
        found.append(driver.models())
        counts.append(driver.gradients)
    driver.advance(gradients=driver.gradients)  # which no process begins
    assert len(driver.schedule()) == len(schedule)
    assert np.cumsum(schedule.kinds == 1)[schedule.marks - 1].tolist() == counts
    messages = schedule.kinds == 2
    marks = np.searchsorted(schedule.marks, np.arange(len(schedule)), side="right")
    assert (marks[schedule.causes[messages]] == marks[messages]).all()
    programs = method.programs(graph, range(graph.n), start(graph))
    again = ReplayDriver(programs, graph, gradients(topology, Minibatch(8)), schedule, seed=3)
    for models in found:
        again.advance()
        assert torch.equal(again.models()[processes.rank :: processes.size], models)
        assert not again.under_way()


@pytest.mark.ranks(2, 4)
@pytest.mark.parametrize("name", ["ad-psgd-all", "push-sum"])
def test_it_comes_to_an_end(processes: Communicator, name: str) -> None:
    (method, topology), graph = METHODS[name], graph_of(name)
    driver = prepared(processes, method, graph, SlowedDown(gradients(topology, Minibatch(8))), start(graph), steps=10)
    driver.run()
    assert not driver.more and driver.gradients == 10 * topology.n
    schedule = driver.schedule()
    assert np.bincount(schedule.nodes[schedule.kinds == 1]).tolist() == [10] * topology.n


@pytest.mark.ranks(3)
@pytest.mark.parametrize("name", ["ad-psgd", "fed-at"])
def test_it_goes_on_from_what_was_saved_with_other_nodes_on_each_rank(processes: Communicator, name: str) -> None:
    (method, topology), graph = METHODS[name], graph_of(name)
    first = prepared(processes, method, graph, SlowedDown(gradients(topology, Minibatch(8))), start(graph))
    first.advance(gradients=3 * topology.n)
    first_models = first.models().clone()
    (shared, trees), schedule = first.saved(), first.recorded()
    mine = range(processes.rank, graph.n, processes.size)
    saved = [tree | {"events": events} for tree, events in zip(trees, schedule.by_node(mine), strict=True)]
    everyone = dict(each for part in processes.gather(list(zip(mine, saved, strict=True))) for each in part)

    from gossip.network.transports.mpi_mail import MpiMail

    hosted = [list(range(rank, graph.n, 3)) for rank in (2, 0, 1)]  # each has what another had
    here = hosted[processes.rank]
    programs = [everyone[node]["program"] for node in here]
    slow = SlowedDown(gradients(topology, Minibatch(8)))
    then = MailDriver(programs, graph, slow, MpiMail(processes, hosted), seed=3)  # type: ignore[arg-type]
    then.restore(shared | {"marks": schedule.marks.tolist()}, [everyone[node] for node in here])
    before = max(everyone[node]["clock"] for node in here) / SECOND  # as these nodes were on different ranks
    then.advance(gradients=6 * topology.n)
    assert then.gradients >= 6 * topology.n and then.seconds > before
    assert int(np.sum(processes.gather(then.traffic.messages.sum().item()))) == np.sum(then.schedule().kinds == 2)
    again = ReplayDriver(
        method.programs(graph, range(graph.n), start(graph)), graph, gradients(topology, Minibatch(8)),
        then.schedule(), seed=3,
    )  # fmt: skip
    again.advance()
    assert torch.equal(again.models()[list(mine)], first_models)
    again.advance()
    assert torch.equal(again.models()[here], then.models()) and not again.more


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
    driver.advance(gradients=200)
    schedule = driver.schedule()
    gradients = np.bincount(schedule.nodes[schedule.kinds == GRADIENT], minlength=4)
    assert gradients[0] < 10 and gradients[[1, 3]].min() > gradients[2] / 4


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
    driver = prepared(processes, AsynchronousPushSum(), exponential(8), nothing, numbers(8), outstanding=1)
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

    driver = prepared(processes, AsynchronousPushSum(), exponential(6), gradient, numbers(6), outstanding=limit)
    driver.advance(seconds=2.0)
    assert mass_of(processes, driver) == pytest.approx([15, 6], abs=1e-11)
    began, ended = processes.broadcast(stopped)
    meanwhile = sum(began + 0.02 < each < ended for each in calls)
    assert meanwhile == 0 if processes.rank == 2 else meanwhile >= 10
    assert most[0] <= limit + 10 * OVERHEAD  # what a process has sent with its last gradients
    assert calls[-1] > ended  # all have gone on


def progressing() -> bool:
    return any(thread.name == "gossip-progress" for thread in threading.enumerate())


@pytest.mark.ranks(2)
def test_from_the_first_large_letter_to_the_mark_a_thread_lets_mpi_go_on(processes: Communicator) -> None:
    from gossip.network.transports.mpi_mail import LARGE, MpiMail
    from gossip.processes.mpi import MpiCommunicator

    assert isinstance(processes, MpiCommunicator)
    mail, other = MpiMail(processes, [[0], [1]]), 1 - processes.rank
    came: list[Letter] = []

    def there(count: int) -> bool:
        letter = mail.arrived()
        came.extend([letter] if letter is not None else [])
        return len(came) == count and not mail.outstanding[0]

    for count, size in enumerate((4, LARGE), 1):
        assert not progressing()
        mail.send(other, Letter(processes.rank, other, torch.full((1, size), 2.0), "", 0))
        assert progressing() == (size == LARGE)
        mail.wait(partial(there, count))
        assert came[-1].row.sum() == 2 * size
    mail.mark()
    assert not progressing()
