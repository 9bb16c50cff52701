"""The options of `python -m gossip.train`: classes by their own names, their fields as options. Rank 0 only."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import yaml
from jsonargparse import ArgumentError, ArgumentParser, class_from_function, set_parsing_settings

import topologies
from algorithms import AdaComm, Algorithm, Compressor, EventThreshold, LearningRate, LocalOptimizer, Oracle, Proximal
from algorithms.compressors.sparsifiers.sparsifier import Sparsifier
from gossip.errors import UsageError
from gossip.execution.training import CHECKPOINTS, EVALUATED_NODES, STALL_TIMEOUT, Training
from gossip.network import SimulatedClock, TransportName
from gossip.processes.ending import OnFailure
from gossip.workloads import Split, Workload
from topologies import Schedule
from topologies.placement import Placement

NODES = 16  # in a single process
STEPS = 200
KINDS = {  # what may be named, by the last word of the option that names it
    "algorithm": Algorithm,
    "clock": SimulatedClock,
    "compressor": Compressor,
    "contraction": Compressor,
    "lr": LearningRate,
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
DEFAULTS = {  # where nothing else is named
    "algorithm": {"class_path": "DecentralizedSGD", "init_args": {"lr": 0.05, "momentum": 0.9}},
    "workload": {"class_path": "Mnist"},
    "oracle": {"class_path": "Minibatch"},
}
UNFINISHED = {  # what others derive from
    "Composition",
    "Federated",
    "FixedSparsifier",
    "KeepsFixedNumber",
    "Layerwise",
    "LocalUpdates",
    "LowRank",
    "Partition",
    "Quantizer",
    "RandomSchedule",
    "Sparsifier",
    "Topology",
}

# jsonargparse finds classes by name, and topologies are functions: each gets a class that stands for it here.
for family in topologies.FAMILIES:
    globals()[family.__name__] = class_from_function(family, name=family.__name__)
    globals()[family.__name__].__module__ = __name__

set_parsing_settings(subclasses_enabled=list(KINDS.values()))


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
            transport=chosen.transport,
            placement=chosen.placement,
            clock=chosen.clock,
            output=chosen.output,
            progress=not chosen.quiet,
            config=config,
            stall_timeout=chosen.stall_timeout,
            on_failure=chosen.on_failure,
            trace=chosen.trace,
            checkpoint_every=chosen.checkpoint_every,
            resume=chosen.resume,
            keep=chosen.keep,
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
        type=Callable[[int], Schedule],
        default={"class_path": "exponential"},
        help="Who talks to whom.",
    )
    parser.add_argument("--algorithm", type=Algorithm, help="What is computed and sent.")
    parser.add_argument("--workload", type=Workload, help="Data, model and loss.")
    parser.add_argument("--oracle", type=Oracle, help="Where gradients come from.")
    parser.add_argument("--steps", type=int, default=STEPS, help="Number of iterations, >= 0.")
    parser.add_argument("--seed", type=int, default=0, help="Decides parameters, data split, batches and draws.")
    parser.add_argument(
        "--evaluate-every", type=int | None, help="Steps between evaluations; 10 evaluations by default."
    )
    parser.add_argument(
        "--evaluate-nodes", type=int, default=EVALUATED_NODES, help="How many nodes' own models to evaluate."
    )
    parser.add_argument(
        "--transport",
        type=TransportName,
        default="auto",
        help="How rows go from rank to rank; the results are the same.",
    )
    parser.add_argument(
        "--placement",
        type=Placement,
        default="contiguous",
        help="Which rank hosts which nodes, so that little crosses between hosts; the results are the same.",
    )
    parser.add_argument(
        "--clock", type=SimulatedClock | None, help="Also tell the time that this takes on simulated nodes and links."
    )
    parser.add_argument(
        "--output", type=str | None, default="runs", help="Where the run directory is made; null for none."
    )
    parser.add_argument(
        "--stall-timeout",
        type=float | None,
        default=STALL_TIMEOUT,
        help="Seconds after which a rank that still waits for others says for whom and ends the job; null for never.",
    )
    parser.add_argument(
        "--on-failure",
        type=OnFailure,
        default="abort",
        help="When a rank is killed: end the job, continue without its nodes, or rehost all from the last checkpoint.",
    )
    parser.add_argument(
        "--trace", type=str | None, help="Write a timeline of all ranks into this file, to be seen at ui.perfetto.dev."
    )
    parser.add_argument(
        "--checkpoint-every",
        type=int | str | None,
        help="Write a checkpoint every so many steps, such as 500, or seconds, such as 30s, and at the end.",
    )
    parser.add_argument(
        "--resume",
        type=str | None,
        help="Go on from the last checkpoint in this run directory, or from this checkpoint, or auto: from that of the "
        "last run of this configuration below --output that has not come to its end, if there is one.",
    )
    parser.add_argument("--keep", type=int, default=CHECKPOINTS, help="How many checkpoints to leave, the last ones.")
    parser.add_argument("--quiet", action="store_true", help="Show no progress and no closing table.")
    return parser


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


def _one_line(message: str) -> str:
    """A parser's message on one line that names the option, what was given and what is allowed."""
    text = " ".join(message.split())
    out_of_range = re.search(r"(\w+: \S+ = .*? is not allowed; it must be .*?)( - Expected| Given value|$)", text)
    if out_of_range:
        return out_of_range.group(1)
    keys = re.findall(r'Parser key "([^"]+)":', text)
    option = "--" + ".".join(keys)
    unknown = re.search(r"Expected a dot import path string: (\S+)", text)
    if unknown and keys:
        return _unknown_name(option, unknown.group(1), KINDS.get(keys[-1].split(".")[-1]))
    refused = re.search(r"Option '(\S+)' is not accepted", text)
    if refused and keys:
        named = re.search(r"class_path[= ]'([\w.]+)'", text)
        help_for = named.group(1).split(".")[-1] if named else "NAME"
        return f"{option} has no option {refused.group(1)!r}; see {option}.help {help_for}"
    for noise in (
        r'Parser key "[^"]+": ',
        r"Problem with given class_path \S+ ",
        r"Type \S+ \S+ expects a function or a callable class: ",
        r"Does not validate against any of the Union subtypes Subtypes: \[.*?\] Errors: - ",
        r" - Expected a <class 'NoneType'>",
        r"( Given value type: (<class )?\S+|\.? (Got|Given) value: Namespace.*)",
    ):
        text = re.sub(noise, "", text)
    text = re.sub(r"Expected an? (typing\.Literal)?", lambda match: "expected " + ("one of " if match[1] else ""), text)
    text = re.sub(r"<class '([\w.]+)'>", r"\1", text)
    return f"{option}: {text}" if keys else text


def _unknown_name(option: str, name: str, kind: type | None) -> str:
    known = sorted(_names(kind) or {kind.__name__} if kind else set().union(*map(_names, KINDS.values())))
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    return f"{option} does not know {name!r}; {hint}it may be {', '.join(known)}, or an import path"


def _names(kind: type) -> set[str]:
    """The names of a class's subclasses, of all generations, that may stand on the command line."""
    names: set[str] = set()
    children: list[type] = kind.__subclasses__()
    for child in children:
        names |= {child.__name__} | _names(child)
    return names - UNFINISHED
