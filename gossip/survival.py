"""A run goes on when ranks are lost, with an MPI library that can (ULFM: Open MPI under `mpirun --with-ft ulfm`).

Ranks are some steps apart when one of them dies, and in the middle of a step. So each keeps copies of its state between
two steps, at the same steps on all ranks and two at a time: before a rank drops one, all others have the next. When
an exchange fails, the survivors

1. revoke the communicator, so that all of them notice, and make one of those that are left;
2. go back to the last step of which all have a copy; between two steps nothing is under way, so what is lost is exactly
   what the lost nodes held;
3. drop the lost nodes, heal the topology (`topologies.heal`), link the others anew, and ask the algorithm for a state
   to go on with (`Algorithm.survive`);

or, with "rehost", distribute all nodes of the last checkpoint over the ranks that are left. Whether a step of this has
worked is agreed upon by all before anyone builds on it, so that further losses meanwhile are just met in the same way.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from mpi4py import MPI

from algorithms import Algorithm, Later, LearningRate, State, Traffic
from gossip.checkpoint import Moment
from gossip.checkpoint.store import checkpoints
from gossip.errors import GossipError, UsageError
from gossip.launch import log
from gossip.needs import check_needs
from gossip.network import connect
from gossip.network.communicator import listed
from gossip.network.mpi import MpiCommunicator
from topologies import Schedule, heal

if TYPE_CHECKING:
    from gossip.trainer import Finished, Stage, Training

T = TypeVar("T")

INTERVAL = 10  # steps from one copy to the next


@dataclass(frozen=True)
class Copy:
    """What a rank needs to go on from between two steps."""

    moment: Moment
    round: int
    traffic: Traffic
    history: list[dict[str, Any]]


class Survival:
    """Conducts a training through the loss of ranks.

    Args:
        training: What is trained.
        processes: The ranks; the same object becomes that of the survivors.
        stage: What the run stands on at first.

    Attributes:
        losses: What was lost when, in words.
    """

    def __init__(self, training: Training, processes: MpiCommunicator, stage: Stage) -> None:
        self.losses: list[str] = []
        self._training, self._processes, self._stage = training, processes, stage
        self._ranks: list[str] = processes.gather(
            processes.name
        )  # of those that are there, as they were numbered first
        self._copies: list[Copy] = []
        self._all_have_it: MPI.Request | None = None
        self._mass: float | None = None  # of all nodes, as far as it is conserved
        self._noticed = 0.0  # when the last loss was
        self._cut: int | None = None  # the step from which the run goes on after it
        self._story = ""

    def conduct(self) -> Finished:
        """Train to the end with whoever is left.

        Raises:
            GossipError: as a training does, on every rank.
        """
        while True:
            finished = self._agreed(lambda: self._training.conduct(self._stage, self._processes, self))
            if finished is not None:
                return finished
            self._noticed = time.time()
            stage = None
            while stage is None:
                self._go_on_without_the_lost()
                stage = self._agreed(self._rehosted if self._training.on_failure == "rehost" else self._healed)
            self._stage, self._copies, self._all_have_it = stage, [], None

    def keep(self, step: int, state: State, oracle: State, seconds: float, network: Any, history: Any) -> None:
        """To be called before each step with all that it depends on."""
        if self._cut is not None and step > self._cut:
            self._say_that_it_goes_on()
        if self._training.on_failure == "rehost" or (step % INTERVAL and self._copies):
            return
        if self._all_have_it is not None:
            self._processes.wait([self._all_have_it])
        self._all_have_it = self._processes.mpi.Ibarrier()
        algorithm, oracle, traffic = deepcopy((state, oracle, network.traffic))
        moment = Moment(step, algorithm, oracle, seconds)
        self._copies = [*self._copies[-1:], Copy(moment, network.round, traffic, list(history))]

    def close(self) -> None:
        """Complete what is under way."""
        if self._all_have_it is not None:
            self._processes.wait([self._all_have_it])

    def _agreed(self, function: Callable[[], T]) -> T | None:
        """What it gives, if it has worked on all ranks; else None, on all that are left."""
        result: T | GossipError | None = None
        try:
            result = function()
        except MPI.Exception as error:
            log.warning("communication failed: %s", error)
            self._processes.revoke()
        except GossipError as error:  # raised alike on all ranks
            result = error
        if not self._processes.agree(result is not None):
            return None
        if isinstance(result, GossipError):
            raise result
        return result

    def _go_on_without_the_lost(self) -> None:
        gone = self._processes.go_on()
        hosted = self._stage.hosted
        if gone:
            nodes = {rank: [self._stage.ids[i] for i in hosted[rank]] for rank in gone}
            told = [f"{self._ranks[rank]} ({listed(nodes[rank], 'node')})" for rank in gone]
            self._story = " and ".join([*([self._story] if self._cut is None and self._story else []), *told])
            self._cut = None
        kept = [rank for rank in range(len(hosted)) if rank not in gone]
        self._ranks = [self._ranks[rank] for rank in kept]
        self._stage = replace(self._stage, hosted=[hosted[rank] for rank in kept])

    def _healed(self) -> Stage:
        """The stage of the nodes that are left."""
        stage, processes, training = self._stage, self._processes, self._training
        cut = int(processes.post_maximum([-self._copies[-1].moment.step])()[0]) * -1
        (copy,) = (each for each in self._copies if each.moment.step == cut)
        survivors = sorted(node for nodes in stage.hosted for node in nodes)
        topology = processes.from_root(lambda: self._heal(stage.topology, survivors))
        ids = [stage.ids[node] for node in survivors]
        hosted = [np.searchsorted(survivors, nodes).tolist() for nodes in stage.hosted]
        network = connect(topology, processes, training.seed, "peer-to-peer", hosted)
        network.round = copy.round
        algorithm, oracle = deepcopy((copy.moment.algorithm, copy.moment.oracle))
        with network.unrecorded():
            before = self._total(training.algorithm, algorithm, network)
            prepared = processes.together(lambda: training.prepared(stage.workload, ids))
            state = processes.together(lambda: prepared.survive(algorithm, network))
            after = self._total(training.algorithm, state, network)
        network.resume(copy.round, deepcopy(copy.traffic), [], [])
        if state.step < cut:  # it has begun anew, and its schedules have not
            training = replace(training, algorithm=later(training.algorithm, cut - state.step))
        links = len(topology.graph.edges)
        note = f"goes on after step {cut} on {processes.size} ranks with {len(survivors)} nodes and {links} links"
        if before is not None and after is not None:
            total = float(stage.topology.n) if self._mass is None else self._mass
            note += f"; push-sum weight {after:.6g} of {total:.6g} is left, {total - after:.6g} is lost"
            if after != before:
                note += f"; {after - before:.6g} was in flight and has come back to its senders"
        self._training, self._cut, self._note, self._left = training, cut, note, after
        moment = Moment(cut, state, oracle, copy.moment.seconds)
        history = [record for record in copy.history if record["step"] < cut]
        return replace(
            stage, topology=topology, hosted=hosted, network=network, ids=ids, moment=moment, history=history
        )

    def _heal(self, topology: Schedule, survivors: Sequence[int]) -> Schedule:
        algorithm = self._training.algorithm
        if not set(range(topology.n - algorithm.auxiliary, topology.n)) <= set(survivors):
            raise UsageError(f"{type(algorithm).__name__} cannot go on without a node that it needs and that was lost")
        healed = heal(topology, survivors)
        check_needs(algorithm, healed)
        return healed

    def _rehosted(self) -> Stage:
        """The stage of all nodes, as the last checkpoint has them, on the ranks that are left."""
        directory = self._stage.directory
        found = self._processes.from_root(lambda: checkpoints(directory) if directory else [])
        again = replace(self._training, resume=found[-1] if found else None)
        stage = again.prepare(self._processes, directory)
        cut = int(found[-1].name.split("-")[-1]) if found else 0
        self._cut, self._left = cut, None
        whence = f"the checkpoint of step {cut}" if found else "the beginning, as there is no checkpoint yet"
        self._note = f"goes on with all nodes from {whence} on {self._processes.size} ranks"
        return stage

    def _total(self, algorithm: Algorithm, state: State, network: Any) -> float | None:
        """The mass of all nodes that mixing conserves, if the algorithm has such a thing."""
        return None if algorithm.mass is None else float(network.sum(getattr(state, algorithm.mass).double()))

    def _say_that_it_goes_on(self) -> None:
        seconds = time.time() - self._noticed
        self._mass = self._left
        stamp = time.strftime("%H:%M:%S")
        story = (
            f"{self._story} lost: the run {self._note}; next step done at {stamp}, {seconds:.2f} s after it was noticed"
        )
        self.losses.append(story)
        self._cut, self._story = None, ""
        log.warning("%s", story)
        if self._processes.rank == 0:
            print(f"gossip: {story}", file=sys.stderr, flush=True)


def later(algorithm: Algorithm, steps: int) -> Algorithm:
    """The same one, with the learning rates that its schedules have so many steps later."""
    schedules = {
        field.name: Later(value, steps)
        for field in fields(algorithm)
        if isinstance(value := getattr(algorithm, field.name), LearningRate)
    }
    return replace(algorithm, **schedules) if schedules else algorithm
