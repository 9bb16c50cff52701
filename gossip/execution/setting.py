"""What a run stands on, from its beginning or since some ranks were lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from algorithms import Algorithm, Method, ShardedWorkload
from gossip.checkpoint.finding import Found, find
from gossip.drivers.asynchronous import UnderWay
from gossip.drivers.moment import Position
from gossip.errors import DataError, UsageError, say
from gossip.execution.checks import check_batches, check_buffers, check_losses
from gossip.execution.training import DECIDE_MODELS, Training
from gossip.network import Communicator, RunNetwork, connect
from gossip.processes.ending import closed_on_error
from gossip.records.configuration import described, description
from gossip.records.directory import create_run_directory, folder_name
from topologies import Schedule, with_servers
from topologies.labels import write_labels
from topologies.placement import place

NOT_DESCRIBED = ("communicator", "config", "progress")  # in the run directory: they belong to the call


@dataclass(frozen=True)
class Setting:
    """The nodes of a run, their data, what links them, and where they go on."""

    training: Training
    """What is asked for; after a loss with schedules that go on where they were."""

    topology: Schedule
    """Of the nodes 0..n-1 that are there, without the algorithm's servers, which come after them in the network."""

    workload: ShardedWorkload
    """Has the data of these nodes, and maybe that of others."""

    hosted: Sequence[Sequence[int]]
    """The nodes of each rank, ascending."""

    network: RunNetwork
    """Links the nodes."""

    x: Tensor
    """(k, d), where the local nodes start."""

    ids: Sequence[int]
    """The number of each node in the workload, in the order of the network's nodes."""

    configuration: Mapping[str, Any]
    """What the models depend on, for checkpoints; empty if there are none."""

    folder: Path | None
    """The checkpoint to go on from, if any."""

    directory: Path | None
    """The run directory, if any."""

    finished: bool = False
    """Whether that is of a run that has come to its end: it is read, and nothing is left to do."""

    whole: bool = True
    """Whether no node is missing."""

    position: Position | None = None
    """Where the run goes on, if that is elsewhere than at its start or at the checkpoint."""

    history: Sequence[dict[str, Any]] = ()
    """What was recorded until then."""

    under_way: UnderWay | None = None
    """The asynchronous run that goes on after a loss."""

    @property
    def keeps(self) -> bool:
        """Whether checkpoints are written: of what is left of a run there are none, as that is another run."""
        return self.training.keeps and self.written is not None and self.whole

    @property
    def written(self) -> Path | None:
        """The directory that this run writes into, if any."""
        return None if self.finished else self.directory

    def algorithm(self) -> Method:
        """The algorithm for this workload's model and these nodes' data.

        Raises:
            ValueError: It is none for such a model.
        """
        algorithm = self.training.algorithm
        with_data = self.ids[: len(self.ids) - algorithm.without_data]
        return algorithm.for_layout(self.workload.layout).for_examples(
            [self.workload.examples(node) for node in with_data]
        )


def prepare(training: Training, topology: Schedule, processes: Communicator, directory: Path | None = None) -> Setting:
    """What a run stands on at first; collective.

    Args:
        training: What is asked for.
        topology: What `check` has made of its topology.
        processes: The ranks.
        directory: The run directory, if there is one already.
    """
    algorithm = training.algorithm
    workload = processes.together(lambda: _sharded(training, topology, processes))
    linked = with_servers(topology, algorithm.servers)
    hosted = processes.from_root(lambda: place(topology, processes.hosts, training.placement))
    if algorithm.servers:
        hosted = [*hosted[:-1], [*hosted[-1], *range(topology.n, linked.n)]]
    transport = training.transport if training.on_failure == "abort" else "peer-to-peer"
    network = connect(
        linked,
        processes,
        training.seed,
        transport,
        hosted,
        clock=training.simulated if isinstance(algorithm, Algorithm) else None,
        auxiliary=algorithm.without_data,
        spans=processes.spans,
    )
    with closed_on_error(processes, network.close):
        x = processes.together(lambda: _initial(training.start, workload, topology.n, network.nodes))
        configuration = processes.from_root(lambda: _identity(training, topology, x)) if training.keeps else {}
        found = _find(training, topology, configuration, processes)
        directory = directory or processes.from_root(lambda: _directory(training, topology, found))
    ids = range(linked.n)
    folder, finished = (None, False) if found is None else (found.folder, found.finished)
    return Setting(training, topology, workload, hosted, network, x, ids, configuration, folder, directory, finished)


