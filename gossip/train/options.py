"""The options of `python -m gossip.train`: the fields of a training, whose classes are chosen by name. Rank 0 only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import MISSING, fields
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_type_hints

import yaml
from jsonargparse import ArgumentError, ArgumentParser

from algorithms.own_code import is_of_project, own_line
from gossip.errors import UsageError, of_own_code, traced
from gossip.execution.training import Training
from gossip.fields import descriptions
from gossip.network import TransportName
from gossip.train.kinds import let_the_parser_know
from gossip.train.messages import one_line
from gossip.workloads import Workload
from topologies import Schedule

NODES = 16  # in a single process
STEPS = 200
NOT_OPTIONS = ("start", "communicator", "progress", "config")  # fields that a command line has no words for
DEFAULTS = {  # where nothing else is named
    "algorithm": {"class_path": "DecentralizedSGD", "init_args": {"lr": 0.05, "momentum": 0.9}},
    "workload": {"class_path": "Mnist"},
    "oracle": {"class_path": "Minibatch"},
}


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
        named = _named(arguments)
        parser.set_defaults({name: default for name, default in DEFAULTS.items() if name not in named})
        options = parser.parse_args(list(arguments))
        config = parser.dump(options)
        chosen = parser.instantiate(options)
        given = {name: getattr(chosen, name) for name in option_names()}
        topology = chosen.topology(chosen.nodes)
        return Training(**given | {"topology": topology, "progress": not chosen.quiet, "config": config})
    except (ArgumentError, ValueError, TypeError) as error:
        place = None if is_of_project(error) else own_line(error)
        said = UsageError(one_line(str(error)) + (f" ({place})" if place else ""))
        raise traced(said, error if place else None) from error
    except Exception as error:  # what the constructor of a class of the user's own may raise
        own = of_own_code(error)
        if own is None:
            raise
        raise own from error


def words(**options: object) -> list[str]:
    """These options of a training as they stand on a command line.

    Raises:
        KeyError: One of them is none.
    """
    unknown = options.keys() - set(option_names())
    if unknown:
        raise KeyError(f"gossip.train has no option {unknown.pop()}")
    return [word for name, value in options.items() for word in (_flag(name), str(value))]


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def option_names() -> list[str]:
    """The fields of a training that are options of the command line, each under its own name."""
    return [field.name for field in fields(Training) if field.name not in NOT_OPTIONS]


def _parser(ranks: int) -> ArgumentParser:
    let_the_parser_know()
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
    kinds, defaults, texts = _types(), _defaults(), descriptions(Training)
    for name in option_names():
        text = texts[name].split("\n\n")[0].replace("None", "null")
        if kinds[name] is bool:
            parser.add_argument(_flag(name), action="store_true", help=text)
        else:
            parser.add_argument(_flag(name), type=kinds[name], default=defaults.get(name), help=text)
    parser.add_argument("--quiet", action="store_true", help="Show no progress and no closing table.")
    return parser


def _types() -> dict[str, Any]:
    """Field -> what may be given for it; a command line has no objects of the user's own."""
    elsewhere = {"networkx": SimpleNamespace(Graph=object), "Intracomm": object}
    given = get_type_hints(Training, localns=elsewhere)
    return given | {"topology": Callable[[int], Schedule], "workload": Workload, "transport": TransportName}


def _defaults() -> dict[str, Any]:
    """Field -> what it is where nothing is given, unless that depends on what else is given."""
    own = {field.name: field.default for field in fields(Training) if field.default is not MISSING}
    return own | {"steps": STEPS, "topology": {"class_path": "exponential"}, "oracle": None}


def _named(arguments: Sequence[str]) -> set[str]:
    """The options for which a class is named: it then has its own defaults, and none of another class."""
    options = {argument.split("=")[0].removeprefix("--") for argument in arguments}
    files = [value for option, value in pairwise(arguments) if option == "--config"]
    files += [argument.removeprefix("--config=") for argument in arguments if argument.startswith("--config=")]
    for file in map(Path, files):
        try:
            kept = yaml.safe_load(file.read_text())
        except (OSError, yaml.YAMLError):
            continue  # the parser says what is wrong with it
        options |= set(kept) if isinstance(kept, dict) else set()
    return options
