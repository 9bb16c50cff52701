"""What a run is: its options, each said here once.

The command line, `gossip.run`, the configuration in the run directory and batch scripts are made from these fields.
The first paragraph beneath a field is its help on the command line.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from torch import Tensor

from algorithms import Full, Method, Oracle, ShardedWorkload
from gossip.network import MakeTransport, SimulatedClock, SimulatedNetwork, TransportName
from gossip.records.loggers.chosen import LoggerName
from gossip.records.loggers.logger import Logger
from gossip.workloads.workload import Workload
from topologies import Schedule
from topologies.placement import Placement

if TYPE_CHECKING:
    import networkx

    from gossip.processes.mpi import Intracomm

OnFailure = Literal["abort", "continue", "rehost"]

FULL_GRADIENTS = Full()

DECIDE_MODELS = ("algorithm", "topology", "workload", "oracle", "seed", "start", "clock", "network", "replay")
"""The fields that the models after so many steps depend on: a checkpoint is one of these alone.

A clock is among them, since methods may act on the time that it tells."""


@dataclass(frozen=True)
class Training:
    """All that defines a run. Every rank has an equal one."""

    workload: Workload | ShardedWorkload
    """Data, model and loss."""

    topology: Schedule | networkx.Graph
    """Who talks to whom.

    A plain networkx graph gets its default weights."""

    algorithm: Method
    """What is computed and sent."""

    _: KW_ONLY

    steps: int
    """Number of iterations, >= 0; of an asynchronous method, gradients of each node, on average over the nodes."""

    seconds: float | None = None
    """End an asynchronous run after so many seconds, > 0, if it has not come to its last step before.

    They are those of the simulated clock, or real ones on several ranks."""

    replay: str | Path | None = None
    """Let the nodes of an asynchronous method do what they did in this run, by its schedule.npz: to the same bits.

    In one process or on any number of ranks. All else must be as in that run."""

    oracle: Oracle = FULL_GRADIENTS
    """Where gradients come from; by default they are the full local ones."""

    seed: int = 0
    """Decides initial parameters, data split, batches and random draws, >= 0."""

    start: Tensor | None = None
    """Initial parameters, (d,) for all nodes or (n, d); the workload's own by default."""

    evaluate_every: int | None = None
    """Steps from one evaluation to the next; 10 evaluations a run by default."""

    evaluate_nodes: int = 64
    """How many nodes' own models are evaluated besides the average one, evenly spaced over the node numbers.

    So many say what all do, and evaluating thousands would take longer than training them."""

    transport: TransportName | MakeTransport = "auto"
    """How rows go from rank to rank; the results are the same bits.

    Or a function that makes a transport: see `gossip.network.connect`."""

    placement: Placement = "contiguous"
    """Which rank hosts which nodes, so that little crosses between hosts; the results are the same bits.

    See `topologies.placement.place`."""

    clock: SimulatedClock | None = None
    """Also tell the time that this takes on simulated nodes and links.

    It stands as "simulated_seconds" in the history, and changes nothing else unless the algorithm acts on the time."""

    network: SimulatedNetwork | str | Path | None = None
    """The same on a simulated network: lan, wan, hpc, edge, or a file of one's own: YAML or GraphML.

    It has links, shared or not, which may fail, and computing times: see docs/networks.md."""

    communicator: Intracomm | None = None
    """The mpi4py communicator to use, which is duplicated; all launched processes by default."""

    output: str | Path | None = "runs"
    """Where the run directory is made; None for no directory."""

    progress: bool = False
    """Show the progress, on rank 0."""

    config: str | None = None
    """The text kept as config.yaml in the run directory; a description of all fields by default."""

    stall_timeout: float | None = 600.0
    """Seconds after which a rank that still waits for others says for whom and ends the job; None for never.

    Loading data or compiling may take a rank minutes."""

    on_failure: OnFailure = "abort"
    """When a rank is killed: end the job, continue without its nodes, or rehost all from the last checkpoint.

    To go on takes an MPI library that has ULFM. With "continue" the others go on on a healed graph; see
    `gossip.execution.survival`."""

    report: bool = True
    """Write the page report.html into the run directory at the end, which takes a second."""

    loggers: Sequence[LoggerName | str | Logger] = ()
    """Also log the rows of metrics.jsonl by csv, tensorboard, wandb, mlflow, or a logger of one's own; --logger NAME
    for each on a command line.

    In the run directory, W&B offline; see `gossip.records.loggers`, and docs/own.md for one's own: an object, or the
    import path of its class. A logger that fails ends no run."""

    traceback: bool = False
    """Show all lines that an error in a class of one's own has passed, not only its own one."""

    trace: str | Path | None = None
    """Write a timeline of all ranks into this file, to be seen at ui.perfetto.dev.

    It is in Chrome's format; see `gossip.records.trace`."""

    checkpoint_every: int | str | None = None
    """Write a checkpoint every so many steps, such as 500, or seconds, such as 30s, and at the end.

    With this or `resume`, SIGTERM and SIGUSR1 stop the run between two steps, with a checkpoint."""

    resume: str | Path | None = None
    """Go on from the last checkpoint in this run directory, or from this checkpoint, or auto: from that of the run of
    this configuration below `output` that has come furthest, if there is one. If that has all steps, nothing is done.

    The models are the same as if the run had never stopped, on any number of ranks."""

    keep: int = 2
    """How many checkpoints to leave, the last ones.

    With two there is a whole one at any time, whatever happens to the last."""

    def __post_init__(self) -> None:
        alone = isinstance(self.loggers, str) or not isinstance(self.loggers, Iterable)
        object.__setattr__(self, "loggers", (self.loggers,) if alone else tuple(self.loggers))
        if isinstance(self.network, str | Path):
            object.__setattr__(self, "network", SimulatedNetwork.of(self.network))

    @property
    def simulated(self) -> SimulatedClock | SimulatedNetwork | None:
        """What tells a simulated time, if anything does."""
        assert not isinstance(self.network, str | Path)
        return self.clock or self.network

    @property
    def keeps(self) -> bool:
        """Whether checkpoints are written."""
        return self.checkpoint_every is not None or self.resume is not None
