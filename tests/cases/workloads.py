"""What the cases train, made when it is needed: the workloads are gossip's."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Made = Callable[[int], object]


def least_squares(nodes: int) -> object:
    """A small heterogeneous problem."""
    from gossip.workloads import LeastSquares

    random = np.random.default_rng(1)
    return LeastSquares(random.normal(size=(nodes, 11, 10)), random.normal(size=(nodes, 11)), l2=0.01)


def averaging(**options: int) -> Made:
    """The average of vectors that the nodes hold."""

    def make(nodes: int) -> object:
        from gossip.workloads import Averaging

        return Averaging(**options)

    return make


def digits(split: float | None = None, **options: int) -> Made:
    """Handwritten digits; `split` is the alpha of Dirichlet's."""

    def make(nodes: int) -> object:
        from gossip.workloads import Digits, Dirichlet

        return Digits(**options) if split is None else Digits(**options, split=Dirichlet(split))  # type: ignore[arg-type]

    return make


def logistic_regression(nodes: int) -> object:
    """On nodes with different numbers of examples."""
    from gossip.workloads import Dirichlet, LogisticRegression

    return LogisticRegression(split=Dirichlet(1.0))


def sigmoid_loss(nodes: int) -> object:
    """On nodes with different numbers of examples."""
    from gossip.workloads import Dirichlet, SigmoidLoss

    return SigmoidLoss(split=Dirichlet(1.0))


def adversarial_perturbation(nodes: int) -> object:
    """Of few images."""
    from gossip.workloads import AdversarialPerturbation

    return AdversarialPerturbation(images=16)
