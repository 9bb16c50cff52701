"""The command `python -m topologies list | describe | compare | gallery`."""

from __future__ import annotations

import json
import os
import sys
import warnings
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import numpy as np

from topologies import FAMILIES, Links, Schedule
from topologies.command.named import FileOptions, named
from topologies.spectra.convergence import no_consensus
from topologies.spectra.measures import Measurements, measure
from topologies.topology import Topology

BLOCKS = " ▄▀█"  # for two rows: none, the lower, the upper, both
PATTERN_NODES = 64  # up to which the pattern of W is drawn with letters


class Parser(ArgumentParser):
    """Says in one line what cannot be understood."""

    def error(self, message: str) -> NoReturn:
        raise ValueError(" ".join(message.split()))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code: 0, 2 for wrong usage, 3 for files that cannot be written."""
    try:
        options = _parser().parse_args(arguments)
        answer = _answer(options)
    except SystemExit as stop:
        return int(stop.code or 0)
    except (ValueError, ImportError) as error:
        _complain(f"error: {' '.join(str(error).split())}")
        return 2
    except OSError as error:
        _complain(f"error: cannot write {error.filename} ({error.strerror})")
        return 3
    return _say(answer)


def _complain(text: str) -> None:
    """Say what is wrong, if anybody can hear it."""
    with suppress(OSError, AttributeError):
        sys.stderr.write(f"topologies: {text}\n")
        sys.stderr.flush()


def _say(answer: str) -> int:
    """Print it and give the exit code; letters that the output does not know are replaced."""
    if sys.stdout is None:  # closed from the beginning
        _complain("error: standard output is closed")
        return 3
    encoding = sys.stdout.encoding or "utf-8"
    try:
        print(answer.encode(encoding, "replace").decode(encoding), flush=True)
        return 0
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python would complain at its end
        if isinstance(error, BrokenPipeError):  # whoever reads has enough
            return 0
        _complain(f"error: cannot write to standard output ({error.strerror})")
        return 3


def _answer(options: Namespace) -> str:
    """What the command says; warnings in one line each, without the line of code that Python would name."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        try:
            answer: str = options.command(options)
        finally:
            for each in caught:
                _complain(f"warning: {' '.join(str(each.message).split())}")
    return answer


