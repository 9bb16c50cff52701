"""The command `python -m gossip.reproduce`: claims of papers, put to the test at a small scale."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from gossip.reproduce import studies
from gossip.reproduce.study import Study

NAMES = tuple(sorted(module.name for module in iter_modules(studies.__path__)))
"""The names of all studies: each is a module of `gossip.reproduce.studies` that defines `STUDY`."""


def find(name: str) -> Study:
    """The study of this name, one of `NAMES`."""
    study: Study = import_module(f"{studies.__name__}.{name}").STUDY
    return study
