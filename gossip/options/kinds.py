"""What may be named on the command line: classes, and topologies, each by its own name."""

from __future__ import annotations

from functools import cache

from jsonargparse import class_from_function, set_parsing_settings

import topologies
from algorithms import (
    AdaComm,
    AdaptiveClipping,
    Aggregator,
    Attack,
    Availability,
    Compressor,
    EventThreshold,
    LearningRate,
    LocalOptimizer,
    Mechanism,
    Method,
    Oracle,
    Proximal,
    StalenessDiscount,
)
from algorithms.compressors.sparsifiers.sparsifier import Sparsifier
from gossip.availability_file import AvailabilityFile as AvailabilityFile  # one that may be named
from gossip.network import SimulatedClock
from gossip.workloads import Split, Workload
from topologies import Schedule

KINDS = {  # what may be named, by the last word of the option that names it
    "adaptive": AdaptiveClipping,
    "aggregator": Aggregator,
    "algorithm": Method,
    "attack": Attack,
    "availability": Availability,
    "clock": SimulatedClock,
    "compressor": Compressor,
    "contraction": Compressor,
    "discount": StalenessDiscount,
    "lr": LearningRate,
    "mechanism": Mechanism,
    "optimizer": LocalOptimizer,
    "oracle": Oracle,
    "period": AdaComm,
    "prox": Proximal,
    "quantizer": Compressor,
    "sparsifier": Sparsifier,
    "split": Split,
    "then": LearningRate,
    "threshold": EventThreshold,
    "topology": Schedule,
    "unbiased": Compressor,
    "workload": Workload,
}
UNFINISHED = {  # what others derive from
    "Algorithm",
    "Asynchronous",
    "AsynchronousFederated",
    "Composition",
    "Federated",
    "FixedSparsifier",
    "KeepsFixedNumber",
    "Layerwise",
    "LinearCompressor",
    "LocalUpdates",
    "LowRank",
    "Partition",
    "Quantizer",
    "RandomSchedule",
    "Sparsifier",
    "Topology",
    "TwoWayMethod",
}


def let_the_parser_know() -> None:
    """Tell jsonargparse, which keeps that for the process: a command's, before it parses.

    It finds classes by name in modules, and topologies are functions: each gets a class of this module that stands for
    it.
    """
    _name_topologies()
    set_parsing_settings(subclasses_enabled=list(KINDS.values()))


@cache
def _name_topologies() -> None:
    # Once in a process: it looks through all modules for the one that it is called from.
    for family in topologies.FAMILIES:
        class_from_function(family, name=family.__name__)


def names(kind: type) -> set[str]:
    """The names of a class's subclasses, of all generations, that may stand on the command line."""
    found: set[str] = set()
    children: list[type] = kind.__subclasses__()
    for child in children:
        found |= {child.__name__} | names(child)
    return found - UNFINISHED
