"""The command `python -m gossip.train`."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def __getattr__(name: str) -> Any:
    # The config.yaml of earlier runs has topologies as gossip.train.kinds.ring.
    if name == "kinds":
        return import_module("gossip.options.kinds")
    raise AttributeError(f"module 'gossip.train' has no attribute {name!r}")
