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

import time
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np
from mpi4py import MPI

from algorithms import Algorithm, Later, LearningRate, OracleState, State, Traffic
from gossip.checkpoint import Moment
from gossip.checkpoint.store import checkpoints, step_of
from gossip.errors import GossipError, UsageError, say
from gossip.execution.stage import Stage
from gossip.needs import check_needs
from gossip.network import InProcessNetwork, connect
from gossip.network.transports.peer_to_peer.transport import PeerToPeerNetwork
from gossip.processes.communicator import listed
from gossip.processes.mpi import MpiCommunicator
from gossip.processes.signals import Signals
from gossip.records.logs import log
from topologies import Schedule, heal

if TYPE_CHECKING:
    from gossip.execution.training import Finished, Training

T = TypeVar("T")

INTERVAL = 10  # steps from one copy to the next


@dataclass(frozen=True)
class Copy:
    """What a rank needs to go on from between two steps."""

    moment: Moment
    round: int
    traffic: Traffic
    history: list[dict[str, Any]]


@dataclass(frozen=True)
class Recovery:
    """How a run goes on after a loss.

    Attributes:
        stage: On what,
        training: and with which schedules.
        copies: What can be gone back to.
        step: Those that are done.
        note: The same in words.
        mass: Of the nodes that are left, as far as it is conserved.
    """

    stage: Stage
    training: Training
    copies: list[Copy]
    step: int
    note: str
    mass: float | None = None


