"""How much a run tells of single examples or clients: epsilon of differential privacy, by a library's accountant."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from typing import Any

from algorithms import Method, PrivateMethod, PrivateOracle, ShardedWorkload, Spending
from algorithms.privacy.spending import worst
from gossip.drivers.moment import Look
from gossip.errors import UsageError
from gossip.execution.training import Training
from gossip.network import Communicator, RunNetwork

PACKAGE = "dp_accounting"


def check_privacy(training: Training) -> None:
    """Refuse what there is no account of.

    Raises:
        ValueError: There is such.
    """
    algorithm, oracle = training.algorithm, training.oracle
    name, oracle_name = type(algorithm).__name__, type(oracle).__name__
    for inner in _within(algorithm):
        if isinstance(inner, PrivateMethod):
            raise ValueError(f"{name} around {type(inner).__name__}: of this no epsilon is known; use the latter alone")
    private = isinstance(algorithm, PrivateMethod)
    if private and isinstance(oracle, PrivateOracle):
        raise ValueError(
            f"{name} is private for nodes, and {oracle_name} for examples: there would be two epsilons; use one of them"
        )
    if private and getattr(training.workload, "buffers", "keep") == "average":
        raise ValueError(f"{name}: neighbours would average buffers without noise; keep them: buffers = 'keep'")
    if is_private(training) and training.on_failure == "continue":
        raise ValueError("a private run does not go with on_failure = continue: what was spent would be forgotten")
    if isinstance(oracle, PrivateOracle) and any(each.acts_on_losses for each in (algorithm, *_within(algorithm))):
        raise ValueError(f"{name} acts on losses, to which {oracle_name} adds no noise: it would not be private")
    if isinstance(getattr(oracle, "oracle", None), PrivateOracle):
        raise ValueError(f"{oracle_name} around a private oracle: of this no epsilon is known; use the latter alone")


def check_package(training: Training) -> None:
    """Refuse a private run without the library that accounts for it.

    Raises:
        UsageError: It is not installed.
    """
    if is_private(training) and find_spec(PACKAGE) is None:
        raise UsageError(
            "epsilon of a private run is computed by dp-accounting, which is not installed: "
            "pip install 'gossip-mpi[privacy]'"
        )


def is_private(training: Training) -> bool:
    """Whether a run has an epsilon."""
    return isinstance(training.algorithm, PrivateMethod) or isinstance(training.oracle, PrivateOracle)


def privacy_loss(
    training: Training,
    algorithm: Method,
    workload: ShardedWorkload,
    network: RunNetwork,
    *,
    state: Any,
    look: Look,
    processes: Communicator,
) -> dict[str, float]:
    """The largest "epsilon" over the nodes, spent until now; nothing of a run that is not private. Collective."""
    oracle = training.oracle
    if isinstance(algorithm, PrivateMethod):
        spent, delta = algorithm.spent(state, network), algorithm.delta
    elif isinstance(oracle, PrivateOracle):
        counts = look.used["gradients"].tolist()
        with_data = [node for node in network.nodes if node < network.n - algorithm.without_data]
        pairs = zip(with_data, counts, strict=False)
        spent, delta = {oracle.spent_on(workload.examples(node), count) for node, count in pairs}, oracle.delta
    else:
        return {}
    all_spent = processes.gather(worst(spent))
    return {"epsilon": processes.from_root(lambda: epsilon((each for own in all_spent for each in own), delta))}


def epsilon(spendings: Iterable[Spending], delta: float) -> float:
    """The largest epsilon for this delta: infinite without noise, 0 if nothing has been spent."""
    return max((_epsilon(each, delta) for each in worst(spendings)), default=0.0)


@cache
def _epsilon(spending: Spending, delta: float) -> float:
    """By composition of Renyi differential privacy (Mironov 2017, 1702.07476; of Poisson samples Mironov, Talwar, Zhang
    2019, 1908.10530; of samples without replacement Wang, Balle, Kasiviswanathan 2019, 1808.00087). A sample never
    costs more than all."""
    if not spending.uses:
        return 0.0
    if not spending.noise_multiplier:
        return float("inf")
    import dp_accounting
    from dp_accounting.rdp import RdpAccountant

    relations = dp_accounting.NeighboringRelation
    relation = {
        "add or remove": relations.ADD_OR_REMOVE_ONE,
        "replace": relations.REPLACE_ONE,
        "zero": relations.REPLACE_SPECIAL,
    }[spending.neighbors]
    if spending.sample is None:
        accountant = RdpAccountant(neighboring_relation=relation)
    else:  # of samples, orders between whole ones are slow to compute, and may not converge
        accountant = RdpAccountant([*range(2, 64), *range(64, 513, 32)], relation)
    accountant.compose(_event(spending), spending.uses)
    found = float(accountant.get_epsilon(delta))
    return found if spending.sample is None else min(found, _epsilon(replace(spending, sample=None), delta))


def _event(spending: Spending) -> Any:
    """One use of the mechanism, as the library has it."""
    import dp_accounting

    z = spending.noise_multiplier
    if spending.steps is not None:
        return dp_accounting.SingleEpochTreeAggregationDpEvent(z, spending.steps)
    if spending.discrete:  # as much concentrated privacy as the Gaussian, theorem 4 of Canonne, Kamath, Steinke 2020
        return dp_accounting.ZCDpEvent(1 / (2 * z * z))
    event = dp_accounting.GaussianDpEvent(z)
    if spending.sample is None:
        return event
    size, of = spending.sample
    if spending.neighbors == "add or remove":
        return dp_accounting.PoissonSampledDpEvent(size / of, event)
    return dp_accounting.SampledWithoutReplacementDpEvent(of, size, event)


def _within(algorithm: Method) -> Iterator[Method]:
    """The methods that this one is around."""
    inner = getattr(algorithm, "algorithm", None)
    if isinstance(inner, Method):
        yield inner
        yield from _within(inner)
