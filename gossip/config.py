"""The options of `python -m gossip.train`: classes by their own names, their fields as options. Rank 0 only."""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any

import topologies
from algorithms import Algorithm, Compressor, DecentralizedSGD, LearningRate, Minibatch, Oracle
from gossip.errors import UsageError
from gossip.trainer import Training
from gossip.workloads import Mnist, Split, Workload
from jsonargparse import ArgumentError, ArgumentParser, Namespace, class_from_function, set_parsing_settings
from topologies import Schedule

NODES = 16  # in a single process
STEPS = 400
BASES = (Algorithm, Compressor, LearningRate, Oracle, Split, Workload)

# jsonargparse finds classes by name, and topologies are functions: each gets a class that stands for it here.
for family in topologies.FAMILIES:
    globals()[family.__name__] = class_from_function(family, name=family.__name__)
    globals()[family.__name__].__module__ = __name__

set_parsing_settings(
    subclasses_enabled=list(BASES)
)


def parse(arguments: Sequence[str], ranks: int) -> Training:
    """What the command line asks for.

    Args:
        arguments: The command line without the program's name.
        ranks: Number of MPI processes, the default number of nodes if there are several.

    Raises:
        UsageError: if it cannot be understood or something is out of range.
        SystemExit: after --help or --print_config.
    """
    parser = _parser(ranks)
    try:
        options = parser.parse_args(list(arguments))
        config = parser.dump(options)
        chosen = parser.instantiate(options)
        topology = chosen.topology(chosen.nodes)
        return Training(
            workload=chosen.workload,
            topology=topology,
            algorithm=chosen.algorithm,
            oracle=chosen.oracle,
            steps=chosen.steps,
            seed=chosen.seed,
            evaluate_every=chosen.evaluate_every,
            evaluate_nodes=chosen.evaluate_nodes,
            output=chosen.output,
            progress=not chosen.quiet,
            config=config,
        )
    except (ArgumentError, ValueError, TypeError) as error:
        raise UsageError(_one_line(str(error))) from error


def _parser(ranks: int) -> ArgumentParser:
    parser = ArgumentParser(
        prog="python -m gossip.train",
        description="Decentralized training, in this process or on all ranks that mpirun or srun starts.",
        exit_on_error=False,
    )
    parser.add_argument("--config", action="config", help="Read options from a YAML file, such as a run's config.yaml.")
    parser.add_argument(
        "--nodes",
        type=int,
        default=ranks if ranks > 1 else NODES,
        help=f"Number of nodes; by default one a rank, or {NODES} in a single process.",
    )
    parser.add_argument(
        "--topology",
        type=Callable[[int], Schedule],  # type: ignore[arg-type]
        default={"class_path": "exponential"},
        help="Who talks to whom.",
    )
    parser.add_subclass_arguments(Algorithm, "algorithm", help="What is computed and sent.")
    parser.add_subclass_arguments(Workload, "workload", help="Data, model and loss.")
    parser.add_subclass_arguments(Oracle, "oracle", help="Where gradients come from.")
    parser.add_argument("--steps", type=int, default=STEPS, help="Number of iterations, >= 0.")
    parser.add_argument("--seed", type=int, default=0, help="Decides parameters, data split, batches and draws.")
    parser.add_argument("--evaluate_every", type=int | None, help="Steps between evaluations; 20 evaluations by default.")
    parser.add_argument("--evaluate_nodes", type=bool, default=True, help="Also evaluate every node's own model.")
    parser.add_argument("--output", type=str | None, default="runs", help="Where the run directory is made; null for none.")
    parser.add_argument("--quiet", action="store_true", help="Show no progress and no closing table.")
    parser.set_defaults(
        {
            "algorithm": {"class_path": "DecentralizedSGD"},
            "workload": {"class_path": "Mnist"},
            "oracle": {"class_path": "Minibatch"},
        }
    )
    return parser


def _one_line(message: str) -> str:
    """A parser's message on one line; for a name that it does not know, with the names it does."""
    unknown = re.search(r"Expected a dot import path string: (\S+)", message)
    if unknown is None:
        return re.sub(r"\s+", " ", message)
    name = unknown.group(1)
    option = (re.search(r'Parser key "([^"]+)"', message) or unknown).group(1)
    known = sorted(_names(Schedule) if option == "topology" else set().union(*map(_names, BASES)))
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    return f"--{option} does not know {name!r}; {hint}Known names: {', '.join(known)}; or give an import path"


def _names(base: type) -> set[str]:
    """The names of a class's subclasses, of all generations."""
    return {name for kind in base.__subclasses__() for name in {kind.__name__} | _names(kind)}
