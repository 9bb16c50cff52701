"""The command `python -m gossip.hpc sbatch`, which writes batch scripts for Slurm."""

from __future__ import annotations

import shutil
import subprocess
import sys
from argparse import SUPPRESS
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from gossip.console.frame import exit_code_alone
from gossip.console.parser import Parser
from gossip.errors import DataError, UsageError
from gossip.fields import descriptions
from gossip.hpc.job import Job
from gossip.network import Communicator

FIELDS = [field.name for field in fields(Job)]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code: 0, 2 for wrong usage, 3 for output that cannot be written."""
    arguments = sys.argv[1:] if arguments is None else arguments
    return exit_code_alone(lambda _: Communicator().from_root(lambda: _write(arguments)))


def _write(arguments: Sequence[str]) -> int:
    try:
        options = _parser().parse_args(list(arguments))
    except SystemExit as stop:
        return int(stop.code or 0)
    given = {name: value for name, value in vars(options).items() if name in FIELDS}
    values: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in given.items()}
    job = Job(**values)
    script = job.render()
    if options.check:
        _let_slurm_check(script)
    if options.file is None:
        print(script, end="")
        return 0
    try:
        options.file.write_text(script, encoding="utf-8")
    except OSError as error:
        raise DataError(f"cannot write {options.file} ({error.strerror}); choose another --file") from error
    return 0


def _let_slurm_check(script: str) -> None:
    if shutil.which("sbatch") is None:
        raise UsageError("--check asks Slurm, but there is no sbatch here: leave it out, or go to a login node")
    asked = subprocess.run(["sbatch", "--test-only"], input=script, text=True, capture_output=True, check=False)
    if asked.returncode:
        raise UsageError(f"Slurm refuses the script: {' '.join(asked.stderr.split())}")


def _parser() -> Parser:
    parser = Parser(prog="python -m gossip.hpc", description="What a cluster needs to run gossip.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="command")
    job = commands.add_parser(
        "sbatch",
        argument_default=SUPPRESS,
        help="write a batch script for Slurm",
        description="Write a batch script for Slurm that runs `python -m gossip.train ARGUMENTS` (or a study, or a "
        "script of one's own) on several hosts, is told before its time is up, saves, is queued again and goes on.",
        usage="python -m gossip.hpc sbatch [options] [-- ARGUMENTS]",
    )
    texts, kinds = descriptions(Job), get_type_hints(Job)
    for field in fields(Job):
        if field.name != "arguments":
            text = texts[field.name].split("\n\n")[0]
            ending = f" (default: {field.default})" if isinstance(field.default, str | int) and field.default else ""
            job.add_argument(f"--{field.name.replace('_', '-')}", help=text + ending, **_kind(kinds[field.name]))
    job.add_argument("--check", action="store_true", default=False, help="also ask Slurm whether it would take the job")
    job.add_argument("--file", type=Path, default=None, help="where the script goes; printed if there is none")
    job.add_argument("arguments", nargs="*", default=[], metavar="ARGUMENTS", help=texts["arguments"])
    return parser


def _kind(hint: Any) -> dict[str, Any]:
    """What argparse is told of an option with values of this type."""
    if get_origin(hint) is Literal:
        return {"choices": get_args(hint)}
    if get_origin(hint) is tuple:
        return {"type": get_args(hint)[0], "nargs": "+", "action": "extend"}
    return {"type": next(kind for kind in (int, str) if kind in (hint, *get_args(hint)))}


if __name__ == "__main__":
    sys.exit(main())
