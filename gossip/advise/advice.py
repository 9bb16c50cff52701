"""The answer: computed, shown, written, and put to the test if that is asked for."""

from __future__ import annotations

import math
from dataclasses import replace

from gossip.advise.candidates import candidates
from gossip.advise.command import Question
from gossip.advise.networks import hosts_of, on_hosts
from gossip.advise.operators import operators
from gossip.advise.ranking import confidence, predict, ranked, tried
from gossip.advise.rates import CURVATURE, Problem
from gossip.advise.words import Answer, show_answer, write_answer
from gossip.errors import UsageError, explained
from gossip.network import SimulatedNetwork

VALUE_BYTES = 4  # of a parameter
HETEROGENEOUS = 0.1  # zeta^2 from which on methods against it are offered


def advise(question: Question) -> int:
    """Print the answer; the exit code.

    Raises:
        UsageError: There is no such network, or no method reaches the target.
        DataError: A file cannot be read or written.
    """
    network = _network(question)
    answer = answered(question, network)
    show_answer(answer)
    if question.json is not None:
        write_answer(answer, question.json)
    if question.verification is not None:
        from gossip.advise.verify import verify

        return verify(answer, question.verification)
    return 0


def answered(question: Question, network: SimulatedNetwork) -> Answer:
    """The ranking on this network, with what it depends on.

    Raises:
        UsageError: No method reaches the target.
    """
    n, hosts = question.nodes, hosts_of(network, question.nodes, question.hosts)
    problem = Problem(question.noise, question.heterogeneity, question.target, CURVATURE)
    found = list(candidates(n, hosts, operators(question.parameters), problem.heterogeneity >= HETEROGENEOUS))
    predictions = predict(found, question.parameters * VALUE_BYTES, network, problem)
    ranking = ranked(predictions)
    if math.isinf(ranking[0].seconds):
        raise UsageError(
            f"--target {question.target:g} is out of reach with --noise {question.noise:g}; give a larger target"
        )
    trials = tried(ranking, network, problem)
    return Answer(question, network, problem, ranking, predictions[0], trials, confidence(ranking, trials))


def _network(question: Question) -> SimulatedNetwork:
    try:
        network = SimulatedNetwork.of(question.network)
        network.check_nodes(question.nodes)
        if question.compute_seconds is not None:
            network = replace(network, compute=replace(network.compute, seconds=question.compute_seconds))
    except (ValueError, OSError) as error:
        raise explained(error) from None
    return on_hosts(network, question.nodes, question.hosts)
