"""What attackers send in the place of what their method would have them send."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import ClassVar

import torch
from torch import Tensor

from algorithms.checks import check, positive
from algorithms.randomness import Draw


@dataclass(frozen=True)
class Attack:
    """How attackers forge what they send. Its fields are its parameters.

    `Attacked` says who attacks, from when, and how a forged row travels.
    """

    colludes: ClassVar[bool] = False
    """Whether attackers must know rows of others, see `known`. What they tell each other is not counted."""

    def forge(self, own: Tensor, known: Tensor, attackers: int, nodes: int, draw: Draw) -> Tensor:
        """What attackers send, (a, d), given what the method would have them send.

        A row depends on nothing but its own attacker and what it knows, not on who shares its process.

        Args:
            own: (a, d), the rows of the local attackers, a >= 1.
            known: Those of the nodes that `known` says, if they collude; otherwise `own`.
            attackers: How many there are.
            nodes: How many nodes there are, those that cannot attack left out.
            draw: Random streams of the local attackers, in the rows of `own`.
        """
        raise NotImplementedError

    def known(self, attackers: tuple[int, ...]) -> tuple[int, ...]:
        """Whose rows all attackers know, ascending, if they collude: by default their own.

        Args:
            attackers: Their numbers, ascending.
        """
        return attackers

    def check_attackers(self, attackers: int, nodes: int) -> None:
        """Refuse numbers of attackers and nodes with which it has no effect or no meaning."""


@dataclass(frozen=True)
class SignFlip(Attack):
    """-scale times what the method would send: gradient ascent, of a method that sends gradients.

    Args:
        scale: > 0; large ones do more harm and are easier to see.
    """

    scale: float = 1.0

    def __post_init__(self) -> None:
        check(positive(self.scale), self, "scale", "> 0")

    def forge(self, own: Tensor, known: Tensor, attackers: int, nodes: int, draw: Draw) -> Tensor:
        return -self.scale * own


@dataclass(frozen=True)
class Scaling(Attack):
    """factor times what the method would send, so that the attacker's data count for more: model replacement.

    Bagdasaryan, Veit, Hua, Estrin, Shmatikov, "How To Backdoor Federated Learning", AISTATS 2020, arXiv 1807.00459. By
    itself it harms a method with a large learning rate only; with false data (`FlippedLabels`) it makes them prevail.

    Args:
        factor: > 1; the number of nodes replaces the mean.
    """

    factor: float = 10.0

    def __post_init__(self) -> None:
        check(positive(self.factor) and self.factor > 1, self, "factor", "> 1")

    def forge(self, own: Tensor, known: Tensor, attackers: int, nodes: int, draw: Draw) -> Tensor:
        return self.factor * own


@dataclass(frozen=True)
class InnerProductManipulation(Attack):
    """-epsilon times the mean of what the attackers would have sent, all alike.

    Xie, Koyejo, Gupta, "Fall of Empires: Breaking Byzantine-tolerant SGD by Inner Product Manipulation", UAI 2019,
    arXiv 1903.03936. It wants the aggregate to have a negative inner product with the true gradient. With a small
    epsilon the forged rows are close to each other and to the honest ones, and rules that look at distances take them.

    Args:
        epsilon: > 0; the paper has 0.1 and others.
    """

    colludes: ClassVar[bool] = True

    epsilon: float = 0.1

    def __post_init__(self) -> None:
        check(positive(self.epsilon), self, "epsilon", "> 0")

    def forge(self, own: Tensor, known: Tensor, attackers: int, nodes: int, draw: Draw) -> Tensor:
        return (-self.epsilon * (_sum_of_rows(known) / len(known))).repeat(len(own), 1)


@dataclass(frozen=True)
class GaussianNoise(Attack):
    """Independent normal numbers of mean 0.

    Args:
        deviation: Of each number, > 0.
    """

    deviation: float = 1.0

    def __post_init__(self) -> None:
        check(positive(self.deviation), self, "deviation", "> 0; Zeros() sends zeros")

    def forge(self, own: Tensor, known: Tensor, attackers: int, nodes: int, draw: Draw) -> Tensor:
        drawn = [torch.from_numpy(draw.generator(row).standard_normal(own.shape[1])) for row in range(len(own))]
        return (self.deviation * torch.stack(drawn)).to(own)


@dataclass(frozen=True)
class Mimic(Attack):
    """What one honest node sends, all alike: its data count for more, and no rule can tell the copies from it.

    Karimireddy, He, Jaggi, "Byzantine-Robust Learning on Heterogeneous Datasets via Bucketing", ICLR 2022, arXiv
    2006.09365. It harms where the data of the nodes differ. The node is a fixed one, where the paper's attackers first
    look, through some iterations, for that whose rows stand out most along the direction of the largest variance.

    Args:
        node: Its number, >= 0, none of the attackers; if a method has but some nodes take part, one that does.
    """

    colludes: ClassVar[bool] = True

    node: int = 0

    def __post_init__(self) -> None:
        check(self.node >= 0, self, "node", ">= 0")

    def known(self, attackers: tuple[int, ...]) -> tuple[int, ...]:
        check(self.node not in attackers, self, "node", f"an honest node, none of the attackers {attackers}")
        return (self.node,)

    def check_attackers(self, attackers: int, nodes: int) -> None:
        check(self.node < nodes, self, "node", f"among 0 to {nodes - 1}, the nodes that could attack")

    def forge(self, own: Tensor, known: Tensor, attackers: int, nodes: int, draw: Draw) -> Tensor:
        return known.repeat(len(own), 1)


@dataclass(frozen=True)
class Zeros(Attack):
    """Nothing but zeros: attackers that do not help."""

    def forge(self, own: Tensor, known: Tensor, attackers: int, nodes: int, draw: Draw) -> Tensor:
        return torch.zeros_like(own)


@dataclass(frozen=True)
class ALittleIsEnough(Attack):
    """The mean of what the attackers would have sent, moved against it by a few deviations, all alike.

    Baruch, Baruch, Goldberg, "A Little Is Enough: Circumventing Defenses For Distributed Learning", NeurIPS 2019, arXiv
    1902.06156. Entry by entry, mu and sigma being the mean and the deviation over the m attackers' own rows,

        mu - z sigma

    is still closer to the mean of all than some honest rows are, for which robust rules take it. With n nodes,

        z = Phi^-1((n - m - s) / (n - m)),   s = floor(n / 2 + 1) - m

    is the largest for which s honest nodes are expected to be further away; it exists where m < n / 2.

    Args:
        deviations: z, > 0; by default that one.
    """

    colludes: ClassVar[bool] = True

    deviations: float | None = None

    def __post_init__(self) -> None:
        check(self.deviations is None or positive(self.deviations), self, "deviations", "> 0, or None")

    def check_attackers(self, attackers: int, nodes: int) -> None:
        if attackers < 2:
            raise ValueError("ALittleIsEnough needs at least 2 attackers: the deviation of a single one is 0")
        if self.deviations is None and not self.z(attackers, nodes) > 0:
            raise ValueError(
                f"ALittleIsEnough: {attackers} attackers among {nodes} nodes have no z > 0 of the paper's; say how "
                f"large with deviations"
            )

    def z(self, attackers: int, nodes: int) -> float:
        """`deviations`, or the paper's, which is 0 where there is none."""
        if self.deviations is not None:
            return self.deviations
        honest = nodes - attackers
        closer = honest - (nodes // 2 + 1 - attackers)
        return NormalDist().inv_cdf(closer / honest) if 0 < closer < honest else 0.0

    def forge(self, own: Tensor, known: Tensor, attackers: int, nodes: int, draw: Draw) -> Tensor:
        mean = _sum_of_rows(known) / len(known)
        deviation = (_sum_of_rows((known - mean).square()) / len(known)).sqrt()
        return (mean - self.z(attackers, nodes) * deviation).repeat(len(own), 1)


def _sum_of_rows(rows: Tensor) -> Tensor:
    """(d,), one row after the other."""
    total = rows[0].clone()
    for row in rows[1:]:
        total += row
    return total
