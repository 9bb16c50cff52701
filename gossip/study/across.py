"""What comes of a study across the values of one numeric option, such as the number of nodes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from gossip.study.results import Cell, named
from gossip.study.statistics import Spread
from gossip.study.values import text_of

FEWEST = 3  # values that make a line worth drawing

Points = Sequence[tuple[float, Spread]]


def numeric_options(cells: Sequence[Cell]) -> list[str]:
    """The options with a number in every cell, and with at least three different ones among cells that are otherwise
    alike."""
    keys = [key for key in dict.fromkeys(key for cell in cells for key in cell.options) if _values(cells, key)]
    return [key for key in keys if any(len(group) >= FEWEST for group in _groups(cells, key).values())]


def lines(cells: Sequence[Cell], key: str, of: Callable[[Cell], Spread | None]) -> dict[str, Points]:
    """For all cells that differ in one option only: their name without it -> its values, ascending, with what is asked.

    Args:
        cells: All of a study.
        key: One of their `numeric_options`.
        of: What is asked of a cell; left out where it is None.
    """
    groups = _groups(cells, key)
    names = [name for name, _ in named([_others(group[0], key) for group in groups.values()])]
    found: dict[str, Points] = {}
    for name, group in zip(names, groups.values(), strict=True):
        points = [(number, seen) for cell in group if (seen := of(cell)) and (number := _number(cell, key)) is not None]
        if points:
            found[name] = sorted(points, key=lambda point: point[0])
    return found


def _groups(cells: Sequence[Cell], key: str) -> dict[str, list[Cell]]:
    groups: dict[str, list[Cell]] = {}
    for cell in cells:
        groups.setdefault(str({name: text_of(value) for name, value in _others(cell, key).items()}), []).append(cell)
    return groups


def _others(cell: Cell, key: str) -> Mapping[str, object]:
    return {name: value for name, value in cell.options.items() if name != key}


def _values(cells: Sequence[Cell], key: str) -> list[float]:
    """The number of each cell; empty if one has none."""
    numbers = [_number(cell, key) for cell in cells]
    return [] if None in numbers else [number for number in numbers if number is not None]


def _number(cell: Cell, key: str) -> float | None:
    try:
        return float(text_of(cell.options[key]))
    except (KeyError, ValueError):
        return None
