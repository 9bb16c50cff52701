"""The command `python -m gossip.bench`, alone or under mpirun or srun."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from algorithms.numerics.compiled import COMPILED, parts_of
from gossip.bench.command import Command
from gossip.console import table
from gossip.console.frame import asks_for_help, exit_code, exit_code_alone
from gossip.console.parser import Parser
from gossip.errors import DataError
from gossip.network import Communicator
from gossip.processes.allocator import keep_freed_memory
from gossip.processes.cores import share_cores


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code: 0, 2 for wrong usage, 3 for output that cannot be written."""
    arguments = sys.argv[1:] if arguments is None else arguments
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as `gossip.train`
    if asks_for_help(arguments):
        return exit_code_alone(lambda _: 0 if isinstance(command := _parse(arguments), Command) else command)
    return exit_code(lambda processes: bench(arguments, processes), doing=("gossip.bench", *arguments), shows=True)


def bench(arguments: Sequence[str], processes: Communicator) -> int:
    """Parse on rank 0, measure on all, report on rank 0."""
    command = processes.from_root(lambda: _parse(arguments))
    if not isinstance(command, Command):
        return command
    share_cores(processes)
    keep_freed_memory()
    with parts_of(COMPILED):  # small cases, too, as in a long run: the loops that they are compared with are compiled
        rows = command.run(processes)

    def report() -> None:
        table.show(command.columns(rows))
        if command.json is not None:
            table.write([row.record() for row in rows], Path(command.json))

    processes.from_root(report)
    processes.barrier()  # ranks that are done early would spin in MPI's own finalization
    return 0


def _parse(arguments: Sequence[str]) -> Command | int:
    """The subcommand with its options, or the exit code of --help."""
    from gossip.bench.compression.compressors import Compressors
    from gossip.bench.compression.frontier import Frontier
    from gossip.bench.events import Events
    from gossip.bench.network.consensus import Consensus
    from gossip.bench.network.mix import Mix
    from gossip.bench.network.scale import Scale
    from gossip.bench.network.validate import Validate
    from gossip.bench.rounds import Rounds
    from gossip.bench.train import Train

    parser = Parser(
        prog="python -m gossip.bench",
        description="Times as ratios to baselines that are measured in the same run, interleaved. "
        "Under mpirun or srun the slowest rank's time counts.",
    )
    subcommands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in (Mix, Train, Scale, Rounds, Events, Consensus, Compressors, Frontier, Validate):
        text = " ".join((command.__doc__ or "").split())
        each = subcommands.add_parser(
            command.__name__.lower(),
            help=text.split(". ")[0],
            description=text,
        )
        each.set_defaults(command=command)
        _add_options(each, command)
    try:
        options = vars(parser.parse_args(list(arguments)))
    except SystemExit as stop:
        return int(stop.code or 0)
    chosen: Callable[..., Command] = options.pop("command")
    result = chosen(**{name: tuple(value) if isinstance(value, list) else value for name, value in options.items()})
    for file in result.files():
        try:
            Path(file).open("ab").close()  # better refused now than after all was measured
        except OSError as error:
            raise DataError(f"cannot write {file} ({error.strerror}); choose another file") from error
    return result


def _add_options(parser: ArgumentParser, command: type[Command]) -> None:
    for name, field in command.__dataclass_fields__.items():
        default: Any = field.default
        choices, about = field.metadata["choices"], field.metadata["help"]
        flag = "--" + name.replace("_", "-")
        if default is False:
            parser.add_argument(flag, action="store_true", help=about)
            continue
        many = isinstance(default, tuple)
        if choices is not None:
            about += f"; of {', '.join(choices)}"
        if default not in (None, ()):
            about += f" (default: {' '.join(map(str, default)) if many else default})"
        parser.add_argument(
            flag,
            default=default,
            nargs="+" if many else None,
            type=field.metadata["type"],
            choices=choices,
            metavar=name.upper(),
            help=about,
        )


if __name__ == "__main__":
    sys.exit(main())
