"""What is predicted of each candidate, and how sure that is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from gossip.advise.candidates import Candidate
from gossip.advise.networks import altered, differs, paced
from gossip.advise.plan import Plan, Sizes, plan
from gossip.advise.rates import Deviation, Problem, Steps, steps
from gossip.network import SimulatedNetwork

CLOSE = 1.4  # times that steps are mispredicted on average, see docs/advise.md: what the model cannot tell apart
CLEAR = 2.0  # what it can
MOST = 0.7  # of the assumptions
CHECKED = 12  # candidates among which other assumptions are tried


@dataclass(frozen=True)
class Prediction:
    """One candidate on one network and problem."""

    candidate: Candidate
    plan: Plan
    sizes: Sizes
    seconds_per_step: float
    needed: Steps
    deviation: Deviation

    @property
    def seconds(self) -> float:
        """Until the target; infinite if it is out of reach."""
        return self.seconds_per_step * self.needed.steps

    @property
    def bytes_per_step(self) -> float:
        """What a node sends in a step, on average."""
        return self.plan.bytes(self.sizes)


@dataclass(frozen=True)
class Trial:
    """Another assumption, and what it does to the answer."""

    assumption: str
    winner: Prediction
    behind: float
    """The seconds of the answer over those of the winner, >= 1."""

    @property
    def holds(self) -> bool:
        """Whether the answer is as good as the winner, as far as the model can tell."""
        return self.behind <= CLOSE


def predict(
    candidates: Iterable[Candidate], dense: int, network: SimulatedNetwork, problem: Problem
) -> list[Prediction]:
    """All of them, in their order."""
    uneven = differs(network)
    plans: dict[tuple[str, str, int], Plan] = {}  # which do not depend on the compressor
    found = []
    for each in candidates:
        key = (each.method, each.topology.name, each.period)
        if key not in plans:
            plans[key] = plan(each.algorithm, each.topology, period=each.period, uneven=uneven)
        sizes = Sizes(dense, each.operator.bytes if each.operator else dense)
        deviation = each.deviation(problem)
        needed = steps(problem, each.topology.n, deviation)
        seconds = plans[key].seconds(network, sizes)
        found.append(Prediction(each, plans[key], sizes, seconds, needed, deviation))
    return found


def ranked(predictions: Sequence[Prediction]) -> list[Prediction]:
    """The fastest first; what does not reach the target last, and of equally fast ones what sends less."""
    return sorted(predictions, key=lambda each: (each.seconds, each.bytes_per_step))


def tried(ranking: Sequence[Prediction], network: SimulatedNetwork, problem: Problem) -> list[Trial]:
    """The answer under other assumptions, among the candidates that come first and all exact ones."""
    checked = [*ranking[:CHECKED], *(each for each in ranking[CHECKED:] if each.candidate.exact)]
    nodes = ranking[0].plan.nodes
    assumptions = (
        ("bandwidth halved", altered(network, bandwidth=0.5), problem),
        ("bandwidth doubled", altered(network, bandwidth=2), problem),
        ("latency halved", altered(network, latency=0.5), problem),
        ("latency doubled", altered(network, latency=2), problem),
        ("heterogeneity halved", network, replace(problem, heterogeneity=problem.heterogeneity / 2)),
        ("heterogeneity doubled", network, replace(problem, heterogeneity=problem.heterogeneity * 2)),
        ("target halved", network, replace(problem, target=problem.target / 2)),
        ("target doubled", network, replace(problem, target=min(1.0, problem.target * 2))),
        ("noise halved", network, replace(problem, noise=problem.noise / 2)),
        ("noise doubled", network, replace(problem, noise=problem.noise * 2)),
        ("computing twice as fast", paced(network, nodes, 0.5), problem),
        ("computing twice as slow", paced(network, nodes, 2), problem),
    )
    return [_trial(text, checked, other, changed) for text, other, changed in assumptions]


def _trial(text: str, checked: Sequence[Prediction], network: SimulatedNetwork, problem: Problem) -> Trial:
    again = [_again(each, network, problem) for each in checked]
    winner = ranked(again)[0]
    return Trial(text, winner, again[0].seconds / winner.seconds if winner.seconds else 1.0)


def _again(before: Prediction, network: SimulatedNetwork, problem: Problem) -> Prediction:
    deviation = before.candidate.deviation(problem)
    return replace(
        before,
        seconds_per_step=before.plan.seconds(network, before.sizes),
        needed=steps(problem, before.candidate.topology.n, deviation),
        deviation=deviation,
    )


def confidence(ranking: Sequence[Prediction], trials: Sequence[Trial]) -> str:
    """high, medium or low: by how far the next candidate is behind, and under how many assumptions the answer holds."""
    best, other = ranking[0], ranking[1]
    margin = other.seconds / best.seconds if best.seconds else 1.0
    held = sum(trial.holds for trial in trials) / len(trials)
    if margin >= CLEAR and held == 1:
        return "high"
    return "medium" if margin >= CLOSE and held >= MOST else "low"


def next_other(ranking: Sequence[Prediction]) -> Prediction | None:
    """The best one that is another method, graph or compressor than the answer, and not just another period."""
    best = ranking[0].candidate

    def same(each: Candidate) -> bool:
        if each.exact or best.exact:
            return each.exact and best.exact
        return each.topology is best.topology and each.operator is best.operator

    return next((each for each in ranking[1:] if not same(each.candidate)), None)
