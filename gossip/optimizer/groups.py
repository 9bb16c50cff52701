"""Parameter groups: their options act or are refused, and the same parameters stay in them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches
from numbers import Real
from typing import Any

from torch import Tensor

from algorithms import Algorithm

ACTING = ("lr", "weight_decay")
# Names that users and torch give to groups, and what torch's schedulers of learning rates keep there for themselves.
NOTES = {"params", "param_names", "name", "initial_lr", "max_lr", "min_lr", "swa_lr"}
CYCLED = {"momentum", "betas", "max_momentum", "base_momentum"}  # what schedulers change beside the learning rate
TORCH = {"foreach", "fused", "capturable", "differentiable"}  # how torch's own optimizers compute a step

Group = dict[str, Any]


@dataclass(frozen=True)
class Trained:
    """The parameters of the groups that are trained.

    Attributes:
        parameters: In the order of the groups.
        groups: The number of the group of each of them.
        sizes: How many numbers of each group are trained.
        left_out: The other parameters, which may be taken up later.
    """

    parameters: list[Tensor]
    groups: list[int]
    sizes: list[int]
    left_out: list[Tensor]

    @classmethod
    def of(cls, groups: Sequence[Group], before: Sequence[Tensor] = ()) -> Trained:
        """Those that require a gradient now, and those from before."""
        kept = set(before)
        every = [(p, number) for number, group in enumerate(groups) for p in group["params"]]
        taken = [(p, number) for p, number in every if p.requires_grad or p in kept]
        sizes = [sum(p.numel() for p, of in taken if of == number) for number in range(len(groups))]
        parameters = [p for p, _ in taken]
        trained = set(parameters)
        left_out = [p for p, _ in every if p not in trained]
        return cls(parameters, [number for _, number in taken], sizes, left_out)


class Groups:
    """The parameter groups of an optimizer, which are looked at in each step, as anybody may change them.

    Args:
        algorithm: Whose settings they may be mistaken for; None if the options are those of a local optimizer.
        groups: As they are now.

    Raises:
        ValueError: if one has an option that cannot act, or a value that is not allowed.
    """

    def __init__(self, algorithm: Algorithm | None, groups: Sequence[Group]) -> None:
        self._algorithm = algorithm
        self._parameters = [list(group["params"]) for group in groups]
        self._seen: list[set[str]] = []
        self.check(groups)

    def check(self, groups: Sequence[Group]) -> None:
        """Refuse what has come to them.

        Raises:
            ValueError: as above, or if parameters were added or taken away.
        """
        check_members(self._parameters, groups)
        if self._algorithm is None:
            return
        if [group.keys() for group in groups] != self._seen:
            for number, group in enumerate(groups):
                check_options(self._algorithm, group, number)
            self._seen = [set(group) for group in groups]
        for number, group in enumerate(groups):
            for option in ACTING:
                check_value(group[option], option, number)


def check_members(parameters: Sequence[Sequence[Tensor]], groups: Sequence[Group]) -> None:
    """Refuse groups whose parameters are not these any more.

    Raises:
        ValueError: naming the group.
    """
    if len(groups) != len(parameters):
        raise ValueError(
            f"there are {len(groups)} parameter groups, and there were {len(parameters)} when the gossip.Optimizer "
            f"was made: it takes no further parameters and gives none up; make another one"
        )
    for number, (before, group) in enumerate(zip(parameters, groups, strict=True)):
        now = group["params"]
        if len(now) != len(before) or any(p is not q for p, q in zip(now, before, strict=True)):
            raise ValueError(
                f"parameter group {number} has other parameters than when the gossip.Optimizer was made; make another"
            )


def check_options(algorithm: Algorithm, group: Group, number: int) -> None:
    """Refuse options of a group that would have no effect, and the lack of those that every group has.

    Raises:
        ValueError: naming the first.
    """
    for option in group:
        if option not in NOTES and option not in ACTING:
            raise ValueError(
                f"parameter group {number} has an option {option!r}, which would have no effect: groups have "
                f"{' and '.join(ACTING)} of their own; {_instead(algorithm, option)}"
            )
    for option in ACTING:
        if option not in group:
            raise ValueError(f"parameter group {number} has lost its option {option!r}")


def check_value(value: Any, option: str, number: int) -> None:
    """Refuse a value of an option that acts, unless it is a number >= 0.

    Raises:
        ValueError: naming the group.
    """
    if isinstance(value, Tensor) and value.numel() == 1:
        value = value.item()
    if not (isinstance(value, Real) and 0 <= float(value) < math.inf):
        raise ValueError(f"parameter group {number} has {option} = {value!r}, which must be a finite number >= 0")


def _instead(algorithm: Algorithm, option: str) -> str:
    """What to do instead of giving this option to a group."""
    name = type(algorithm).__name__
    setting = any(field.name == option for field in fields(algorithm))
    hint = f"it is a setting of the algorithm, {name}({option}=...)" if setting else ""
    if option in CYCLED:
        hint = hint or f"{name} has no such setting by group"
        return f"{hint}; torch's OneCycleLR and CyclicLR need cycle_momentum=False"
    if option == "maximize":
        return "minimise the negative of the loss instead"
    if option in TORCH:
        return "it is about how torch's own optimizers compute a step; leave it out"
    alike = get_close_matches(option.lower().strip("_"), ACTING, 1)
    if alike:
        return f"did you mean {alike[0]!r}?"
    return hint or "settings of all parameters are those of the algorithm"
