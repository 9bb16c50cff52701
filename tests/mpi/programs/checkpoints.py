"""Goes on with each of the cases as far as told: checkpoints.py STEPS OUTPUT FILE [TRANSPORT]; saves what came out."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from gossip.processes import launcher
from gossip.records.recorder import Recorder
from tests.mpi.checkpoint_cases import results


def main() -> None:
    steps, output, file, *transport = sys.argv[1:]
    Recorder.write_outcome = lambda *_: None  # type: ignore[method-assign,assignment]  # it takes longer than the run
    found = results(int(steps), Path(output), *transport)
    if launcher.world().rank == 0:
        np.savez(file, **found)  # type: ignore[arg-type]


main()
