"""The table of what the nodes of a topology are called."""

from __future__ import annotations

import csv
from pathlib import Path

from topologies.schedule import Schedule
from topologies.topology import Topology


def write_labels(topology: Schedule, path: Path) -> bool:
    """Write a line with the number and the label of each node, if they differ.

    Args:
        topology: any.
        path: of the CSV file to write, with the columns node and label, in UTF-8.

    Returns:
        Whether there is such a table.
    """
    labels = topology.labels if isinstance(topology, Topology) else None
    if labels is None:
        return False
    with path.open("w", newline="", encoding="utf-8") as table:
        writer = csv.writer(table, lineterminator="\n")
        writer.writerow(["node", "label"])
        writer.writerows(enumerate(labels))
    return True
