"""Command lines in argparse's form whose errors take one line."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import NoReturn

from gossip.errors import UsageError


class Parser(ArgumentParser):
    """Says in one line what cannot be understood, instead of ending the process."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(" ".join(message.split()))