def configuration_text(training: Training, topology: Schedule) -> str:
    """What the run directory says of a run: the options as they were typed, or else all fields in words."""
    if training.config is not None:
        return training.config
    named = {name: value for name, value in vars(training).items() if name not in NOT_DESCRIBED}
    return description(**named | {"topology": topology})


def _sharded(training: Training, topology: Schedule, processes: Communicator) -> ShardedWorkload:
    n, shard = topology.n - training.algorithm.auxiliary, getattr(training.workload, "shard", None)
    if shard is None:
        workload = cast(ShardedWorkload, training.workload)  # one of the user's own, sharded already
    else:
        workload = cast(ShardedWorkload, shard(n, training.seed, processes.from_root))
    if workload is None:
        raise UsageError(f"{type(training.workload).__name__}: shard gives nothing; it must give a ShardedWorkload")
    check_batches(training.oracle, workload, n)
    check_losses(training.algorithm, workload)
    check_buffers(training.algorithm, topology, workload)
    return workload


def _initial(start: Tensor | None, workload: ShardedWorkload, n: int, nodes: Sequence[int]) -> Tensor:
    """(k, d): where these nodes start, those after the first n, which are servers and not asked, at 0."""
    d = workload.layout.d
    x = workload.initial() if start is None else torch.as_tensor(start)
    if x.shape not in ((d,), (n, d)) or not x.is_floating_point():
        raise ValueError(
            f"start is a {x.dtype} tensor of shape {tuple(x.shape)}; it must be floating point and of shape "
            f"({d},) or ({n}, {d})"
        )
    own = x.expand(n, d)[[node for node in nodes if node < n]]
    return torch.cat([own, own.new_zeros(len(nodes) - len(own), d)])


def _identity(training: Training, topology: Schedule, x: Tensor) -> dict[str, Any]:
    """All that the models depend on, but the number of steps."""
    decide = {name: getattr(training, name) for name in DECIDE_MODELS} | {"topology": topology}
    for later in ("network", "replay"):  # which earlier checkpoints do not know
        if getattr(training, later) is None:
            del decide[later]
    return described(**decide, dtype=str(x.dtype).removeprefix("torch."))


def _find(
    training: Training, topology: Schedule, configuration: Mapping[str, Any], processes: Communicator
) -> Found | None:
    """The checkpoint to go on from, if any; collective."""
    if training.resume is None:
        return None
    runs = Path(cast(str, training.output)) / _name(training, topology)
    return find(training.resume, runs, configuration, training.steps, processes)


def _directory(training: Training, topology: Schedule, found: Found | None) -> Path | None:
    """The run directory: that of the run to go on with, or else a new one."""
    if training.output is None:
        return None
    if found is not None and found.directory is not None:
        if found.finished:
            say(f"gossip: {found.directory} has come to its end, step {training.steps}: nothing is left to do")
        return found.directory
    directory = _new_directory(training, topology)
    if found is not None:
        say(f"gossip: {found.folder} lies in no run directory: the run goes on from there in {directory}")
    return directory


def _new_directory(training: Training, topology: Schedule) -> Path:
    assert training.output is not None
    name, text = _name(training, topology), configuration_text(training, topology)
    directory = create_run_directory(Path(training.output), name, text)
    try:
        write_labels(topology, directory / "nodes.csv")
    except OSError as error:
        raise DataError(f"cannot write {directory / 'nodes.csv'} ({error.strerror})") from error
    return directory


def _name(training: Training, topology: Schedule) -> str:
    return folder_name(f"{type(training.algorithm).__name__}-{topology.name}")
