"""The command line of `python -m gossip.advise`. Knows no torch."""

from __future__ import annotations

import math
from argparse import Namespace, RawDescriptionHelpFormatter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gossip.console.parser import Parser
from gossip.errors import UsageError

MOST_NODES = 256  # on dense matrices and in Python's loops over messages; more take minutes
LABELS = 10  # classes of the data, for Dirichlet's distribution
ONE_LABEL = 3.0  # zeta^2 where each node has one class; measured, see docs/advise.md
ONE_EXAMPLE = 8.0  # sigma^2 of the gradient of one example, likewise
BATCH, SHARD = 32, 240  # examples of a gradient, and of a node, that are assumed
NOISE = ONE_EXAMPLE / BATCH
IID = ONE_EXAMPLE / SHARD  # what is left as zeta^2 where examples are drawn at random
TARGET = 0.05
EXAMPLES = """
  python -m gossip.advise --nodes 64 --hosts 8 --parameters 25e6 --network wan
  python -m gossip.advise --nodes 16 --hosts 2 --parameters 25e6 --network two_centres.yaml --verify
"""


@dataclass(frozen=True)
class Verification:
    """How the answer is put to the test."""

    output: Path
    seeds: int
    steps: int
    processes: int | None


@dataclass(frozen=True)
class Question:
    """What is asked, in units that `gossip.advise.rates.Problem` explains."""

    nodes: int
    hosts: int | None
    parameters: int
    network: str
    compute_seconds: float | None
    heterogeneity: float
    """zeta^2."""

    said: str
    """The same as it was given."""

    noise: float
    target: float
    shown: int
    json: Path | None = None
    verification: Verification | None = None


def parse(arguments: Sequence[str]) -> Question | int:
    """What the command line asks, or the exit code of --help.

    Raises:
        UsageError: It cannot be understood, or a number is out of range.
    """
    try:
        options = _parser().parse_args(list(arguments))
    except SystemExit as stop:
        return int(stop.code or 0)
    _check(options)
    return Question(
        options.nodes,
        options.hosts,
        int(options.parameters),
        options.network,
        options.compute_seconds,
        _heterogeneity(options.heterogeneity),
        options.heterogeneity,
        options.noise,
        options.target,
        options.top,
        options.json,
        _verification(options),
    )


def _check(options: Namespace) -> None:
    limits = (
        ("nodes", 2 <= options.nodes <= MOST_NODES, f"from 2 to {MOST_NODES}"),
        ("hosts", options.hosts is None or options.hosts >= 1, ">= 1"),
        ("parameters", 1 <= options.parameters < 1e15, ">= 1"),
        ("compute-seconds", options.compute_seconds is None or 0 <= options.compute_seconds < math.inf, ">= 0"),
        ("noise", 0 <= options.noise < math.inf, ">= 0"),
        ("target", 0 < options.target <= 1, "in (0, 1]"),
        ("top", options.top >= 1, ">= 1"),
        *((name, getattr(options, name) is None or getattr(options, name) >= 1, ">= 1")
          for name in ("seeds", "steps", "processes")),
    )  # fmt: skip
    for name, valid, allowed in limits:
        if not valid:
            value = getattr(options, name.replace("-", "_"))
            raise UsageError(f"--{name} {value} is not allowed; it must be {allowed}")
    if options.hosts is not None and options.nodes % options.hosts:
        raise UsageError(
            f"--hosts {options.hosts} does not divide --nodes {options.nodes}; hosts have equally many nodes here"
        )
    if not options.verify:
        for name in ("output", "seeds", "steps", "processes"):
            if getattr(options, name) is not None:
                raise UsageError(f"--{name} has no effect without --verify")


def _heterogeneity(text: str) -> float:
    """zeta^2: of one-label nodes Z, of shares of labels by Dirichlet's distribution Z / (1 + K alpha)."""
    kind, _, number = text.partition(":")
    try:
        value = float(number or "nan")
    except ValueError:
        value = math.nan
    if text == "iid":
        return IID
    if kind == "dirichlet" and 0 < value < math.inf:
        return ONE_LABEL / (1 + LABELS * value) + IID
    if kind == "zeta" and 0 <= value < math.inf:
        return value
    raise UsageError(
        f"--heterogeneity {text} is not allowed; it must be iid, dirichlet:ALPHA with ALPHA > 0, or zeta:VALUE with "
        f"zeta^2 >= 0, such as dirichlet:0.1"
    )


def _verification(options: Namespace) -> Verification | None:
    if not options.verify:
        return None
    return Verification(
        options.output or Path("studies") / "advice", options.seeds or 1, options.steps or 300, options.processes
    )


def _parser() -> Parser:
    parser = Parser(
        prog="python -m gossip.advise",
        description="Which method, on which graph, how often and how much compressed: ranked by the seconds that a "
        "simulated clock and the known rates predict, with the reasons, and with what that does not know.",
        epilog=f"examples:{EXAMPLES}",
        formatter_class=RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--nodes", type=int, required=True, metavar="N", help="models that are trained, one on each node")
    add("--hosts", type=int, metavar="M", help="machines, or sites, of equally many nodes that share a link")
    add("--parameters", type=float, required=True, metavar="D", help="of the model, in float32, such as 25e6")
    add("--network", required=True, help="lan, wan, hpc, edge, or a file, as of gossip.train")
    add("--compute-seconds", type=float, metavar="S", help="of a gradient (default: as the network says)")
    add(
        "--heterogeneity",
        default="iid",
        metavar="HOW",
        help="of the nodes' data: iid, dirichlet:ALPHA, or zeta:VALUE, which is zeta^2 / (L (F(x_0) - F*)) (iid)",
    )
    add("--noise", type=float, default=NOISE, metavar="VALUE", help=f"sigma^2, in the same units ({NOISE:g})")
    add(
        "--target",
        type=float,
        default=TARGET,
        metavar="VALUE",
        help=f"mean squared gradient norm that is to be reached, in the same units ({TARGET:g})",
    )
    add("--top", type=int, default=10, metavar="N", help="rows of the table (10)")
    add("--json", type=Path, metavar="FILE", help="write the whole ranking with all terms")
    add("--verify", action="store_true", help="run the three best and all-reduce SGD as a study on this network")
    add("--output", type=Path, metavar="DIR", help="that study's directory (default: studies/advice)")
    add("--seeds", type=int, metavar="N", help="seeds of the study (default: 1)")
    add("--steps", type=int, metavar="N", help="steps of its runs (default: 300)")
    add("--processes", type=int, metavar="N", help="processes that compute it (default: one a core)")
    return parser
