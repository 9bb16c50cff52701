"""The topologies of the cells: their numbers and their pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from gossip.errors import GossipError
from gossip.options.command_line import parse
from gossip.study.results import Cell
from gossip.yaml_files import parse_yaml
from topologies import Schedule, contraction_per_round

DENSE_NODES = 1000  # up to here a spectral gap takes a second at most
DRAWN_NODES = 300
DRAWN = 24  # graphs on a page


@dataclass(frozen=True)
class Graph:
    """A topology and its numbers."""

    topology: Schedule

    gap: float | None
    """The share of the distance to consensus that goes away in a round; of a static symmetric W, the spectral gap."""

    @property
    def facts(self) -> str:
        """Its numbers in words."""
        parts = [f"{self.topology.n} nodes"]
        if self.topology.period != 1:
            parts.append("rounds without end" if self.topology.period is None else f"{self.topology.period} rounds")
        return ", ".join([*parts, *([] if self.gap is None else [f"spectral gap {self.gap:.4g}"])])


def graphs(cells: Sequence[Cell]) -> list[Graph | None]:
    """The topology of each cell, one object for all that have the same; None where it cannot be made again."""
    made: dict[str, Graph | None] = {}
    found = []
    for cell in cells:
        config = next((run.config for run in cell.runs if run.config), "")
        part = _part(config)
        text = yaml.safe_dump(part)
        if text not in made:
            made[text] = _graph(part)
        found.append(made[text])
    return found


def _part(config: str) -> dict[str, Any]:
    try:
        kept = parse_yaml(config)
    except (ValueError, yaml.YAMLError):
        return {}
    return {key: kept[key] for key in ("topology", "nodes") if key in kept} if isinstance(kept, dict) else {}


def _graph(part: dict[str, Any]) -> Graph | None:
    if set(part) != {"topology", "nodes"}:
        return None
    try:
        topology = parse([f"--topology={_json(part['topology'])}", f"--nodes={part['nodes']}"], ranks=1).topology
    except (GossipError, OSError):
        return None  # it was made by code or a file that is gone
    assert isinstance(topology, Schedule)
    known = topology.row_stochastic and topology.n <= DENSE_NODES
    return Graph(topology, contraction_per_round(topology) if known else None)


def _json(value: Any) -> str:
    import json

    return value if isinstance(value, str) else json.dumps(value)
