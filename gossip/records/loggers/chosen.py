"""The loggers of a run, by name, and how they accompany it: none of them can end it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Literal, get_args

from gossip.errors import UsageError
from gossip.records.loggers.logger import About, Logger, Record
from gossip.records.logs import warn

LoggerName = Literal["csv", "tensorboard", "wandb", "mlflow"]
CLASSES = {  # the module and the class, which need the package; and what brings that
    "csv": ("csv_file", "CsvLogger", None),
    "tensorboard": ("tensorboard", "TensorBoardLogger", "tensorboard"),
    "wandb": ("wandb", "WandbLogger", "wandb"),
    "mlflow": ("mlflow", "MlflowLogger", "mlflow"),
}


def check_names(names: Sequence[str], written: bool) -> None:
    """Refuse loggers that are not known, and those that have nowhere to write.

    Raises:
        UsageError: There are such.
    """
    known = get_args(LoggerName)
    for name in names:
        if name not in known:
            raise UsageError(f"loggers = {name} is not allowed; it must be one of {', '.join(known)}")
    if len(set(names)) < len(names):
        raise UsageError(f"loggers = {', '.join(names)} is not allowed; each of them is given once")
    if names and not written:
        raise UsageError("loggers write into the run directory: output must say where that is to be made")


def check_packages(names: Sequence[str]) -> None:
    """Refuse loggers whose packages are missing; for rank 0, where alone they are needed.

    Raises:
        UsageError: There are such.
    """
    for name in names:
        package = CLASSES[name][2]
        if package is not None and find_spec(package) is None:
            raise UsageError(f"the logger {name} needs a package that is missing: pip install 'gossip-mpi[{name}]'")


class Loggers:
    """Some loggers, each until it fails. They are opened when there is something to log.

    Args:
        names: Which.
        about: What they log.
    """

    def __init__(self, names: Sequence[str], about: About) -> None:
        self._about = about
        self._waiting = list(names)
        self._open: dict[str, Logger] = {}
        self._history: list[Record] = []

    def resume(self, history: Sequence[Record]) -> None:
        """The run goes on after these records."""
        self._history = list(history)

    def add(self, record: Record) -> None:
        """One more evaluation."""
        while self._waiting:
            self._try(self._waiting.pop(0), self._opened)
        for name in list(self._open):
            self._try(name, lambda name: self._open[name].add(record))
        self._history.append(record)

    def close(self, summary: Mapping[str, Any] | None) -> None:
        """The run has ended with this summary, or has been stopped if that is None."""
        for name in list(self._open):
            self._try(name, lambda name: self._open[name].close(summary))
        self._open.clear()

    def _opened(self, name: str) -> None:
        module, kind, _ = CLASSES[name]
        logger: Logger = getattr(import_module(f"gossip.records.loggers.{module}"), kind)()
        logger.open(self._about, self._history)
        self._open[name] = logger

    def _try(self, name: str, action: Callable[[str], None]) -> None:
        try:
            action(name)
        except Exception as error:  # whatever a package of somebody else's raises
            self._open.pop(name, None)
            reason = f"{type(error).__name__}: {' '.join(str(error).split())}".rstrip(": ")
            warn(f"the logger {name} has failed ({reason[:300]}); the run goes on without it")
