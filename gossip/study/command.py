"""The command line of `python -m gossip.study`. Rank 0 only."""

from __future__ import annotations

from argparse import Namespace, RawDescriptionHelpFormatter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

import yaml

from gossip.console.parser import Parser
from gossip.errors import DataError, UsageError
from gossip.processes.cores import usable_cores
from gossip.study.cells import Store
from gossip.study.description import from_words, merged, plain, read, study_of
from gossip.study.plan import Plan, check_words
from gossip.study.tuning import Tuner

EXAMPLES = """
  python -m gossip.study --set topology=ring,exponential --set nodes=16,64 --seeds 3
  python -m gossip.study --set algorithm=DecentralizedSGD,ExactDiffusion --tune algorithm.lr=0.01..1
  python -m gossip.study study.yaml --set steps=50
  python -m gossip.study report runs/*
"""
LISTS = (  # options that may be given several times, with several words
    ("set", "KEY=A,B", "values of options of gossip.train; all combinations are run"),
    ("zip", "KEY=A,B", "options that vary together: lists of the same length"),
    ("exclude", "KEY=A,B", "leave out the cells that have all of these"),
    ("when", "WORD", "KEY=A then KEY=B,C: what varies in some cells only; or KEY=A tune KEY=LOW..HIGH"),
    ("tune", "KEY=LOW..HIGH", "look for the best value in each cell"),
)


@dataclass(frozen=True)
class StudyOrder:
    """A study, and how it is to be computed."""

    whole: Plan
    """All of it."""

    processes: int
    """So many processes compute."""

    chunk: tuple[int, int]
    """This part of so many, from 1 on."""

    @property
    def part(self) -> Plan:
        """What is to be computed here."""
        number, of = self.chunk
        return replace(self.whole, cells=self.whole.cells[number - 1 :: of])


@dataclass(frozen=True)
class ReportOrder:
    """Runs of which a page is to be made."""

    directories: Sequence[Path]
    output: Path
    target: dict[str, float]

    def write(self) -> int:
        """Make it; the exit code."""
        from gossip.study.report import write_report
        from gossip.study.results import of_directories

        write_report("Report", of_directories(self.directories), self.output, self.target)
        print(f"report: {self.output / 'report.html'}", flush=True)
        return 0


def parse(arguments: Sequence[str], ranks: int) -> StudyOrder | ReportOrder | int:
    """What the command line asks for, or the exit code of --help.

    Raises:
        UsageError: It cannot be understood, or is no study.
        DataError: A file cannot be read, or nothing can be written.
    """
    try:
        if list(arguments[:1]) == ["report"]:
            options = _report_parser().parse_args(list(arguments[1:]))
            return ReportOrder(options.runs, options.output, _target(options.target) if options.target else {})
        order = planned(arguments, ranks)
    except SystemExit as stop:
        return int(stop.code or 0)
    _prepare(order)
    return order


def planned(arguments: Sequence[str], ranks: int) -> StudyOrder:
    """The study that the command line asks for, which is not begun.

    Raises:
        UsageError: It cannot be understood, or is no study.
        DataError: A file cannot be read.
        SystemExit: After --help.
    """
    order = _order(_parser().parse_args(list(arguments)), ranks)
    check_words(order.whole.cells)
    return order