def _parser() -> ArgumentParser:
    parser = Parser(prog="python -m topologies", description="Who talks to whom, how fast it averages, what it costs.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    about = "a name from `list`, with options as in 'circulant(offsets=(1, 3))'; a call such as "
    about += "'networkx.connected_caveman_graph(3, 4)'; a function of your own as in 'mine.small_world(rewiring=0.5)'; "
    about += "or a file (edge list, GraphML, Matrix Market, ...)"
    listing = commands.add_parser("list", help="all families")
    listing.set_defaults(command=_list)
    describing = commands.add_parser("describe", help="all numbers of one topology, with a drawing")
    describing.add_argument("topology", help=about)
    describing.add_argument("--plot", metavar="FILE", help="draw it into an SVG, PDF or PNG file")
    describing.set_defaults(command=_describe)
    comparing = commands.add_parser("compare", help="a table, sorted by the predicted seconds to consensus")
    comparing.add_argument("topology", nargs="+", help=about)
    comparing.add_argument("--html", metavar="FILE", help="write a page with drawings, spectra and consensus curves")
    comparing.set_defaults(command=_compare)
    picturing = commands.add_parser("gallery", help="a page with a picture of every family")
    picturing.add_argument("html", metavar="FILE", help="the page")
    picturing.set_defaults(command=_gallery)
    for each in (describing, comparing):
        each.add_argument("--nodes", type=int, help="number of nodes; 16, or that of the file or call, by default")
        each.add_argument("--weights", help="weight rule, such as metropolis, lazy_metropolis, fdla or a file *.npy")
        each.add_argument("--format", help="of the file, such as edgelist, mtx, pajek, metis; guessed by default")
        each.add_argument("--largest-component", action="store_true", help="of the file's graph, in several parts")
        each.add_argument("--undirected", action="store_true", help="let the file's edges run both ways")
        each.add_argument(
            "--ignore-weights", action="store_true", help="take a file's matrix for links only, not for W"
        )
        each.add_argument("--json", metavar="FILE", help="write the numbers")
        each.add_argument("--parameters", type=float, default=1e6, help="of the model, which is a message (1e6)")
        each.add_argument("--value-bytes", type=int, default=4, help="bytes of a parameter (4)")
        each.add_argument("--latency", type=float, default=5e-5, help="seconds until a message arrives (5e-5)")
        each.add_argument("--bandwidth", type=float, default=1.25e9, help="bytes per second of a node (1.25e9)")
    return parser


def _list(options: Namespace) -> str:
    """A line for each family."""
    width = max(len(family.__name__) for family in FAMILIES)
    lines = [(family.__name__, (family.__doc__ or "").strip().split("\n")[0]) for family in FAMILIES]
    return "\n".join(f"{name:{width}}  {about}" for name, about in lines)


def _describe(options: Namespace) -> str:
    """A line for each number, and the pattern of W."""
    schedule = named(options.topology, FAMILIES, options.nodes, options.weights, _reading(options))
    reason = no_consensus(schedule) if isinstance(schedule, Topology) else None
    if reason is not None:
        warnings.warn(reason, stacklevel=2)
    measured = _measure(schedule, options)
    if options.json:
        Path(options.json).write_text(json.dumps(measured.record(), indent=1) + "\n", encoding="utf-8")
    if options.plot:
        from topologies.command.drawing import draw

        draw(schedule).savefig(options.plot)
    record = measured.record()
    width = max(map(len, record))
    lines = [f"{key:{width}}  {_written(value)}" for key, value in record.items()]
    return "\n".join([*lines, *(["", *_pattern(schedule)] if schedule.n <= PATTERN_NODES else [])])


def _compare(options: Namespace) -> str:
    """The table."""
    from topologies.command.page import comparison, rows

    schedules = [named(each, FAMILIES, options.nodes, options.weights, _reading(options)) for each in options.topology]
    names = [each.name for each in schedules]  # or what was written, of those without a name or with the same one
    same = {name for name in names if names.count(name) > 1} | {"custom"}
    names = [text if name in same else name for text, name in zip(options.topology, names, strict=True)]
    shown = list(zip(names, schedules, strict=True))
    measured = [replace(_measure(each, options), name=name) for name, each in shown]
    table = rows(measured)
    if options.json:
        text = json.dumps([each.record() for each in measured], indent=1)
        Path(options.json).write_text(text + "\n", encoding="utf-8")
    if options.html:
        title = f"{len(schedules)} topologies"
        Path(options.html).write_text(comparison(title, _assumptions(options), table, shown), encoding="utf-8")
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return "\n".join(
        "  ".join(
            f"{cell:<{w}}" if not k else f"{cell:>{w}}" for k, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in table
    )


def _assumptions(options: Namespace) -> str:
    """What the predicted seconds depend on."""
    return (
        f"a message has {options.parameters:,.0f} parameters of {options.value_bytes} bytes · arrives after "
        f"{options.latency:g} s and its bytes at {options.bandwidth / 1e9:g} GB/s, which a node's messages share · "
        "computing takes no time"
    )


def _gallery(options: Namespace) -> str:
    """Where the page is."""
    from topologies.command.page import gallery

    Path(options.html).write_text(gallery(FAMILIES), encoding="utf-8")
    return str(options.html)


def _reading(options: Namespace) -> FileOptions:
    return FileOptions(options.format, options.largest_component, options.undirected, options.ignore_weights)


def _measure(schedule: Schedule, options: Namespace) -> Measurements:
    if not options.parameters >= 0 or options.value_bytes < 1:
        raise ValueError(
            f"--parameters must be >= 0 and --value-bytes >= 1, got {options.parameters} and {options.value_bytes}"
        )
    return measure(schedule, options.parameters, Links(options.latency, options.bandwidth), options.value_bytes)


def _written(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.8g}" if isinstance(value, float) else str(value)


def _pattern(schedule: Schedule) -> list[str]:
    """Who hears from whom, of a schedule in any round: row i is node i; two rows a line where letters allow."""
    there = schedule.support().toarray() != 0
    if not _knows(BLOCKS):
        return ["".join("#" if each else "." for each in row) for row in there]
    there = np.vstack([there, np.zeros((len(there) % 2, len(there)), bool)])
    letters = np.array(list(BLOCKS)).reshape(2, 2)
    return [
        "".join(letters[top.astype(int), low.astype(int)]) for top, low in zip(there[::2], there[1::2], strict=True)
    ]


def _knows(letters: str) -> bool:
    """Whether standard output has these letters."""
    try:
        letters.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return False
    return True
