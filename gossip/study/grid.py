"""What a study is: which cells it has, and with how many seeds each is run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from gossip.errors import UsageError
from gossip.study.values import Options, Range, flat, same, text_of

Values = Mapping[str, Sequence[Any]]


@dataclass(frozen=True)
class Cell:
    """A configuration without a seed."""

    options: Options
    """What is given of a run's options."""

    tuned: Mapping[str, Range] = field(default_factory=dict)
    """The options that are looked for, and where."""


@dataclass(frozen=True)
class When:
    """A condition, and what cells that meet it also vary."""

    condition: Values
    """Each of these options has one of these values."""

    values: Values
    """All combinations of these are cells."""

    tuned: Mapping[str, Range] = field(default_factory=dict)
    """What is looked for in them."""


@dataclass(frozen=True)
class Grid:
    """All combinations of some options' values."""

    values: Values = field(default_factory=dict)
    """The values of options that vary independently; one value is a constant."""

    zipped: Sequence[Values] = ()
    """Options that vary together: the lists of each have the same length."""

    excluded: Sequence[Values] = ()
    """What is left out: cells of which all these options have one of these values."""

    conditions: Sequence[When] = ()
    """What varies in some cells only."""

    tuned: Mapping[str, Range] = field(default_factory=dict)
    """The options that are looked for in all cells."""

    def __post_init__(self) -> None:
        for together in self.zipped:
            lengths = {key: len(values) for key, values in together.items()}
            if len(set(lengths.values())) > 1:
                given = ", ".join(f"{key} has {length}" for key, length in lengths.items())
                raise UsageError(f"options that are zipped need lists of the same length; {given} values")
        keys = [*self.values, *(key for together in self.zipped for key in together), *self.tuned]
        for key in keys:
            if keys.count(key) > 1:
                raise UsageError(f"{key} is given twice, by set, zip or tune; each option varies in one way")

    def cells(self) -> list[Cell]:
        """The cells, in the order of the lists, the last option varying fastest, each once.

        Raises:
            UsageError: There are none, or an exclusion or a condition meets none of them.
        """
        met: set[int] = set()
        cells = [more for cell in self._grid() for more in self._extended(cell, met)]
        for number, when in enumerate(self.conditions):
            if number not in met:
                raise UsageError(f"no cell meets the condition {_shown(when.condition)}; leave it out or mend it")
        for excluded in self.excluded:
            if not any(_meets(cell.options, excluded) for cell in cells):
                raise UsageError(f"no cell is excluded by {_shown(excluded)}; leave it out or mend it")
        left = [cell for cell in cells if not any(_meets(cell.options, each) for each in self.excluded)]
        if not left:
            raise UsageError("the study has no cells: all combinations are excluded")
        return list({str(_texts(cell.options)): cell for cell in left}.values())

    def _grid(self) -> Iterator[Cell]:
        axes: list[list[Options]] = [[{key: value} for value in values] for key, values in self.values.items()]
        for together in self.zipped:
            axes.append([dict(zip(together, row, strict=True)) for row in zip(*together.values(), strict=True)])
        for parts in product(*axes):
            yield Cell(flat({key: value for part in parts for key, value in part.items()}), self.tuned)

    def _extended(self, cell: Cell, met: set[int]) -> Iterator[Cell]:
        cells = [cell]
        for number, when in enumerate(self.conditions):
            following: list[Cell] = []
            for each in cells:
                if not _meets(each.options, when.condition):
                    following.append(each)
                    continue
                met.add(number)
                for values in product(*when.values.values()):
                    options = {**each.options, **flat(dict(zip(when.values, values, strict=True)))}
                    following.append(Cell(options, {**each.tuned, **when.tuned}))
            cells = following
        yield from cells


def _meets(options: Options, condition: Values) -> bool:
    return all(
        key in options and any(same(options[key], value) for value in values) for key, values in condition.items()
    )


def _texts(options: Options) -> dict[str, str]:
    return {key: text_of(value) for key, value in sorted(options.items())}


def _shown(condition: Values) -> str:
    return " ".join(f"{key}={','.join(map(text_of, values))}" for key, values in condition.items())