def _order(options: Namespace, ranks: int) -> StudyOrder:
    words = from_words(options.set, options.zip, options.exclude, options.when, options.tune)
    kept = merged(read(options.file) if options.file else {}, words)
    for name in ("seeds", "objective"):
        if getattr(options, name) is not None:
            kept[name] = getattr(options, name)
    if options.target is not None:
        kept["target"] = _target(options.target)
    study = study_of(kept)
    if not options.file and not any(words.values()):
        raise UsageError("there is nothing to study: give a file, or --set such as --set topology=ring,exponential")
    tunes = bool(study.grid.tuned) or any(when.tuned for when in study.grid.conditions)
    for name in ("tuner", "tuning_seeds"):
        if getattr(options, name) is not None and not tunes:
            raise UsageError(f"--{name.replace('_', '-')} has no effect without --tune")
    if options.processes is not None and ranks > 1:
        raise UsageError(f"--processes {options.processes} has no effect here, where each of {ranks} ranks computes")
    for name in ("processes", "tuning_seeds"):
        if getattr(options, name) is not None and getattr(options, name) < 1:
            raise UsageError(f"--{name.replace('_', '-')} {getattr(options, name)} is not allowed; it must be >= 1")
    store = Store(options.output or Path("studies") / (options.file.stem if options.file else "study"))
    plan = Plan(study, study.grid.cells(), store, options.tuner or "grid", options.tuning_seeds or 1)
    processes = 1 if ranks > 1 else options.processes or len(usable_cores())
    return StudyOrder(plan, processes, _chunk(options.chunk))


def _prepare(order: StudyOrder) -> None:
    """Make the study's directory, say in it what the study is, and clear what killed processes have left."""
    store = order.whole.store
    try:
        store.runs.mkdir(parents=True, exist_ok=True)
        text = yaml.safe_dump(plain(order.whole.study), sort_keys=False)
        (store.directory / "study.yaml").write_text(text, encoding="utf-8")
    except OSError as error:
        raise DataError(f"cannot write into {store.directory} ({error.strerror}); choose another --output") from error
    store.clear()


def _chunk(text: str) -> tuple[int, int]:
    number, _, of = text.partition("/")
    try:
        chunk = int(number), int(of)
    except ValueError:
        chunk = 0, 0
    if not 1 <= chunk[0] <= chunk[1]:
        raise UsageError(f"--chunk {text} is not allowed; it must be I/N with I from 1 to N, such as 1/4")
    return chunk


def _target(text: str) -> dict[str, float]:
    name, _, value = text.partition("=")
    try:
        return {name: float(value)}
    except ValueError:
        raise UsageError(
            f"--target {text} is not allowed; it must be METRIC=VALUE, such as test_accuracy=0.9"
        ) from None


def _parser() -> Parser:
    parser = Parser(
        prog="python -m gossip.study",
        description="Run all combinations of some options' values, and make one page of the results. What has been "
        "computed is kept: a study that was stopped, or is extended, computes only what is missing. See also: "
        "python -m gossip.study report --help",
        epilog=f"examples:{EXAMPLES}",
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", type=Path, nargs="?", metavar="STUDY.yaml", help="keys as the options here")
    for name, form, text in LISTS:
        parser.add_argument(f"--{name}", metavar=form, help=text, nargs="+", action="append", default=[])
    parser.add_argument("--seeds", type=int, metavar="N", help="seeds 0 to N - 1 of each cell (default: 1)")
    parser.add_argument("--target", metavar="METRIC=VALUE", help="count steps, bytes and seconds until this is reached")
    parser.add_argument("--objective", metavar="METRIC", help="what decides which value is best (default: test_loss)")
    parser.add_argument("--tuner", choices=get_args(Tuner), help="how the best value is looked for (default: grid)")
    parser.add_argument("--tuning-seeds", type=int, metavar="N", help="seeds of each trial, other ones (default: 1)")
    parser.add_argument("--output", type=Path, metavar="DIR", help="the study's directory (default: studies/NAME)")
    parser.add_argument("--processes", type=int, metavar="N", help="processes that compute (default: one a core)")
    parser.add_argument("--chunk", default="1/1", metavar="I/N", help="compute the Ith of N parts of the cells only")
    return parser


def _report_parser() -> Parser:
    parser = Parser(prog="python -m gossip.study report", description="One page of any runs.")
    parser.add_argument("--target", metavar="METRIC=VALUE", help="count steps, bytes and seconds until this is reached")
    parser.add_argument("runs", type=Path, nargs="+", metavar="DIR", help="run directories, or what holds some")
    parser.add_argument("--output", type=Path, default=Path("report"), metavar="DIR", help="where the page goes")
    return parser
