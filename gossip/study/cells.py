"""The runs of a study: what identifies one, and how one is computed and kept."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from gossip.drivers.moment import Moment
from gossip.errors import DivergedError, GossipError, PreemptedError, explained
from gossip.execution.training import DECIDE_MODELS, Training
from gossip.options.command_line import parse
from gossip.records.configuration import described
from gossip.study.values import Options, words

DECIDE_RECORDS = (*(name for name in DECIDE_MODELS if name != "seed"), "steps", "evaluate_every", "evaluate_nodes")
DONE = ("finished", "diverged")  # what is not computed again; what has failed may work the next time
OURS = ("algorithms", "gossip", "topologies")
ABOUT = "cell.json"
TRACE = "error.txt"


@dataclass(frozen=True)
class Run:
    """One run of a study."""

    options: Options
    """What is given of its options."""

    seed: int
    """Its seed."""

    tuning: bool = False
    """Whether it serves to find the best value of an option, and is no result."""

    @property
    def words(self) -> tuple[str, ...]:
        """Its command line."""
        return (*words(self.options), f"--seed={self.seed}")

    @property
    def identity(self) -> str:
        """The digest of its configuration, or of its words if these are no run."""
        configuration = _configuration(tuple(words(self.options)))
        return _digest({"words": self.words} if configuration is None else {**configuration, "seed": self.seed})


@dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    status: str
    """finished, diverged or failed."""

    line: str = ""
    """Why it did not finish, in one line."""

    warnings: tuple[str, ...] = ()
    """What may be a mistake in its configuration."""

    @property
    def done(self) -> bool:
        """Whether it need not be computed again."""
        return self.status in DONE


class Store:
    """The run directories of a study, each under the identity of its run.

    A run is computed aside, in a folder that begins with a dot, and gets its name when all of it is there: whenever
    the study is killed, what has a name is whole.

    Args:
        directory: That of the study.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.runs = directory / "runs"

    def of(self, run: Run) -> Path:
        """Its run directory, whether there is one or not."""
        return self.runs / run.identity

    def outcome(self, run: Run) -> Outcome | None:
        """How it ended; None if it has not been run."""
        return outcome_in(self.of(run))

    def compute(self, run: Run, stopped: Callable[[], bool] = lambda: False) -> Outcome | None:
        """Run it in this process, whatever comes of it, and keep it; None if it was stopped, of which nothing is kept.

        Raises:
            OSError: Nothing can be written.
        """
        aside = self.runs / f".{run.identity}-{socket.gethostname()}-{os.getpid()}"
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
        try:
            outcome = _computed(run, aside, stopped)
        except PreemptedError:
            shutil.rmtree(aside, ignore_errors=True)
            return None
        self._keep(run, outcome, aside)
        return outcome

    def note(self, run: Run, outcome: Outcome) -> None:
        """Keep how a run ended that could not say so itself."""
        aside = self.runs / f".{run.identity}-{socket.gethostname()}-{os.getpid()}"
        aside.mkdir(parents=True, exist_ok=True)
        self._keep(run, outcome, aside)

    def clear(self) -> None:
        """Remove what killed processes of this host have left half done."""
        for aside in self.runs.glob(f".*-{socket.gethostname()}-*"):
            if not Path(f"/proc/{aside.name.rpartition('-')[2]}").exists():
                shutil.rmtree(aside, ignore_errors=True)

    def _keep(self, run: Run, outcome: Outcome, aside: Path) -> None:
        made = next(aside.glob("*/*/config.yaml"), aside / "none" / "config.yaml").parent
        made.mkdir(parents=True, exist_ok=True)
        for trace in aside.glob(TRACE):
            trace.rename(made / TRACE)
        about = {"options": dict(run.options), "seed": run.seed, "tuning": run.tuning, **asdict(outcome)}
        (made / ABOUT).write_text(json.dumps(about, indent=1), encoding="utf-8")
        there = outcome_in(self.of(run))
        if there is None or not there.done:
            if self.of(run).exists():
                self.of(run).rename(aside / "before")
            made.rename(self.of(run))
        shutil.rmtree(aside, ignore_errors=True)


