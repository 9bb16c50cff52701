"""The loggers of a run, by name, and how they accompany it: none of them can end it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from inspect import isclass
from typing import Any, Literal

from algorithms.own_code import own_line
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
METHODS = ("open", "add", "close")  # of a logger


def check_loggers(given: Sequence[str | Logger], written: bool) -> None:
    """Refuse loggers that are not known, or are none, and those that have nowhere to write.

    Raises:
        UsageError: There are such.
    """
    for each in given:
        if isinstance(each, str) and each not in CLASSES:
            _check_methods(each, _own(each))
        elif not isinstance(each, str):
            _check_methods(_name(each), each)
            if isclass(each):
                raise UsageError(f"loggers = {each.__qualname__} is a class; give an object, {each.__qualname__}()")
    if len(set(map(_identity, given))) < len(given):
        raise UsageError(f"loggers = {', '.join(map(_name, given))} is not allowed; each of them is given once")
    if given and not written:
        raise UsageError("loggers write into the run directory: output must say where that is to be made")


def _own(path: str) -> Any:
    """The class of the user's that an import path names."""
    if "." not in path:
        known = ", ".join(CLASSES)
        raise UsageError(
            f"loggers = {path} is not allowed; it must be one of {known}, or the import path of your own class"
        )
    from topologies.command.own import resolved  # networkx is heavy, and ranks that only train need none

    try:
        found = resolved(path)
    except ValueError as error:
        raise UsageError(f"loggers = {path} is not allowed; {error}") from error
    if not isclass(found):
        raise UsageError(
            f"loggers = {path} is a {type(found).__name__}; name a class, which is called without arguments"
        )
    return found


def _check_methods(name: str, logger: Any) -> None:
    for method in METHODS:
        if not hasattr(logger, method):
            raise UsageError(
                f"loggers = {name} is not allowed; a logger has the methods {', '.join(METHODS)}, and this has no "
                f"{method}"
            )


def _name(logger: str | Logger) -> str:
    """What it is called in messages."""
    if isinstance(logger, str):
        return logger
    return logger.__qualname__ if isclass(logger) else type(logger).__qualname__


def _identity(logger: str | Logger) -> str | int:
    return logger if isinstance(logger, str) else id(logger)


def check_packages(given: Sequence[str | Logger]) -> None:
    """Refuse loggers whose packages are missing; for rank 0, where alone they are needed.

    Raises:
        UsageError: There are such.
    """
    for name in CLASSES.keys() & {each for each in given if isinstance(each, str)}:
        package = CLASSES[name][2]
        if package is not None and find_spec(package) is None:
            raise UsageError(f"the logger {name} needs a package that is missing: pip install 'gossip-mpi[{name}]'")


class Loggers:
    """Some loggers, each until it fails. They are opened when there is something to log.

    Args:
        given: Which: names, import paths of classes, or loggers themselves.
        about: What they log.
    """

    def __init__(self, given: Sequence[str | Logger], about: About) -> None:
        self._about = about
        self._waiting = list(given)
        self._open: list[tuple[str, Logger]] = []
        self._history: list[Record] = []

    def resume(self, history: Sequence[Record]) -> None:
        """The run goes on after these records."""
        self._history = list(history)

    def add(self, record: Record) -> None:
        """One more evaluation."""
        while self._waiting:
            given = self._waiting.pop(0)
            _trying(_name(given), partial(self._begin, given))
        self._open = [(name, logger) for name, logger in self._open if _trying(name, partial(logger.add, record))]
        self._history.append(record)

    def close(self, summary: Mapping[str, Any] | None) -> None:
        """The run has ended with this summary, or has been stopped if that is None."""
        for name, logger in self._open:
            _trying(name, partial(logger.close, summary))
        self._open.clear()

    def _begin(self, given: str | Logger) -> None:
        logger = _made(given) if isinstance(given, str) else given
        logger.open(self._about, self._history)
        self._open.append((_name(given), logger))


def _made(name: str) -> Logger:
    """That of this name or import path."""
    if name not in CLASSES:
        own: Logger = _own(name)()
        return own
    module, kind, _ = CLASSES[name]
    logger: Logger = getattr(import_module(f"gossip.records.loggers.{module}"), kind)()
    return logger


def _trying(name: str, action: Callable[[], None]) -> bool:
    """Whether it has not failed, which is a warning."""
    try:
        action()
    except Exception as error:  # whatever a package of somebody else's raises
        said = f"{type(error).__name__}: {' '.join(str(error).split())}".rstrip(": ")
        place = None if name in CLASSES else own_line(error)
        where = f" at {place}" if place else ""
        warn(f"the logger {name} has failed{where} ({said[:300]}); the run goes on without it")
        return False
    return True
