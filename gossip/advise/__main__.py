"""The command `python -m gossip.advise`, in one process."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from gossip.console.frame import exit_code_alone


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code: 0, 2 for wrong usage, 3 for files that cannot be read or written."""
    arguments = sys.argv[1:] if arguments is None else arguments
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as `gossip.train`
    return exit_code_alone(lambda _: _advise(arguments))


def _advise(arguments: Sequence[str]) -> int:
    from gossip.advise.command import parse

    order = parse(arguments)
    if isinstance(order, int):
        return order
    from gossip.advise.advice import advise  # imports torch, for which wrong options need not wait

    return advise(order)


if __name__ == "__main__":
    sys.exit(main())