def outcome_in(directory: Path) -> Outcome | None:
    """How the run in a directory of a study ended; None if there is none."""
    about = about_run(directory)
    return None if about is None else Outcome(about["status"], about["line"], tuple(about["warnings"]))


def about_run(directory: Path) -> dict[str, Any] | None:
    """What a study has noted of a run: its options, seed, purpose and end; None if it has not been run."""
    try:
        about: dict[str, Any] = json.loads((directory / ABOUT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return about


def training_of(run: Run) -> Training:
    """The run, as all that execute one take it.

    Raises:
        UsageError: It is none.
    """
    return replace(parse(run.words, ranks=1), progress=False, report=False)


def refusal(options: Options) -> GossipError | None:
    """Why no run can have these options; None if some can, as far as can be said before one is tried."""
    return _understood(tuple(words(options)))[1]


def _configuration(given: tuple[str, ...]) -> dict[str, Any] | None:
    return _understood(given)[0]


@cache
def _understood(given: tuple[str, ...]) -> tuple[dict[str, Any] | None, GossipError | None]:
    """What decides the records of a run with these words, but its seed, or why there is none."""
    try:
        training = parse(given, ranks=1)
    except GossipError as error:
        return None, error
    decide = {name: getattr(training, name) for name in DECIDE_RECORDS}
    return {**described(**decide), **{module: _source(module) for module in sorted(_own_modules(decide))}}, None


def _own_modules(value: Any) -> set[str]:
    """The modules of the user's own classes in a configuration: with another code a run is another run."""
    if isinstance(value, Mapping):
        return set().union(*map(_own_modules, value.values()))
    if not is_dataclass(value):
        return set()
    module = type(value).__module__
    own = set() if module.partition(".")[0] in OURS else {module}
    return own.union(*(_own_modules(getattr(value, each.name)) for each in fields(value)))


def _source(module: str) -> str:
    file = getattr(sys.modules.get(module), "__file__", None)
    return sha256(Path(file).read_bytes()).hexdigest() if file else ""


def _digest(configuration: Mapping[str, Any]) -> str:
    return sha256(json.dumps(configuration, sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class _Stopping:
    """An observer that ends a run between two of its steps."""

    stopped: Callable[[], bool]

    def at(self, moment: Moment) -> None:
        """Go no further if it is stopped."""
        if self.stopped():
            raise PreemptedError(f"stopped after step {moment.step}")


def _computed(run: Run, folder: Path, stopped: Callable[[], bool]) -> Outcome:
    """Run it, with its run directory within this folder.

    Raises:
        PreemptedError: It was stopped.
    """
    from gossip.execution.run import conduct
    from gossip.processes.communicator import Communicator
    from gossip.processes.signals import Signals

    warnings: list[str] = []
    looking = [_Stopping(stopped)]
    try:
        training = replace(training_of(run), output=folder)
        conduct(training, Communicator(), Signals(), warn=warnings.append, observers=looking)
    except PreemptedError:
        raise
    except DivergedError as error:
        return Outcome("diverged", str(error), tuple(warnings))
    except (GossipError, ValueError, OSError, ImportError) as error:
        said = explained(error)
        return _failed(str(said), said.trace, folder)
    except Exception as error:  # of code of the user's own, which is not to stop the other cells
        line = f"{type(error).__name__}: {' '.join(str(error).split())}"
        return _failed(line, "".join(traceback.format_exception(error)), folder)
    return Outcome("finished", "", tuple(warnings))


def _failed(line: str, trace: str, folder: Path) -> Outcome:
    if not trace:
        return Outcome("failed", line)
    (folder / TRACE).write_text(trace, encoding="utf-8")
    return Outcome("failed", f"{line}; see {TRACE}")
