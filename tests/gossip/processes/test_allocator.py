"""Freed memory is kept for the next step while a run lasts, and goes back to the system after it."""

from __future__ import annotations

import ctypes
import platform

import pytest

from tests.conftest import Run

PROGRAM = """
import resource
import numpy as np
from gossip.processes.allocator import freed_memory_kept, keep_freed_memory

def faults(arrays=5):
    # Pages that the system had to give for arrays of 64 MB that are made and freed one after the other.
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(arrays):
        np.full(1 << 23, 1.0)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have no such setting")
def test_a_library_call_leaves_the_process_as_it_was(python: Run) -> None:
    done = python(
        "-c",
        PROGRAM + "faults(); before = faults()\n"
        "with freed_memory_kept():\n"
        "    with freed_memory_kept(): faults()\n"
        "    faults(2); kept = faults()\n"
        "after = faults()\n"
        "keep_freed_memory()\n"
        "with freed_memory_kept(): pass\n"
        "faults(2); command = faults()\n"
        "print(before, kept, after, command)\n",
        env={"NUMPY_MADVISE_HUGEPAGE": "0"},
    )
    assert done.returncode == 0, done.stderr
    before, kept, after, command = map(int, done.stdout.split())
    assert before > 50_000 and after > 50_000  # 16,384 pages for each of the arrays
    assert kept < 5_000 and command < 5_000  # the same ones for all


def test_other_systems_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    from gossip.processes.allocator import freed_memory_kept

    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())  # a C library without the function
    with freed_memory_kept():
        pass
