"""The options of `python -m gossip.train`: the fields of a training, whose classes are chosen by name. Rank 0 only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import MISSING, fields
from inspect import isclass
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_type_hints

import yaml
from jsonargparse import ArgumentError, ArgumentParser

from algorithms.own_code import is_of_project, own_line
from gossip.errors import GossipError, UsageError, of_own_code, traced
from gossip.execution.training import Training
from gossip.fields import descriptions
from gossip.network import TransportName
from gossip.options.checks import check_values
from gossip.options.kinds import let_the_parser_know
from gossip.options.messages import NotUnderstoodError, one_line
from gossip.workloads import Workload
from gossip.yaml_files import check_yaml, parse_value, read_yaml
from topologies import Schedule
from topologies.command.own import Own, resolved

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
        NotUnderstoodError: (a UsageError) if it cannot be understood.
        UsageError: if something is out of range.
        SystemExit: after --help or --print_config.
    """
    try:
        arguments, own = _own_topology([_appending(argument) for argument in arguments])
        parser, named = _parser(ranks, own), _named(arguments)
        parser.set_defaults({name: default for name, default in DEFAULTS.items() if name not in named})
        options = parser.parse_args(list(arguments))
    except (ArgumentError, ValueError, TypeError) as error:
        raise NotUnderstoodError(one_line(str(error))) from error
    try:
        for name, value in vars(options).items():
            check_values(name, value)
        config = parser.dump(options)
        chosen = parser.instantiate(options)
        given = {name: getattr(chosen, name) for name in option_names()}
        family = _function(chosen.topology) if own else chosen.topology
        topology = family(chosen.nodes)
        return Training(**given | {"topology": topology, "progress": not chosen.quiet, "config": config})
    except (ArgumentError, ValueError, TypeError) as error:
        place = None if is_of_project(error) else own_line(error)
        said = one_line(str(error)) + (f" ({place})" if place else "")
        raise traced(UsageError(said), error if place else None) from error
    except Exception as error:  # what the constructor of a class of the user's own may raise
        said_of_own = of_own_code(error)
        if said_of_own is None:
            raise
        raise said_of_own from error


def _appending(argument: str) -> str:
    """--logger NAME, which may stand several times, as jsonargparse takes it."""
    option, equals, value = argument.partition("=")
    return f"--loggers+{equals}{value}" if option == "--logger" else argument


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


def _own_topology(arguments: Sequence[str]) -> tuple[list[str], bool]:
    """(the arguments, whether the topology is a function of the user's).

    Then its options are part of its name, as in mine.small_world(rewiring=0.5): they are not among the parser's.
    """
    given = _settings(arguments)
    text = given["topology"][-1] if "topology" in given else _kept(arguments).get("topology")
    own = Own.read(text) if isinstance(text, str) else None
    if own is None or (own.path.startswith(("topologies.", "gossip.")) or isclass(resolved(own.path))):
        return list(arguments), False
    options = dict(own.options)
    for name, values in given.items():
        if name.startswith("topology."):
            options[name.removeprefix("topology.")] = _literal(values[-1])
    own = Own(own.path, options)
    own.function()  # refuses what it does not have
    return [*_without(arguments, "topology"), "--topology", str(own)], True


def _function(text: str) -> Callable[[int], Schedule]:
    own = Own.read(text)
    assert own is not None, "read before"
    return own.function()


def _literal(text: str) -> Any:
    """A number, a list or the like; else the text itself."""
    try:
        return parse_value(text)
    except yaml.YAMLError:
        return text


def _settings(arguments: Sequence[str]) -> dict[str, list[str]]:
    """Option -> the values that it is given, in order."""
    found: dict[str, list[str]] = {}
    for argument, following in pairwise([*arguments, ""]):
        if argument.startswith("--"):
            name, equals, value = argument.removeprefix("--").partition("=")
            found.setdefault(name, []).append(value if equals else following)
    return found


def _without(arguments: Sequence[str], name: str) -> list[str]:
    """The arguments but for an option and those below it."""
    kept, skipped = [], False
    for argument in arguments:
        option = argument.removeprefix("--").split("=")[0] if argument.startswith("--") else ""
        if option == name or option.startswith(f"{name}."):
            skipped = "=" not in argument
        elif skipped:
            skipped = False
        else:
            kept.append(argument)
    return kept


def _parser(ranks: int, own: bool = False) -> ArgumentParser:
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
    if own:
        kinds["topology"], defaults["topology"] = str, None
    for name in option_names():
        text = texts[name].split("\n\n")[0].replace("None", "null")
        if kinds[name] is bool and not defaults.get(name):
            parser.add_argument(_flag(name), action="store_true", help=text)
        else:
            parser.add_argument(_flag(name), type=kinds[name], default=defaults.get(name), help=text)
    parser.add_argument("--quiet", action="store_true", help="Show no progress and no closing table.")
    return parser


def _types() -> dict[str, Any]:
    """Field -> what may be given for it; a command line has no objects of the user's own."""
    elsewhere = {"networkx": SimpleNamespace(Graph=object), "Intracomm": object}
    given = get_type_hints(Training, localns=elsewhere)
    return given | {
        "topology": Callable[[int], Schedule],
        "workload": Workload,
        "transport": TransportName,
        "network": str | None,
        "loggers": list[str],
    }


def _defaults() -> dict[str, Any]:
    """Field -> what it is where nothing is given, unless that depends on what else is given."""
    own = {field.name: field.default for field in fields(Training) if field.default is not MISSING}
    return own | {"steps": STEPS, "loggers": [], "topology": {"class_path": "exponential"}, "oracle": None}


def _named(arguments: Sequence[str]) -> set[str]:
    """The options for which a class is named: it then has its own defaults, and none of another class."""
    return {argument.split("=")[0].removeprefix("--") for argument in arguments} | set(_kept(arguments))


def _kept(arguments: Sequence[str]) -> dict[str, Any]:
    """What the configuration files that are named hold together."""
    found: dict[str, Any] = {}
    files = [value for option, value in pairwise(arguments) if option == "--config"]
    files += [argument.removeprefix("--config=") for argument in arguments if argument.startswith("--config=")]
    for file in map(Path, files):
        check_yaml(file)
        try:
            kept = read_yaml(file)
        except GossipError:
            continue  # the parser says what is wrong with it
        found |= kept if isinstance(kept, dict) else {}
    return found
