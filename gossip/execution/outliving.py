"""An asynchronous run goes on when ranks are lost, with an MPI library that can (ULFM): nodes without those neighbours.

While nodes go on, their own programs deal with losses, and nothing is gone back to: see `MailDriver`. At the next mark
all processes that are left know who else is; what links them for evaluations is made anew then. Where a rank is lost
while they evaluate, they agree that they have not all come through, and do the same before anyone goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from algorithms import Asynchronous, NodesState
from gossip.drivers.asynchronous import NodesLostError, UnderWay
from gossip.drivers.mail import MailDriver
from gossip.drivers.moment import Moment, Position
from gossip.errors import UsageError
from gossip.execution.attempt import Finished
from gossip.execution.copies import Copies, Recovery
from gossip.execution.setting import Setting
from gossip.execution.survival import agreed
from gossip.network import connect
from gossip.processes.communicator import listed
from gossip.processes.mpi import MpiCommunicator
from gossip.processes.signals import Signals
from topologies import heal, with_servers


class Outliving:
    """Goes on with an asynchronous run until it comes to its end.

    Args:
        setting: What the run stands on at first.
        processes: The ranks; the same object becomes that of the survivors.
        signals: May stop it.
    """

    def __init__(self, setting: Setting, processes: MpiCommunicator, signals: Signals) -> None:
        self._setting, self._processes, self._signals = setting, processes, signals
        self._copies = Copies(processes, keep=False, mass=float(setting.topology.n))
        self._ranks: list[str] = processes.gather(processes.name)  # that are there, as they were numbered first
        self._moment: Moment | None = None  # the last one

    def at(self, moment: Moment) -> None:
        """The run has come to this moment."""
        self._moment = moment

    def conduct(self, all_models: bool) -> Finished:
        """Train to the end with whoever is left.

        Args:
            all_models: Whether every rank is to have the models of all nodes.

        Raises:
            GossipError: as a training does, on every rank.
        """
        while True:
            recovered = False
            try:
                finished = agreed(
                    lambda: self._copies.attempt(self._setting, self._signals, all_models, [self]), self._processes
                )
                if finished is not None:
                    return finished
            except NodesLostError as loss:  # on all ranks
                recovered = loss.recovered
            self._copies.noticed()
            self._go_on(recovered)

    def _go_on(self, recovered: bool) -> None:
        """Let the setting be that of the nodes that are left.

        Raises:
            UsageError: The run has not begun, or needs a node that is lost.
        """
        setting, processes, moment = self._setting, self._processes, self._moment
        setting.network.abandon()
        if not recovered:
            begun = processes.agree(moment is not None)
            if not begun or moment is None:
                processes.go_on()
                raise UsageError("ranks were lost before the first step; start the run anew")
        assert moment is not None and isinstance(moment.under_way, UnderWay)
        pace = moment.under_way.pace
        algorithm, n = setting.training.algorithm, len(setting.ids)
        assert isinstance(pace, MailDriver) and isinstance(moment.state, NodesState)
        assert isinstance(algorithm, Asynchronous)
        if not recovered:
            pace.recover()
        self._note_losses(pace.hosted)
        survivors = sorted(node for nodes in pace.hosted for node in nodes)
        servers = setting.ids[n - algorithm.servers :]
        if not {*setting.ids[n - algorithm.essential :]} <= {*survivors}:
            raise UsageError(f"{type(algorithm).__name__} cannot go on without a node that it needs and that was lost")
        places = [place for place, node in enumerate(setting.ids) if node in {*survivors} - {*servers}]
        topology = processes.from_root(lambda: heal(setting.topology, places))
        hosted = [np.searchsorted(survivors, nodes).tolist() for nodes in pace.hosted]
        linked = with_servers(topology, algorithm.servers)
        network = connect(linked, processes, setting.training.seed, "peer-to-peer", hosted, spans=processes.spans)
        step = moment.state.step
        self._setting = replace(
            setting,
            topology=topology,
            hosted=hosted,
            network=network,
            ids=survivors,
            whole=False,
            position=Position(step, moment.state, moment.oracle, moment.seconds),
            history=[record for record in self._copies.history if record["step"] < step],
            under_way=moment.under_way,
        )
        note = f"goes on after step {step} on {processes.size} ranks with {len(survivors)} nodes"
        if setting.training.keeps:  # what is left is another run than that of the checkpoints
            note += ", without further checkpoints"
            self._signals.ignore()
        masses = [program.mass for program in moment.state.programs]
        mass = sum(sum(each) for each in processes.gather([each for each in masses if each is not None]))
        if None not in masses:
            note += self._copies.mass_left(mass)
        self._copies.recovered(Recovery(self._setting, [], step, note, None if None in masses else mass))

    def _note_losses(self, hosted: Sequence[Sequence[int]]) -> None:
        """Note who is no longer there, of those who had nodes."""
        left = {node for nodes in hosted for node in nodes}
        kept = []
        for rank, places in enumerate(self._setting.hosted):
            nodes = [self._setting.ids[place] for place in places]
            if {*nodes} <= left:
                kept.append(self._ranks[rank])
            else:
                self._copies.untold.append(f"{self._ranks[rank]} ({listed(nodes, 'node')})")
        self._ranks = kept
