"""Waiting for a word in shared memory to change, asleep in the kernel (futex, Linux)."""

from __future__ import annotations

import ctypes
import platform
import sys

FUTEX_WAIT, FUTEX_WAKE = 0, 1
EVERYONE = 2**31 - 1
SYSCALL = {"x86_64": 202, "aarch64": 98, "riscv64": 98, "ppc64le": 221, "s390x": 238}.get(platform.machine())
AVAILABLE = sys.platform == "linux" and SYSCALL is not None and sys.byteorder == "little"


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


_syscall = ctypes.CDLL(None, use_errno=True).syscall if AVAILABLE else None


def wait(address: int, value: int, seconds: float) -> None:
    """Sleep while the 32-bit word at this address has this value, at most so long; may return early."""
    assert _syscall is not None
    timeout = _Timespec(int(seconds), int(seconds % 1 * 1e9))
    _syscall(SYSCALL, ctypes.c_void_p(address), FUTEX_WAIT, ctypes.c_uint32(value), ctypes.byref(timeout), None, 0)


def wake(address: int) -> None:
    """Wake all who wait for the word at this address, in any process."""
    assert _syscall is not None
    _syscall(SYSCALL, ctypes.c_void_p(address), FUTEX_WAKE, EVERYONE, None, None, 0)
