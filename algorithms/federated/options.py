"""What the options of federated methods may be."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from algorithms.checks import check
from algorithms.federated.sampling import SAMPLINGS, WEIGHTINGS
from algorithms.optimizers import LocalOptimizer
from algorithms.schedules.learning_rate import LearningRate, check_learning_rate

if TYPE_CHECKING:
    from algorithms.federated.federated import Federated


def check_options(method: Federated[Any]) -> None:
    """Refuse options that are out of range, or do not go with each other."""
    check_learning_rate(method, method.lr)
    valid = isinstance(method.server_lr, LearningRate) or 0 < method.server_lr < math.inf
    check(valid, method, "server_lr", "> 0, or a schedule of the round")
    check(method.local_steps >= 1, method, "local_steps", ">= 1")
    number = isinstance(method.participation, int)
    valid = method.participation >= 1 if number else 0 < method.participation <= 1
    check(valid, method, "participation", "an integer >= 1, or a share in (0, 1]")
    valid = all(1 <= steps <= method.local_steps for steps in method.client_steps or ())
    check(valid, method, "client_steps", f"between 1 and local_steps = {method.local_steps}")
    plain = method.client_steps is None or type(method.optimizer).model is LocalOptimizer.model
    check(plain, method, "client_steps", "None with this optimizer, whose models are not where gradients are taken")
    check(not method.optimizer.communicates, method, "optimizer", "one that sends nothing in local iterations")
    _check_sampling(method)
    _check_links(method)
    if method.uneven:
        _check_uneven(method)


def _check_sampling(method: Federated[Any]) -> None:
    """Who is drawn, and what each counts."""
    check(method.sampling in SAMPLINGS, method, "sampling", f"one of {', '.join(SAMPLINGS)}")
    check(method.weighting in WEIGHTINGS, method, "weighting", f"one of {', '.join(WEIGHTINGS)}")
    choosing = method.sampling == "power-of-choice"
    valid = not choosing or method.weighting != "unbiased"
    check(valid, method, "weighting", "sampled or all with power-of-choice, which is biased")
    given = method.candidates is not None
    check(given == choosing, method, "candidates", "given with power-of-choice, and only then")
    if isinstance(method.weights, str):
        check(method.weights in ("equal", "examples"), method, "weights", 'numbers, "equal" or "examples"')
    else:
        valid = all(0 <= weight < math.inf for weight in method.weights) and any(method.weights)
        check(valid, method, "weights", ">= 0, and not all 0")


def _check_links(method: Federated[Any]) -> None:
    """What is compressed."""
    given = method.compressor is not None
    check(method.error_feedback or given, method, "error_feedback", "left out without a compressor")
    compressed = given or method.server_compressor is not None
    check(not compressed or method.server == "node", method, "server", '"node" with compressed links')


def _check_uneven(method: Federated[Any]) -> None:
    """What does not go with clients that are absent or drop out."""
    check(method.weighting != "unbiased", method, "weighting", "sampled or all where clients are absent or drop out")
    plain = method.delivery.unfinished == "lost" or type(method.optimizer).model is LocalOptimizer.model
    check(plain, method, "delivery", 'one of unfinished = "lost" with this optimizer, whose models are elsewhere')
    valid = not method.delivery.extra or method.sampling != "proportional"
    check(valid, method, "sampling", "another one with over-selection, as this one draws a client several times")
