"""Runs `gossip.train` with options that are wrong, and counts what becomes of them. By hand, as it takes minutes:

    python tests/fuzz/configurations.py [--runs 1000] [--seed 0]

Names with a letter too few, values of a wrong kind or out of range, options that do not exist or do not suit each
other, files that are not there: each has to end in one line that begins with "gossip: error", and an exit code that
says so. Runs may leave files in the current folder.
What happens to be right trains for two steps.
"""

from __future__ import annotations

import io
import re
import signal
import sys
from argparse import ArgumentParser
from collections import Counter
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import fields
from inspect import signature
from tempfile import TemporaryDirectory
from time import perf_counter

import numpy as np

import topologies
from algorithms import Algorithm, Compressor, Oracle
from gossip.options.command_line import option_names
from gossip.options.kinds import KINDS, names
from gossip.train.__main__ import main as train
from gossip.workloads import Workload

VALUES = ("-1", "0", "nan", "inf", "-inf", "1e400", "abc", "", "null", "[1,2]", "{}", "1.5", "99999999999999999999")
VALUES += ("true", "é", "'", "{a: b}", "1", "3", "-0.0", "/dev/null", "/nonexistent/file", "ring", "[", "0x10", "2,3")
UNCLEAR = re.compile("NoneType|not supported between|object has no attribute|positional argument|object is not")
LIMIT = 120  # seconds
BASE = ("--steps", "2", "--nodes", "4", "--workload", "Digits", "--output", "null", "--quiet")


class TooLong(BaseException):
    """Raised by the alarm; no Exception, which might be caught."""


def options(random: np.random.Generator) -> list[str]:
    """One or two things that are likely to be wrong."""
    found: list[str] = []
    for _ in range(random.integers(1, 3)):
        kind = random.choice(["algorithm", "compressor", "topology", "workload", "oracle", "option", "name", "unknown"])
        found += MAKERS[kind](random)
    return found


def _value(random: np.random.Generator) -> str:
    return str(random.choice(VALUES))


def _of_class(flag: str, kind: type, random: np.random.Generator) -> list[str]:
    """A class by name, and an odd value for one of its fields."""
    name = str(random.choice(sorted(names(kind))))
    (found,) = [each for each in _subclasses(kind) if each.__name__ == name][:1]
    field = str(random.choice([each.name for each in fields(found)] or ["nothing"]))
    return [flag, name, f"{flag}.{field}", _value(random)]


def _subclasses(kind: type) -> list[type]:
    children: list[type] = kind.__subclasses__()
    return children + [each for child in children for each in _subclasses(child)]


def _topology(random: np.random.Generator) -> list[str]:
    family = topologies.FAMILIES[random.integers(len(topologies.FAMILIES))]
    option = str(random.choice(list(signature(family).parameters)))
    return ["--topology", family.__name__, f"--topology.{option}", _value(random)]


def _option(random: np.random.Generator) -> list[str]:
    return [f"--{random.choice(option_names()).replace('_', '-')}", _value(random)]


def _name(random: np.random.Generator) -> list[str]:
    """A name with a letter too few, or of another kind."""
    option = str(random.choice(["algorithm", "workload", "topology", "oracle", "clock"]))
    name = str(random.choice(sorted(names(KINDS[str(random.choice(sorted(KINDS)))]) or {"SimulatedClock"})))
    return [f"--{option}", name[:-1] if random.integers(2) else name]


MAKERS = {
    "algorithm": lambda random: _of_class("--algorithm", Algorithm, random),
    "compressor": lambda random: [
        "--algorithm", "ChocoSGD", *_of_class("--algorithm.compressor", Compressor, random)
    ],
    "topology": _topology,
    "workload": lambda random: _of_class("--workload", Workload, random),
    "oracle": lambda random: _of_class("--oracle", Oracle, random),
    "option": _option,
    "name": _name,
    "unknown": lambda random: [str(random.choice(["--stepz", "--algorithm.lrr", "--x.y", "stray", "-q"])), "1"],
}  # fmt: skip


def treated(arguments: list[str]) -> str:
    """What becomes of a command line: its exit code and what it said, or a kind of fault."""
    out, error = io.StringIO(), io.StringIO()
    signal.alarm(LIMIT)
    try:
        with redirect_stdout(out), redirect_stderr(error):
            code = train(arguments)
    except TooLong:
        return f"more than {LIMIT} s"
    except BaseException as fault:
        return f"{type(fault).__name__}: {str(fault)[:200]}"
    finally:
        signal.alarm(0)
    lines = [each for each in error.getvalue().splitlines() if not each.startswith("gossip: warning")]
    if code == 0:
        return "trains" if not lines else f"an error and exit code 0: {lines[0]}"
    if len(lines) != 1 or not lines[0].startswith("gossip: error: ") or "Traceback" in error.getvalue():
        return f"{len(lines)} lines: {' / '.join(lines)[:300]}"
    if UNCLEAR.search(lines[0]) and "may not be null" not in lines[0]:
        return f"an unclear line: {lines[0]}"
    return f"exit code {code}: {lines[0].removeprefix('gossip: error: ')}"


def main() -> int:
    parser = ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--show", action="store_true", help="print all lines, to be read")
    chosen = parser.parse_args()

    def ring(number: int, frame: object) -> None:
        raise TooLong

    signal.signal(signal.SIGALRM, ring)
    random, start, counts = np.random.default_rng(chosen.seed), perf_counter(), Counter[str]()
    wrong = 0
    for number in range(chosen.runs):
        arguments = [*BASE, *options(random)]
        with TemporaryDirectory() as folder, chdir(folder):  # files may get any name
            found = treated(arguments)
        expected = found == "trains" or found.startswith("exit code")
        wrong += not expected
        counts[found.split(":")[0] if expected else "fault"] += 1
        if not expected or chosen.show:
            print(f"{' '.join(map(repr, arguments[len(BASE) :]))}: {found}", flush=True)
        if number % 50 == 49:
            print(f"{number + 1} runs, {perf_counter() - start:.0f} s: {dict(counts)}", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
