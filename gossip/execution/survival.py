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

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import fields, replace
from typing import Any, TypeVar, cast

import numpy as np

from algorithms import Algorithm, Later, LearningRate, State
from gossip.checkpoint.places import checkpoints, step_of
from gossip.drivers.moment import Position
from gossip.errors import GossipError, UsageError
from gossip.execution.attempt import Finished
from gossip.execution.copies import Copies, Copy, Recovery
from gossip.execution.setting import Setting, prepare
from gossip.needs import check_needs
from gossip.network import RunNetwork, connect
from gossip.processes.communicator import listed
from gossip.processes.mpi import CommunicationError, MpiCommunicator
from gossip.processes.signals import Signals
from gossip.records.logs import log
from topologies import Schedule, heal

T = TypeVar("T")


class Survival:
    """Makes attempts at a run until one comes to its end.

    Args:
        setting: What the run stands on at first.
        processes: The ranks; the same object becomes that of the survivors.
        signals: May stop it.
    """

    def __init__(self, setting: Setting, processes: MpiCommunicator, signals: Signals) -> None:
        self._setting, self._processes, self._signals = setting, processes, signals
        self._rehosts = setting.training.on_failure == "rehost"
        self._copies = Copies(processes, not self._rehosts, float(setting.topology.n))
        self._ranks: list[str] = processes.gather(processes.name)  # that are there, as they were numbered first

    def conduct(self, all_models: bool) -> Finished:
        """Train to the end with whoever is left.

        Args:
            all_models: Whether every rank is to have the models of all nodes.

        Raises:
            GossipError: as a training does, on every rank.
        """
        while True:
            finished = agreed(lambda: self._copies.attempt(self._setting, self._signals, all_models), self._processes)
            if finished is not None:
                return finished
            self._copies.noticed()
            recovery = None
            while recovery is None:
                self._go_on_without_the_lost()
                recovery = agreed(self._rehosted if self._rehosts else self._healed, self._processes)
            self._setting = recovery.setting
            self._copies.recovered(recovery)

    def _go_on_without_the_lost(self) -> None:
        self._setting.network.abandon()
        gone, hosted = self._processes.go_on(), self._setting.hosted
        if not gone:
            raise RuntimeError("communication failed although all ranks are there; their logs say how")
        for rank in gone:
            nodes = [self._setting.ids[node] for node in hosted[rank]]
            self._copies.untold.append(f"{self._ranks[rank]} ({listed(nodes, 'node')})")
        kept = [rank for rank in range(len(hosted)) if rank not in gone]
        self._ranks = [self._ranks[rank] for rank in kept]
        self._setting = replace(self._setting, hosted=[hosted[rank] for rank in kept])

    def _healed(self) -> Recovery:
        """With the nodes that are left."""
        setting, processes, training = self._setting, self._processes, self._setting.training
        survivors = sorted(node for nodes in setting.hosted for node in nodes)
        topology = processes.from_root(lambda: self._heal(setting.topology, survivors))
        ids = [setting.ids[node] for node in survivors]
        hosted = [np.searchsorted(survivors, nodes).tolist() for nodes in setting.hosted]
        network = connect(topology, processes, training.seed, "peer-to-peer", hosted, spans=processes.spans)
        setting = replace(setting, topology=topology, hosted=hosted, network=network, ids=ids, whole=False)
        note = f"on {processes.size} ranks with {len(ids)} nodes and {len(topology.graph.edges)} links"
        if training.keeps:  # what is left is another run than that of the checkpoints
            note += ", without further checkpoints"
            self._signals.ignore()

        setting = replace(setting, position=None, history=())
        last = self._copies.kept[-1].position.step if self._copies.kept else -1
        step = -int(processes.post_maximum([-last])()[0])
        if step < 0:  # some rank had not even begun
            return Recovery(setting, [], 0, f"begins anew {note}", float(len(ids)))
        (copy,) = (each for each in self._copies.kept if each.position.step == step)
        return self._gone_back(setting, copy, note)

    def _gone_back(self, setting: Setting, copy: Copy, note: str) -> Recovery:
        """To this copy, on what is left."""
        training, network, processes, step = setting.training, setting.network, self._processes, copy.position.step
        network.round = copy.round
        before, oracle = deepcopy((copy.position.state, copy.position.oracle))
        algorithm = cast(Algorithm, processes.together(setting.algorithm))
        with network.unrecorded():
            mass_before = _mass(algorithm, before, network)
            state = processes.together(lambda: algorithm.survive(before, network))
            mass = _mass(algorithm, state, network)
        network.resume(copy.round, deepcopy(copy.traffic), [], [])
        if state.step < step:  # it has begun anew, and its schedules have not
            training = replace(training, algorithm=later(cast(Algorithm, training.algorithm), step - state.step))
        note = f"goes on after step {step} {note}"
        if mass_before is not None and mass is not None:
            note += self._copies.mass_left(mass)
            if mass != mass_before:
                note += f"; {mass - mass_before:.6g} was in flight and has come back to its senders"
        position = Position(step, state, oracle, copy.position.seconds)
        history = [record for record in copy.history if record["step"] < step]
        setting = replace(setting, training=training, position=position, history=history)
        return Recovery(setting, [Copy(deepcopy(position), copy.round, copy.traffic, history)], step, note, mass)

    def _heal(self, topology: Schedule, survivors: Sequence[int]) -> Schedule:
        algorithm = self._setting.training.algorithm
        if not set(range(topology.n - algorithm.auxiliary - algorithm.trusted, topology.n)) <= set(survivors):
            raise UsageError(f"{type(algorithm).__name__} cannot go on without a node that it needs and that was lost")
        healed = heal(topology, survivors)
        check_needs(algorithm, healed)
        return healed

    def _rehosted(self) -> Recovery:
        """With all nodes, as the last checkpoint has them, on the ranks that are left."""
        directory = self._setting.directory
        found = self._processes.from_root(lambda: checkpoints(directory) if directory else [])
        training = self._setting.training
        again = replace(training, resume=found[-1] if found else None)
        setting = replace(prepare(again, self._setting.topology, self._processes, directory), training=training)
        step = step_of(found[-1]) if found else 0
        whence = f"the checkpoint of step {step}" if found else "the beginning, as there is no checkpoint yet"
        note = f"goes on with all nodes from {whence} on {self._processes.size} ranks"
        return Recovery(setting, [], step, note)


def agreed(function: Callable[[], T], processes: MpiCommunicator) -> T | None:
    """What it gives, if it has worked on all ranks; else None, on all that are left."""
    result: T | GossipError | None = None
    try:
        result = function()
    except CommunicationError as error:
        log.warning("communication failed: %s", error)
        processes.revoke()
    except GossipError as error:  # raised alike on all ranks
        result = error
    if not processes.agree(result is not None):
        return None
    if isinstance(result, GossipError):
        raise result
    return result


def _mass(algorithm: Algorithm, state: State, network: RunNetwork) -> float | None:
    """Of all nodes, what mixing conserves; None if the algorithm has no such thing. Collective."""
    mass = algorithm.mass(state)
    return None if mass is None else float(network.sum(mass.double()))


def later(algorithm: Algorithm, steps: int) -> Algorithm:
    """The same one, with the learning rates that its schedules have so many steps later, and a method's within it."""
    changed: dict[str, Any] = {}
    for field in fields(algorithm):
        value = getattr(algorithm, field.name)
        if isinstance(value, LearningRate):
            changed[field.name] = Later(value, steps)
        elif isinstance(value, Algorithm):
            changed[field.name] = later(value, steps)
    return replace(algorithm, **changed) if changed else algorithm
