"""The command `python -m gossip.reproduce`: claims of papers, put to the test at a small scale."""

from __future__ import annotations

from importlib import import_module

from gossip.reproduce.study import Study

# A study is a module here that defines `STUDY`.
NAMES = (
    "adacomm",
    "choco",
    "clars",
    "cooperative",
    "exact_diffusion",
    "fedmom",
    "leader_sgd",
    "momentum",
    "overlap_local_sgd",
    "prox_lead",
    "squarm",
    "transformer",
    "zo_prox",
)


def find(name: str) -> Study:
    """The study of this name, one of `NAMES`."""
    study: Study = import_module(f"gossip.reproduce.{name}").STUDY
    return study
