"""Programs as `python` starts them, but within this process, or one after the other within the same ranks.

A start costs seconds, and most programs show nothing by a process of their own.

    mpirun -n 2 python -m tests.here FOLDER      # all that FOLDER/programs.json lists; see `tests.conftest.on_ranks`
"""

from __future__ import annotations

import json
import os
import runpy
import signal
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

PROGRAMS = "programs.json"
OWN_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)  # a command ignores them on its way out
STREAMS = ("stdout", "stderr")


def run_here(words: Sequence[str]) -> int:
    """The exit code of `python WORDS`, with the current folder first among those of modules."""
    strict = [*words[:2]] == ["-W", "error"]
    kind, program, *arguments = words[2 * strict :] if words[2 * strict].startswith("-") else ("", *words[2 * strict :])
    with _as_it_was(), warnings.catch_warnings():
        if strict:
            warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "'.*' found in sys.modules", RuntimeWarning)  # runpy: it has been imported
        sys.argv = [program, *arguments]
        sys.path.insert(0, os.getcwd())
        try:
            if kind == "-m":
                runpy.run_module(program, run_name="__main__", alter_sys=True)
            elif kind == "-c":
                exec(program, {"__name__": "__main__"})
            else:
                runpy.run_path(program, run_name="__main__")
        except SystemExit as stop:
            return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        except Exception:
            traceback.print_exc()
            return 1
    return 0


@contextmanager
def _as_it_was() -> Iterator[None]:
    """What a process of its own leaves behind is gone: signals, arguments, variables, and modules in this folder."""
    handlers = {each: signal.getsignal(each) for each in OWN_SIGNALS}
    arguments, path, variables, streams = sys.argv, [*sys.path], dict(os.environ), (sys.stdout, sys.stderr)
    try:
        yield
    finally:
        sys.argv, sys.path[:] = arguments, path
        sys.stdout, sys.stderr = streams
        os.environ.clear()
        os.environ.update(variables)
        for each, handler in handlers.items():
            if handler is not None:  # which is one that Python does not know
                signal.signal(each, handler)
        for name, module in [*sys.modules.items()]:
            if str(getattr(module, "__file__", None) or "").startswith(f"{os.getcwd()}/"):
                del sys.modules[name]


def main(folder: Path) -> None:
    """Run all programs; a file has what each of them prints on this rank, and one their exit codes."""
    from mpi4py import MPI

    rank = MPI.COMM_WORLD.rank
    codes = []
    for i, words in enumerate(json.loads((folder / PROGRAMS).read_text())):
        with _streams_into([folder / f"{i}-{rank}.{stream}" for stream in STREAMS]):
            codes.append(run_here(words))
    (folder / f"{rank}.codes").write_text(json.dumps(codes))


@contextmanager
def _streams_into(files: Sequence[Path]) -> Iterator[None]:
    """Also what other languages than Python print."""
    kept = [os.dup(1), os.dup(2)]
    for number, file in enumerate(files, start=1):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    try:
        yield
    finally:
        for number, before in enumerate(kept, start=1):
            (sys.stdout, sys.stderr)[number - 1].flush()
            os.dup2(before, number)
            os.close(before)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
