"""The command `python -m gossip.checkpoint`: shows a checkpoint, and takes a model out of it."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path

import torch
from torch import Tensor

from algorithms import Layout
from algorithms.numerics.tree_sum import fold
from algorithms.oracles.oracle import as_average
from gossip.checkpoint.entries import Outline
from gossip.checkpoint.places import newest
from gossip.checkpoint.store import Checkpoint
from gossip.console.frame import exit_code_alone
from gossip.console.parser import Parser
from gossip.console.streams import console
from gossip.errors import DataError, UsageError
from gossip.network import Communicator
from gossip.records.configuration import flat
from gossip.records.replacing import replace_file

FORMATS = (".pt", ".safetensors")
SHOWN = 12  # numbers of a tuple


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code: 0, 2 for wrong usage, 3 for damage or output that cannot be written."""
    arguments = sys.argv[1:] if arguments is None else arguments

    return exit_code_alone(lambda _: Communicator().from_root(lambda: _run(arguments)))


def _run(arguments: Sequence[str]) -> int:
    parser = Parser(prog="python -m gossip.checkpoint", description="Looks into the checkpoints of a run.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    inspect = commands.add_parser("inspect", help="Show what is in a checkpoint, and whether it is whole.")
    export = commands.add_parser("export", help="Write the average model, or a node's own, as a state_dict.")
    for each, function in ((inspect, _inspect), (export, _export)):
        each.add_argument(
            "directory", type=Path, help="A run directory, whose last checkpoint is meant, or one of them."
        )
        each.set_defaults(function=function)
    export.add_argument("file", type=Path, help=f"Where to write it; its name ends in {' or '.join(FORMATS)}.")
    export.add_argument("--node", type=int, help="The number of a node, instead of the average over all.")
    try:
        options = parser.parse_args(list(arguments))
    except SystemExit as stop:  # after --help
        return int(stop.code or 0)
    checkpoint = Checkpoint(newest(options.directory))
    checkpoint.check_all()
    options.function(checkpoint, options)
    return 0


def _inspect(checkpoint: Checkpoint, options: Namespace) -> None:
    from rich.table import Table

    about = checkpoint.manifest
    facts = {
        "step": about["step"],
        "written": about["written"],
        "nodes": about["nodes"],
        "ranks": about["ranks"],
        "records": len(checkpoint.history()),
        "bytes": sum(each["bytes"] for each in about["files"].values()),
    }
    tables = {
        "configuration": flat(about["configuration"]),
        "model": ((name, tuple(shape)) for name, shape in about["layout"].items()),
        "state, per node": (part for section, outline in about["states"].items() for part in _parts(section, outline)),
    }
    print(f"{checkpoint.folder}: whole")
    for title, rows in {"checkpoint": facts.items(), **tables}.items():
        table = Table(title=title, title_justify="left", show_header=False)
        for name, value in rows:
            table.add_row(name, str(value))
        console(literal=True).print(table)


def _parts(name: str, entry: Outline) -> Iterator[tuple[str, str]]:
    """What a state holds, entry by entry, in words."""
    match entry.get("kind"):
        case "value":
            yield name, str(entry["value"])
        case "same":
            yield name, f"the same as {entry['as']}"
        case "tuple" if all(part["kind"] == "value" for part in entry["parts"]):
            values = [part["value"] for part in entry["parts"]]
            more = f", ... ({len(values)} in all)" if len(values) > SHOWN else ""
            yield name, f"({', '.join(map(str, values[:SHOWN]))}{more})"
        case "tuple":
            for i, part in enumerate(entry["parts"]):
                yield from _parts(f"{name}.{i}", part)
        case "dict":
            for key, part in entry["pairs"]:
                yield from _parts(f"{name}.{key}", part)
        case "stack":
            yield name, f"{entry['type']} {tuple(entry['shape'])}"
        case "message":
            yield name, f"a packed message of {entry['d']} {entry['type']}"
        case "items":
            yield name, "a tensor"
        case "numbers":
            yield name, "a number"
        case "block":
            for key, part in entry["parts"].items():
                yield from _parts(f"{name}.{key}", part)


def _export(checkpoint: Checkpoint, options: Namespace) -> None:
    file, node, n = options.file, options.node, checkpoint.manifest["nodes"]
    if file.suffix not in FORMATS:
        raise UsageError(f"{file} is not allowed; it must end in {' or '.join(FORMATS)}")
    if node is not None and not 0 <= node < n:
        raise UsageError(f"--node {node} is not allowed; there are the nodes 0 to {n - 1}")
    nodes = range(n) if node is None else range(node, node + 1)
    tensors = {name: tensor.clone() for name, tensor in _tensors(checkpoint, nodes).items()}
    from safetensors.torch import save

    content = BytesIO()
    if file.suffix == ".pt":
        torch.save(tensors, content)
    else:
        content.write(save(tensors))
    try:
        replace_file(file.resolve(), content.getvalue())
    except OSError as error:
        raise DataError(f"cannot write {file} ({error.strerror})") from error
    print(
        f"{file}: {'the average model' if node is None else f'the model of node {node}'} after {checkpoint.step} steps"
    )


def _tensors(checkpoint: Checkpoint, nodes: range) -> dict[str, Tensor]:
    """The average model of these nodes: the state_dict of the model that the workload was made of, or its layout."""
    shapes = {name: tuple(shape) for name, shape in checkpoint.manifest["layout"].items()}
    parameters = Layout(shapes).unflatten(_model(checkpoint, nodes))
    sources = checkpoint.manifest.get("state_dict")
    if sources is None:
        return parameters
    read = {
        "parameter": parameters.__getitem__,
        "own": lambda name: _buffer(checkpoint, name, nodes),
        "fixed": checkpoint.fixed,
    }
    return {key: read[kind](name) for key, (kind, name) in sources.items()}


def _buffer(checkpoint: Checkpoint, name: str, nodes: range) -> Tensor:
    """(...): the average of what those of these nodes have that have data, or else all nodes that have."""
    with_data = range(checkpoint.manifest["with_data"])
    rows = checkpoint.stack(f"oracle.buffers.{name}", [node for node in nodes if node in with_data] or with_data)
    mean = fold(rows.double().reshape(len(rows), -1)) / len(rows)
    return as_average(mean.reshape(rows.shape[1:]), rows.dtype)


def _model(checkpoint: Checkpoint, nodes: range) -> Tensor:
    """(d,): the average of the models of these nodes, summed in the order of a run's own averages."""
    entry = checkpoint.manifest["states"]["model"]["parts"]["x"]
    return fold(checkpoint.stack(entry.get("as", "model.x"), nodes)) / len(nodes)


if __name__ == "__main__":
    sys.exit(main())
