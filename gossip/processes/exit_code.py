"""The exit code that this process is about to end with, which Python tells nobody before it has ended."""

from __future__ import annotations

import atexit
import ctypes
import gc
import os
import sys
import time

LIMIT = 10.0  # seconds for a copy of the process to end
POLL = 0.02  # seconds


def own_exit_code() -> int | None:
    """That of this process, of which a copy goes on to its end; for a function that Python calls at exit.

    What `sys.exit` was given is gone by then, and no hook of Python or MPI is told. So a forked copy of the process,
    which says nothing and skips what is registered for the exit, ends as this one would. What Python has buffered for
    standard output must have been written before.

    Returns:
        None in that copy, which must return to Python at once; 1 where the code cannot be told.
    """
    library = ctypes.CDLL(None)
    if not hasattr(library, "on_exit"):  # of glibc
        return 1
    copy = os.fork()
    if not copy:
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        os.dup2(silence, 2)
        atexit._clear()
        gc.freeze()
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(dict(sys.modules)))  # to end sooner: no module is taken apart
        sys.modules.clear()
        library.on_exit(ctypes.cast(library._exit, ctypes.c_void_p), None)  # before what other libraries do at exit
        return None
    until = time.monotonic() + LIMIT
    while time.monotonic() < until:
        ended, status = os.waitpid(copy, os.WNOHANG)
        if ended:
            return max(1, os.waitstatus_to_exitcode(status))
        time.sleep(POLL)
    os.kill(copy, 9)
    os.waitpid(copy, 0)
    return 1