class Survival:
    """Conducts a training through the loss of ranks.

    Args:
        training: What is trained.
        processes: The ranks; the same object becomes that of the survivors.
        stage: What the run stands on at first.
        signals: May stop it.

    Attributes:
        losses: What was lost when, in words.
    """

    def __init__(self, training: Training, processes: MpiCommunicator, stage: Stage, signals: Signals) -> None:
        self.losses: list[str] = []
        self._signals = signals
        self._training, self._processes, self._stage = training, processes, stage
        self._ranks: list[str] = processes.gather(processes.name)  # that are there, as they were numbered first
        self._copies: list[Copy] = []
        self._all_have_it: MPI.Request | None = None
        self._mass = float(stage.topology.n)
        self._untold: list[str] = []  # what has been lost since the last step
        self._noticed = 0.0  # when
        self._recovery: Recovery | None = None  # from it

    def conduct(self) -> Finished:
        """Train to the end with whoever is left.

        Raises:
            GossipError: as a training does, on every rank.
        """
        while True:
            finished = self._agreed(lambda: self._training.conduct(self._stage, self._processes, self._signals, self))
            if finished is not None:
                return finished
            if not self._untold:
                self._noticed = time.time()
            recovery = None
            while recovery is None:
                self._go_on_without_the_lost()
                recovery = self._agreed(self._rehosted if self._training.on_failure == "rehost" else self._healed)
            self._recovery, self._stage, self._training = recovery, recovery.stage, recovery.training
            self._copies, self._all_have_it = recovery.copies, None

    def keep(
        self,
        step: int,
        state: State,
        oracle: OracleState,
        seconds: float,
        network: InProcessNetwork,
        history: Sequence[dict[str, Any]],
    ) -> None:
        """To be called before each step with all that it depends on."""
        if self._recovery is not None and step > self._recovery.step:
            self._tell(self._recovery)
        if self._training.on_failure == "rehost" or step % INTERVAL:
            return
        if self._copies and self._copies[-1].moment.step == step:
            return  # it is from there that the run goes on
        if self._all_have_it is not None:
            self._processes.wait([self._all_have_it])
        self._all_have_it = self._processes.mpi.Ibarrier()
        algorithm, oracle, traffic = deepcopy((state, oracle, network.traffic))
        moment = Moment(step, algorithm, oracle, seconds)
        self._copies = [*self._copies[-1:], Copy(moment, network.round, traffic, list(history))]

    def close(self) -> None:
        """Complete what is under way, and say what has not been said."""
        if self._recovery is not None:  # there was no further step
            self._tell(self._recovery)
        if self._all_have_it is not None:
            self._processes.wait([self._all_have_it])
            self._all_have_it = None

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
        cast(PeerToPeerNetwork, self._stage.network).abandon()
        gone, hosted = self._processes.go_on(), self._stage.hosted
        if not gone:
            raise RuntimeError("communication failed although all ranks are there; their logs say how")
        for rank in gone:
            nodes = [self._stage.ids[node] for node in hosted[rank]]
            self._untold.append(f"{self._ranks[rank]} ({listed(nodes, 'node')})")
        kept = [rank for rank in range(len(hosted)) if rank not in gone]
        self._ranks = [self._ranks[rank] for rank in kept]
        self._stage = replace(self._stage, hosted=[hosted[rank] for rank in kept])

    def _healed(self) -> Recovery:
        """With the nodes that are left."""
        stage, processes, training = self._stage, self._processes, self._training
        survivors = sorted(node for nodes in stage.hosted for node in nodes)
        topology = processes.from_root(lambda: self._heal(stage.topology, survivors))
        ids = [stage.ids[node] for node in survivors]
        hosted = [np.searchsorted(survivors, nodes).tolist() for nodes in stage.hosted]
        network = connect(topology, processes, training.seed, "peer-to-peer", hosted)
        stage = replace(stage, topology=topology, hosted=hosted, network=network, ids=ids, whole=False)
        note = f"on {processes.size} ranks with {len(ids)} nodes and {len(topology.graph.edges)} links"
        if training.keeps:  # what is left is another run than that of the checkpoints
            note += ", without further checkpoints"
            self._signals.ignore()

        last = self._copies[-1].moment.step if self._copies else -1
        step = -int(processes.post_maximum([-last])()[0])
        if step < 0:  # some rank had not even begun
            return Recovery(stage, training, [], 0, f"begins anew {note}", float(len(ids)))
        (copy,) = (each for each in self._copies if each.moment.step == step)
        network.round = copy.round
        algorithm, oracle = deepcopy((copy.moment.algorithm, copy.moment.oracle))
        prepared = processes.together(lambda: training.prepared(stage.workload, ids))
        with network.unrecorded():
            before = _mass(prepared, algorithm, network)
            state = processes.together(lambda: prepared.survive(algorithm, network))
            mass = _mass(prepared, state, network)
        network.resume(copy.round, deepcopy(copy.traffic), [], [])
        if state.step < step:  # it has begun anew, and its schedules have not
            training = replace(training, algorithm=later(training.algorithm, step - state.step))
        note = f"goes on after step {step} {note}"
        if before is not None and mass is not None:
            note += f"; push-sum weight {mass:.6g} of {self._mass:.6g} is left, {self._mass - mass:.6g} is lost"
            if mass != before:
                note += f"; {mass - before:.6g} was in flight and has come back to its senders"
        moment = Moment(step, state, oracle, copy.moment.seconds)
        history = [record for record in copy.history if record["step"] < step]
        kept = [Copy(deepcopy(moment), copy.round, copy.traffic, history)]
        return Recovery(replace(stage, moment=moment, history=history), training, kept, step, note, mass)

    def _heal(self, topology: Schedule, survivors: Sequence[int]) -> Schedule:
        algorithm = self._training.algorithm
        if not set(range(topology.n - algorithm.auxiliary, topology.n)) <= set(survivors):
            raise UsageError(f"{type(algorithm).__name__} cannot go on without a node that it needs and that was lost")
        healed = heal(topology, survivors)
        check_needs(algorithm, healed)
        return healed

    def _rehosted(self) -> Recovery:
        """With all nodes, as the last checkpoint has them, on the ranks that are left."""
        directory = self._stage.directory
        found = self._processes.from_root(lambda: checkpoints(directory) if directory else [])
        again = replace(self._training, resume=found[-1] if found else None)
        stage = again.prepare(self._stage.topology, self._processes, directory)
        step = step_of(found[-1]) if found else 0
        whence = f"the checkpoint of step {step}" if found else "the beginning, as there is no checkpoint yet"
        note = f"goes on with all nodes from {whence} on {self._processes.size} ranks"
        return Recovery(stage, self._training, [], step, note)

    def _tell(self, recovery: Recovery) -> None:
        """The first step after a loss is done."""
        now = datetime.now()
        seconds = now.timestamp() - self._noticed
        self.losses.append(
            f"{' and '.join(self._untold)} lost: the run {recovery.note}; "
            f"next step done at {now.isoformat(timespec='milliseconds')}, {seconds:.2f} s after it was noticed"
        )
        if recovery.mass is not None:
            self._mass = recovery.mass
        self._recovery, self._untold = None, []
        log.warning("%s", self.losses[-1])
        if self._processes.rank == 0:
            say(f"gossip: {self.losses[-1]}")


def _mass(algorithm: Algorithm, state: State, network: InProcessNetwork) -> float | None:
    """Of all nodes, what mixing conserves; None if the algorithm has no such thing. Collective."""
    mass = algorithm.mass(state)
    return None if mass is None else float(network.sum(mass.double()))


def later(algorithm: Algorithm, steps: int) -> Algorithm:
    """The same one, with the learning rates that its schedules have so many steps later."""
    schedules = {
        field.name: Later(value, steps)
        for field in fields(algorithm)
        if isinstance(value := getattr(algorithm, field.name), LearningRate)
    }
    return replace(algorithm, **schedules) if schedules else algorithm
