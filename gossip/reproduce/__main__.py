"""The command `python -m gossip.reproduce NAME`, alone or under mpirun or srun."""

from __future__ import annotations

import difflib
import os
import sys
import time
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from gossip.console.frame import asks_for_help, exit_code, exit_code_alone
from gossip.console.parser import Parser
from gossip.errors import DataError, UsageError
from gossip.network import Communicator
from gossip.processes.allocator import keep_freed_memory
from gossip.processes.cores import share_cores
from gossip.reproduce import NAMES, find
from gossip.reproduce.study import Findings, Say, to_json

FAILED = 1  # exit code if a claim does not hold


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code.

    0 if all claims hold, 1 if one does not, 2 for wrong usage, 3 for output that cannot be written, 4 for a run
    that diverged.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as `gossip.train`
    if asks_for_help(arguments) or arguments[:1] == ["list"]:
        return exit_code_alone(lambda _: code if isinstance(code := _parse(arguments), int) else 0)
    return exit_code(lambda processes: reproduce(arguments, processes), doing=("gossip.reproduce", *arguments))


def reproduce(arguments: Sequence[str], processes: Communicator) -> int:
    """Parse on rank 0, compute on all, report on rank 0."""
    options = processes.from_root(lambda: _parse(arguments))
    if not isinstance(options, Namespace):
        return options
    share_cores(processes)
    keep_freed_memory()
    began = time.perf_counter()
    study = find(options.name)
    findings = study.run(range(options.seeds or study.seeds), _speaker(processes))
    processes.from_root(lambda: _report(options, findings, time.perf_counter() - began))
    processes.barrier()  # ranks that are done early would spin in MPI's own finalization
    return 0 if all(claim.holds for claim in findings.claims) else FAILED


def _speaker(processes: Communicator) -> Say:
    began = time.perf_counter()

    def say(text: str) -> None:
        if processes.rank == 0:
            print(f"{time.perf_counter() - began:6.1f} s  {text}", flush=True)

    return say


def _parse(arguments: Sequence[str]) -> Namespace | int:
    """The options, or the exit code of --help and of the list."""
    parser = Parser(
        prog="python -m gossip.reproduce",
        description="Put claims of papers to the test at a small scale: a table, a plot and all numbers, and whether "
        "each claim holds. The exit code is 0 if all do and 1 if one does not.",
    )
    parser.add_argument("name", metavar="NAME", help=f"{', '.join(NAMES)}; or list, which says what these are")
    parser.add_argument("--seeds", type=int, metavar="NUMBER", help="how many seeds; every study has its default")
    parser.add_argument(
        "--output", type=Path, metavar="DIR", help="where results.json and plot.svg go (default: runs/reproduce/NAME)"
    )
    try:
        options = parser.parse_args(list(arguments))
    except SystemExit as stop:
        return int(stop.code or 0)
    if options.seeds is not None and options.seeds < 1:
        raise UsageError(f"--seeds {options.seeds} is not allowed; it must be >= 1")
    if options.name == "list":
        _list()
        return 0
    if options.name not in NAMES:
        near = difflib.get_close_matches(options.name, NAMES, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise UsageError(f"there is no study {options.name!r}; {hint}it may be {', '.join(NAMES)}, or list")
    options.output = options.output or Path("runs/reproduce") / options.name
    try:  # better refused now than after all was computed
        options.output.mkdir(parents=True, exist_ok=True)
        for file in ("results.json", "plot.svg"):
            (options.output / file).open("ab").close()
    except OSError as error:
        raise DataError(f"cannot write to {options.output} ({error.strerror}); choose another --output") from error
    return options


def _list() -> None:
    width = max(map(len, NAMES))
    for name in NAMES:
        study = find(name)
        print(f"{name:{width}}  {study.paper}: {study.claim}")


def _report(options: Namespace, findings: Findings, seconds: float) -> None:
    from matplotlib.figure import Figure

    from gossip.console import table

    study = find(options.name)
    record = {
        "study": options.name,
        "paper": study.paper,
        "claim": study.claim,
        "seeds": options.seeds or study.seeds,
        "seconds": seconds,
        **findings.record(),
    }
    (options.output / "results.json").write_text(to_json(record), encoding="utf-8")
    figure = Figure(layout="constrained")
    findings.draw(figure)
    for axes in figure.axes:
        axes.grid(color="0.93")
    figure.savefig(options.output / "plot.svg")
    print(f"\n{study.paper}: {study.claim}", flush=True)
    table.show(findings.columns())
    for claim in findings.claims:
        print(f"{'holds ' if claim.holds else 'FAILED'}  {claim.text}: {claim.measured}")
    print(f"{seconds:.0f} s; plot and numbers: {options.output}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
