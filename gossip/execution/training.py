"""A run, and the library call that makes one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor

from algorithms import Algorithm, Full, Oracle, ShardedWorkload
from gossip.checkpoint import Every, Keeper, find
from gossip.drivers.lockstep import train
from gossip.errors import DivergedError, GossipError
from gossip.execution.stage import Stage
from gossip.needs import check_needs, warn_of_bias
from gossip.network import Communicator, InProcessNetwork, SimulatedClock, Transport, connect
from gossip.processes import ending, launcher
from gossip.processes.ending import OnFailure
from gossip.processes.signals import Signals
from gossip.records.configuration import described
from gossip.records.describe import describe
from gossip.records.logs import logs
from gossip.records.recorder import Recorder, create_run_directory
from gossip.records.trace import traced
from gossip.workloads.workload import Workload
from topologies import Schedule, Topology
from topologies.placement import Placement, blocks, crossing, place

if TYPE_CHECKING:
    import networkx
    from mpi4py import MPI

    from gossip.execution.survival import Survival
    from gossip.processes.mpi import MpiCommunicator

EVALUATED_NODES = 64
STALL_TIMEOUT = 600.0  # seconds
CHECKPOINTS = 2  # that are kept


@dataclass(frozen=True)
class Result:
    """What a run leaves behind.

    Attributes:
        model: (n, d), the final parameters of all nodes in node order, on every rank.
        history: One dict of metrics per evaluation, the first before training (see `gossip.execution.measure`).
        summary: The final metrics and what was run.
        directory: The run directory; None on ranks other than 0 and where no output was asked for.
    """

    model: Tensor
    history: list[dict[str, Any]]
    summary: dict[str, Any]
    directory: Path | None


@dataclass(frozen=True)
class Finished:
    """A training as one rank sees it at the end: the models (k, d) of its own nodes, and what all ranks know."""

    model: Tensor
    network: InProcessNetwork
    history: list[dict[str, Any]]
    summary: dict[str, Any]
    directory: Path | None


@dataclass(frozen=True)
class Training:
    """All that defines a run, as the arguments of `run`; the command makes one on rank 0 and sends it to all."""

    workload: Workload | ShardedWorkload
    topology: Schedule | networkx.Graph
    algorithm: Algorithm
    oracle: Oracle
    steps: int
    seed: int = 0
    start: Tensor | None = None
    evaluate_every: int | None = None
    evaluate_nodes: int = EVALUATED_NODES
    transport: Transport = "auto"
    placement: Placement = "contiguous"
    clock: SimulatedClock | None = None
    output: str | Path | None = "runs"
    progress: bool = False
    config: str | None = None  # text kept in the run directory; a description of the fields if None
    stall_timeout: float | None = STALL_TIMEOUT
    on_failure: OnFailure = "abort"
    trace: str | Path | None = None
    checkpoint_every: int | str | None = None
    resume: str | Path | None = None
    keep: int = CHECKPOINTS

    def run(self, processes: Communicator, signals: Signals) -> Finished:
        """Train on these processes, until a signal stops it if there are to be checkpoints; collective."""
        if not self.keeps:
            signals.ignore()
        launcher.share_cores(processes)
        processes.patience = self.stall_timeout or math.inf
        topology = processes.together(lambda: self.check(processes.size))
        if self.on_failure != "abort":
            processes.together(lambda: ending.check_survival(self, processes.size))
        stage = self.prepare(topology, processes)
        with (
            ending.watched(processes, stage.directory) if self.on_failure == "abort" else nullcontext(),
            logs(stage.directory, processes),
            traced(self.trace, processes, self.algorithm, self.oracle, stage.workload),
        ):
            if self.on_failure == "abort":
                return self.conduct(stage, processes, signals)
            from gossip.execution.survival import Survival

            return Survival(self, cast("MpiCommunicator", processes), stage, signals).conduct()

    def prepare(self, topology: Schedule, processes: Communicator, directory: Path | None = None) -> Stage:
        """What the run stands on at first; collective.

        Args:
            topology: What `check` has given.
            processes: The ranks.
            directory: The run directory, if there is one already.
        """
        auxiliary = self.algorithm.auxiliary
        workload = processes.together(lambda: self._shard(topology.n - auxiliary, processes))
        hosted = processes.from_root(lambda: place(topology, processes.hosts, self.placement))
        transport = self.transport if self.on_failure == "abort" else "peer-to-peer"
        network = connect(topology, processes, self.seed, transport, hosted, self.clock, auxiliary)
        x = processes.together(lambda: self._initial(workload, network))
        configuration = processes.from_root(lambda: self._configuration(topology, x)) if self.keeps else {}
        folder = processes.from_root(lambda: self._find(topology, configuration))
        directory = directory or processes.from_root(lambda: self._create_directory(topology, folder))
        return Stage(topology, workload, hosted, network, x, range(topology.n), configuration, folder, directory)

    def conduct(
        self, stage: Stage, processes: Communicator, signals: Signals, survival: Survival | None = None
    ) -> Finished:
        """Train, and write down the outcome; collective."""
        topology, workload, network, x = stage.topology, stage.workload, stage.network, stage.x
        directory, hosted, configuration = stage.directory, stage.hosted, stage.configuration
        root = processes.rank == 0
        if root:
            warn_of_bias(self.algorithm, topology, stacklevel=4)
        recorder = Recorder(directory if root else None, self.steps, self.progress and root)
        if root and self.placement != "contiguous":
            contiguous = blocks(topology.n, processes.size)
            placed, before = (x[0].nbytes * crossing(topology, processes.hosts, each) for each in (hosted, contiguous))
            recorder.settled(
                {"bytes_between_hosts_per_round": placed, "bytes_between_hosts_per_round_if_contiguous": before}
            )

        if survival is not None:
            processes.together(lambda: recorder.resume(list(stage.history)))
        keeper = None
        if self.keeps and directory is not None and stage.whole:  # what is left of a run is another run
            about = {"configuration": configuration, "layout": dict(workload.layout.shapes), "nodes": topology.n}
            every = Every.of(self.checkpoint_every)
            keeper = Keeper(
                directory,
                every,
                self.keep,
                self.steps,
                about,
                self.algorithm.auxiliary,
                processes,
                network,
                recorder,
                signals,
            )
        stopped: GossipError | None = None
        try:
            model = train(self, stage, processes, recorder, keeper, survival).clone()  # memory of its own
        except GossipError as error:
            stopped = error
        finally:
            recorder.close()
            if keeper is not None:
                keeper.release()
        if keeper is not None:
            keeper.close()
        if survival is not None:
            survival.close()
        network.close()
        if stopped is not None and not isinstance(stopped, DivergedError):
            processes.barrier()
            raise stopped
        summary = self._summary(topology, processes, recorder, "diverged" if stopped else "finished")
        if survival is not None and survival.losses:
            summary["losses"] = survival.losses
        processes.from_root(lambda: recorder.write_outcome(summary, topology))
        if stopped:
            raise stopped
        return Finished(model, network, recorder.history, summary, recorder.directory)

    @property
    def keeps(self) -> bool:
        """Whether checkpoints are written."""
        return self.checkpoint_every is not None or self.resume is not None

    def prepared(self, workload: ShardedWorkload, ids: Sequence[int]) -> Algorithm:
        """The algorithm for this workload's model and these nodes' data."""
        with_data = ids[: len(ids) - self.algorithm.auxiliary]
        return self.algorithm.for_layout(workload.layout).for_examples([workload.examples(node) for node in with_data])

    def check(self, ranks: int) -> Schedule:
        """The topology, if this can be run at all on so many ranks.

        Raises:
            ValueError: It cannot.
        """
        for name, value, least in (
            ("steps", self.steps, 0),
            ("seed", self.seed, 0),
            ("evaluate_every", self.evaluate_every, 1),
            ("evaluate_nodes", self.evaluate_nodes, 0),
            ("keep", self.keep, 1),
        ):
            if value is not None and value < least:
                raise ValueError(f"{name} = {value} is not allowed; it must be >= {least}")
        if self.stall_timeout is not None and not self.stall_timeout > 0:
            raise ValueError(
                f"stall_timeout = {self.stall_timeout} is not allowed; it must be > 0, in seconds, or None"
            )
        Every.of(self.checkpoint_every)
        if self.keeps and self.output is None:
            raise ValueError("checkpoints are written into the run directory: output must say where that is to be made")
        topology = self.topology if isinstance(self.topology, Schedule) else Topology(self.topology)
        if ranks > topology.n:
            raise ValueError(
                f"{ranks} ranks for {topology.n} nodes: every rank needs a node, so start at most {topology.n} ranks "
                f"or ask for more nodes"
            )
        if self.algorithm.auxiliary >= topology.n:
            raise ValueError(
                f"{type(self.algorithm).__name__}: auxiliary = {self.algorithm.auxiliary} is not allowed; it must be "
                f"below the number of nodes, {topology.n}"
            )
        if self.algorithm.takes_norms and not self.oracle.tells_norms:
            raise ValueError(
                f"{type(self.algorithm).__name__} with this optimizer needs the norms of gradients of single samples, "
                f"which {type(self.oracle).__name__} as set up does not tell; Minibatch(microbatch=1) does"
            )
        if self.clock is not None:
            self.clock.check_nodes(topology.n - self.algorithm.auxiliary)
        check_needs(self.algorithm, topology)
        return topology

    def _shard(self, n: int, processes: Communicator) -> ShardedWorkload:
        shard = getattr(self.workload, "shard", None)
        if shard is None:
            return cast(ShardedWorkload, self.workload)  # one of the user's own, sharded already
        return cast(ShardedWorkload, shard(n, self.seed, processes.from_root))

    def _initial(self, workload: ShardedWorkload, network: InProcessNetwork) -> Tensor:
        """(k, d): where the local nodes start."""
        d = workload.layout.d
        x = workload.initial() if self.start is None else torch.as_tensor(self.start)
        if x.shape not in ((d,), (network.n, d)) or not x.is_floating_point():
            raise ValueError(
                f"start is a {x.dtype} tensor of shape {tuple(x.shape)}; it must be floating point and of shape "
                f"({d},) or ({network.n}, {d})"
            )
        return x.expand(network.n, d)[list(network.nodes)]

    def _configuration(self, topology: Schedule, x: Tensor) -> dict[str, Any]:
        """All that the models depend on, but the number of steps."""
        return described(
            algorithm=self.algorithm,
            topology=topology,
            workload=self.workload,
            oracle=self.oracle,
            seed=self.seed,
            start=self.start,
            dtype=str(x.dtype).removeprefix("torch."),
            clock=self.clock,
        )

    def _find(self, topology: Schedule, configuration: Mapping[str, Any]) -> Path | None:
        """The checkpoint to go on from, if any."""
        if self.resume is None:
            return None
        return find(self.resume, Path(cast(str, self.output)) / self._name(topology), configuration, self.steps)

    def _name(self, topology: Schedule) -> str:
        return f"{type(self.algorithm).__name__}-{topology.name}"

    def _create_directory(self, topology: Schedule, folder: Path | None) -> Path | None:
        """The run directory; that of the checkpoint to go on from, if any."""
        if self.output is None:
            return None
        if folder is not None:
            return folder.parent.parent
        return create_run_directory(Path(self.output), self._name(topology), self.description(topology))

    def description(self, topology: Schedule) -> str:
        """What is kept in the run directory."""
        return self.config or describe(
            workload=self.workload,
            topology=topology,
            algorithm=self.algorithm,
            oracle=self.oracle,
            steps=self.steps,
            seed=self.seed,
            start=self.start,
            evaluate_every=self.evaluate_every,
            evaluate_nodes=self.evaluate_nodes,
        )

    def _summary(self, topology: Schedule, processes: Communicator, recorder: Recorder, status: str) -> dict[str, Any]:
        last = recorder.history[-1]
        return {
            "algorithm": type(self.algorithm).__name__,
            "topology": topology.name,
            "workload": type(self.workload).__name__,
            "nodes": topology.n,
            "ranks": processes.size,
            "steps": last["step"],
            "seed": self.seed,
            "status": status,
            "seconds": last["seconds"],
            "train_loss": last["train_loss"],
            "test_loss": last["test_loss"],
            "test_accuracy": last.get("test_accuracy"),
            **{name: value for name, value in last.items() if name != "step"},
            **recorder.chosen,
        }


def run(
    workload: Workload | ShardedWorkload,
    topology: Schedule | networkx.Graph,
    algorithm: Algorithm,
    *,
    steps: int,
    oracle: Oracle | None = None,
    seed: int = 0,
    start: Tensor | None = None,
    evaluate_every: int | None = None,
    evaluate_nodes: int = EVALUATED_NODES,
    communicator: MPI.Intracomm | None = None,
    transport: Transport = "auto",
    placement: Placement = "contiguous",
    clock: SimulatedClock | None = None,
    output: str | Path | None = "runs",
    progress: bool = False,
    stall_timeout: float | None = STALL_TIMEOUT,
    on_failure: OnFailure = "abort",
    trace: str | Path | None = None,
    checkpoint_every: int | str | None = None,
    resume: str | Path | None = None,
    keep: int = CHECKPOINTS,
) -> Result:
    """Train, in this process or, when launched under MPI, together with the other ranks.

    Every rank makes the same call. The models are the same bits on any number of ranks, given the same gradients.

    Args:
        workload: Data, model and loss.
        topology: Who talks to whom, with what weight; a plain networkx graph gets its default weights.
        algorithm: What is computed and sent.
        steps: Number of iterations, >= 0.
        oracle: Where gradients come from; the full local gradients by default.
        seed: Decides initial parameters, data split, batches and random draws.
        start: Initial parameters, (d,) for all nodes or (n, d); the workload's own by default.
        evaluate_every: Steps from one evaluation to the next; 10 evaluations a run by default.
        evaluate_nodes: How many nodes' own models are evaluated besides the average one, evenly spaced.
        communicator: The mpi4py communicator to use; all launched processes by default.
        transport: How rows go from rank to rank, see `gossip.network.connect`; the results are the same bits.
        placement: Which rank hosts which nodes, see `topologies.placement.place`; the results are the same bits.
        clock: Tell the time that this would take on other machines and links as well, as "simulated_seconds" in the
            history; it changes nothing else.
        output: Where the run directory is made; None for no directory.
        progress: Show the progress, on rank 0.
        stall_timeout: Seconds after which a rank that still waits for others says for whom and ends the job; None to
            wait for ever.
        on_failure: What happens when a rank is killed. "abort": the job ends. With an MPI library that has ULFM,
            "continue": the others go on without its nodes, on a healed graph; or "rehost": they go on with all nodes
            from the last checkpoint. See `gossip.execution.survival`.
        trace: A file for a timeline of all ranks in Chrome's format, for ui.perfetto.dev; see `gossip.records.trace`.
        checkpoint_every: Write a checkpoint into the run directory every so many steps, such as 500, or seconds, such
            as "30s", and one at the end. With this or `resume`, SIGTERM and SIGUSR1 stop the run between two steps.
        resume: Go on from a checkpoint, given by its run directory or by itself, with the same models as if the run
            had never stopped, on any number of ranks; "auto" for the last one of this configuration below `output`
            that has not come to its end, or from the beginning if there is none.
        keep: How many checkpoints are left, the last ones.

    Raises:
        UsageError: (a ValueError) if this cannot be run as asked, on every rank.
        DataError: if data cannot be read or output cannot be written, on every rank.
        DivergedError: if a loss is NaN or infinite, on every rank.
        PreemptedError: if a signal has stopped the run, on every rank; there is a checkpoint of where it was.
    """
    processes = launcher.world() if communicator is None else launcher.over(communicator)
    launcher.speak_once(processes)
    training = Training(
        workload,
        topology,
        algorithm,
        oracle=Full() if oracle is None else oracle,
        steps=steps,
        seed=seed,
        start=start,
        evaluate_every=evaluate_every,
        evaluate_nodes=evaluate_nodes,
        transport=transport,
        placement=placement,
        clock=clock,
        output=output,
        progress=progress,
        stall_timeout=stall_timeout,
        on_failure=on_failure,
        trace=trace,
        checkpoint_every=checkpoint_every,
        resume=resume,
        keep=keep,
    )
    with launcher.failing_together(processes), Signals() as signals:
        finished = training.run(processes, signals)
        model = finished.network.all_rows(finished.model)
        processes.close()
    return Result(model, finished.history, finished.summary, finished.directory)
