"""What the facts of all processes mean, and what to do about it."""

from __future__ import annotations

import math
import re
import shutil
import subprocess
import sys
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gossip.doctor.disk import SIZE
from gossip.doctor.facts import Facts
from gossip.errors import GossipError, UsageError
from gossip.processes.communicator import listed
from gossip.processes.environment import launched_as, launched_otherwise
from gossip.processes.versions import OtherCodeError

SMALL = 10e6  # float32 parameters of a node: shared memory that has no room for these is worth a word
ROOM = 3  # stacks that a rank has in shared memory at least
SLOW_DISK = 20e6  # bytes/s of each rank: a checkpoint of 10 million parameters then takes seconds
LITTLE_DISK = 1e9  # bytes
INSTALL = "pip install 'gossip-mpi[mpich]'"


@dataclass(frozen=True)
class Finding:
    """One line of the diagnosis.

    Attributes:
        subject: What was looked at.
        text: What was found.
        fix: What to do about it; None if nothing is wrong.
    """

    subject: str
    text: str
    fix: str | None = None


def examine(facts: Sequence[Facts]) -> list[Finding]:
    """All findings, in the order in which to read them; `facts` by rank."""
    looks = (
        _versions,
        _library,
        _thread_level,
        _windows,
        _reading,
        _failures,
        _cores,
        _binding,
        _threads,
        _gpus,
        _compiled_code,
        _disk,
    )
    return [finding for look in looks if (finding := look(facts)) is not None]


def start(facts: Facts, size: int, error: GossipError | None) -> list[Finding]:
    """How the processes have found each other: `size` of them or, if they run different code, all that were started."""
    launched = launched_as() if isinstance(error, OtherCodeError) else None
    if launched is None:
        return [launcher(facts, size)]
    text, _, fix = str(error).rpartition("; ")
    return [launcher(facts, launched.size), Finding("code", f"{text}; what follows is of rank 0 alone", fix)]


def launcher(facts: Facts, size: int) -> Finding:
    """Whether the launcher and the MPI library belong together, as seen by a process that finds `size` of them.

    Without a launcher: whether the one that would be used does.
    """
    try:
        launched = launched_as()
        other = launched_otherwise()
    except UsageError as error:
        return Finding("launcher", str(error), "unset the variable, or start with the launcher that sets it")
    own = Path(sys.executable).with_name("mpirun")
    use = f"use {own}" if own.exists() else "use the mpirun that belongs to the library"
    if other is not None and other.size != size:
        text = f"{other.by} started {other.size} processes ({other.said}), but not by MPI: each of them is alone"
        return Finding("launcher", text, f"start with mpirun -n {other.size}")
    if launched is not None:
        processes = f"{launched.size} process{'es' if launched.size > 1 else ''} ({launched.said})"
        if launched.agrees(size):
            return Finding("launcher", f"started {processes}, and the MPI library finds as many")
        text = f"started {processes}, but each of them is alone: "
        if facts.mpi is None:
            return Finding("launcher", f"{text}there is no MPI library", INSTALL)
        slurm = "srun --mpi=pmi2" if _family(facts.mpi) == "MPICH" else "this mpirun too, or srun --mpi=pmix"
        return Finding(
            "launcher",
            f"{text}the MPI library, {facts.mpi}, was not started by it",
            f"{use}; under Slurm {slurm}",
        )
    if facts.mpi is None:
        return Finding("launcher", "none, and no MPI library: one process only", INSTALL)
    found = shutil.which("mpirun")
    if found is None:
        return Finding("launcher", "none, and no mpirun in the PATH: one process only", use)
    families = [_family(text) for text in (_version_of(found), facts.mpi)]
    if None in families or families[0] == families[1]:
        return Finding("launcher", f"none, one process; {found} starts more")
    return Finding(
        "launcher",
        f"none, one process; {found} is of {families[0]} but the library of {families[1]}: each of the processes that "
        "it starts would be alone",
        use,
    )


def _versions(facts: Sequence[Facts]) -> Finding:
    names = facts[0].versions
    differing = [name for name in names if len({each.versions[name] for each in facts}) > 1]
    common = ", ".join(
        f"{name} {version}" for name, version in names.items() if name not in differing and version is not None
    )
    if not differing:
        return Finding("versions", common)
    said = "; ".join(f"{name}: {_by_rank([each.versions[name] for each in facts])}" for name in differing)
    return Finding("versions", f"they differ: {said}", "start all ranks from the same environment, on a shared disk")


def _library(facts: Sequence[Facts]) -> Finding | None:
    libraries = [each.mpi and f"{each.mpi}, {each.mpi_file or 'from an unknown file'}" for each in facts]
    if len(set(libraries)) > 1:
        return Finding("MPI", f"it differs: {_by_rank(libraries)}", "start all ranks from the same environment")
    if len(facts[0].wheels) > 1:
        wheels = " and ".join(facts[0].wheels)
        return Finding(
            "MPI",
            f"{libraries[0]}; but the packages {wheels} overwrite each other's mpirun",
            f"pip uninstall {wheels.replace(' and', '')}, then install one of them again",
        )
    return None if libraries[0] is None else Finding("MPI", libraries[0])


def _thread_level(facts: Sequence[Facts]) -> Finding | None:
    levels = [each.thread_level for each in facts if each.thread_level is not None]
    if not levels:
        return None
    if all(level == "multiple" for level in levels):
        return Finding("thread level", "multiple: messages move while ranks compute")
    return Finding(
        "thread level",
        f"{_by_rank(levels)}: messages between hosts move only while a rank waits for them",
        "use an MPI library built with MPI_THREAD_MULTIPLE, and leave MPI4PY_RC_THREAD_LEVEL unset",
    )


def _windows(facts: Sequence[Facts]) -> Finding | None:
    if len(facts) == 1:
        return None
    problems = [each.window_problem for each in facts]
    if any(problems):
        return Finding(
            "shared windows",
            _by_rank(problems, none="works"),
            "see whether /dev/shm is writable and has room; until then --transport peer-to-peer",
        )
    poorest = min(facts, key=lambda each: each.shared_memory / len(_on(each.host, facts)))
    local = len(_on(poorest.host, facts))
    parameters = poorest.shared_memory / (ROOM * 4 * local)
    text = "work"
    if math.isfinite(parameters):
        free = _bytes(poorest.shared_memory)
        text += f"; {free} free on {poorest.host}, for {parameters / 1e6:,.0f} million float32 parameters on each rank"
    fix = "give /dev/shm more: docker run --shm-size, mount -o remount,size=...; until then --transport peer-to-peer"
    return Finding("shared windows", text, fix if parameters < SMALL else None)


def _reading(facts: Sequence[Facts]) -> Finding | None:
    if not any(len(_on(each.host, facts)) > 1 for each in facts):
        return None
    problems = [each.reading_problem for each in facts]
    if not any(problems):
        return Finding("cross memory attach", "works: MPI can copy long messages between ranks of a host at once")
    return Finding(
        "cross memory attach",
        f"{_by_rank(problems, none='works')}: MPI copies long messages between ranks of a host twice",
        "allow it: sysctl kernel.yama.ptrace_scope=0, in a container --cap-add SYS_PTRACE",
    )


def _failures(facts: Sequence[Facts]) -> Finding | None:
    library = facts[0].mpi
    if library is None:
        return None
    if "Open MPI" not in library:
        return Finding("rank failure", f"ends the job: {library} has no ULFM; Open MPI 5 has")
    if all(each.tolerates_failures for each in facts):
        return Finding("rank failure", "the other ranks can go on (ULFM): --on-failure continue or rehost")
    return Finding("rank failure", "ends the job; with Open MPI 5 and mpirun --with-ft ulfm the others can go on")


def _cores(facts: Sequence[Facts]) -> Finding:
    texts, crowded = [], []
    for host in _hosts(facts):
        local = _on(host, facts)
        cores = _usable(local)
        texts.append(f"{len(local)} rank{'s' if len(local) > 1 else ''} on {cores:g} cores of {host}")
        if len(local) > cores:
            crowded.append(f"at most {cores:g} on {host}")
    text = _shortened(texts)
    if not crowded:
        return Finding("cores", text)
    return Finding(
        "cores",
        f"{text}: ranks wait for each other's core",
        f"start fewer ranks, {_shortened(crowded)}; each can host several nodes (--nodes)",
    )


def _binding(facts: Sequence[Facts]) -> Finding | None:
    """Whether more ranks are bound to some cores than these are, or are not bound where memory is not one."""
    if len(facts) == 1:
        return None
    loose = []
    for host in _hosts(facts):
        local = _on(host, facts)
        for cores in dict.fromkeys(each.cores for each in local):
            inside = [rank for rank, each in enumerate(facts) if each.host == host and each.cores <= cores]
            if len(inside) > len(cores) < local[0].host_cores:
                return Finding(
                    "core binding",
                    f"{listed(inside)} may use only {len(cores)} of the {local[0].host_cores} cores of {host}",
                    "give each rank its own: srun --cpus-per-task=1 --cpu-bind=cores, mpirun -bind-to core (MPICH) or "
                    "--bind-to core (Open MPI)",
                )
        if sum(len(each.cores) for each in local) > len(frozenset[int]().union(*(each.cores for each in local))):
            loose.append(local[0])
    if not loose:
        return Finding("core binding", "each rank has cores of its own")
    divided = next((each for each in loose if each.memory_nodes > 1), None)
    text = "the system may move ranks from core to core"
    if divided is None:
        return Finding("core binding", text)
    return Finding(
        "core binding",
        f"{text}, on {divided.host} away from their memory: it has {divided.memory_nodes} memory nodes",
        "srun --cpu-bind=cores, mpirun -bind-to core (MPICH) or --bind-to core (Open MPI)",
    )


def _threads(facts: Sequence[Facts]) -> Finding:
    text = _by_rank([f"{each.threads} (OMP_NUM_THREADS {_given(each.omp_threads)})" for each in facts])
    for host in _hosts(facts):
        local = _on(host, facts)
        cores, threads = _usable(local), sum(each.threads for each in local)
        share = max(1, math.floor(cores / len(local)))
        if any(each.threads > share for each in local):
            return Finding(
                "torch threads",
                f"{text}: {threads} threads on {cores:g} cores of {host} can be ten times slower than {share} a rank",
                f"export OMP_NUM_THREADS={share}",
            )
    return Finding("torch threads", text)


def _given(value: str | None) -> str:
    return "is not set" if value is None else f"= {value}"


def _gpus(facts: Sequence[Facts]) -> Finding:
    if not any(each.gpus for each in facts):
        if any(each.has_gpu_device for each in facts):
            return Finding(
                "GPUs",
                f"{next(each.host for each in facts if each.has_gpu_device)} has some, but torch "
                f"{facts[0].versions['torch']} sees none",
                "install torch for CUDA, and ask Slurm for --gpus-per-task",
            )
        return Finding("GPUs", "none")
    names = [
        ", ".join(f"{each.gpus.count(name)} x {name}" for name in sorted(set(each.gpus))) or None for each in facts
    ]
    text = _by_rank(names, none="none")
    if None in names:
        return Finding("GPUs", f"not all ranks see any: {text}", "ask Slurm for --gpus-per-task=1")
    if len(facts) > 1 and not all(each.takes_gpu_memory for each in facts):
        return Finding(
            "GPUs",
            f"{text}; the MPI library does not say that it takes their memory, so messages go through host memory",
            "use an MPI library built with CUDA (MPI 4.1 says so in mpi_memory_alloc_kinds)",
        )
    return Finding("GPUs", text + ("; MPI takes their memory" if len(facts) > 1 else ""))


def _compiled_code(facts: Sequence[Facts]) -> Finding:
    folders = [each.compiled_code for each in facts]
    if all(folders):
        return Finding("compiled code", f"is kept in {_by_rank(folders)}")
    where = _by_rank(folders, none="nowhere")
    return Finding(
        "compiled code",
        f"numba can keep it {where}: each process that keeps none compiles anew, which takes seconds",
        "set NUMBA_CACHE_DIR to a folder that can be written",
    )


def _disk(facts: Sequence[Facts]) -> Finding:
    problems = [each.disk.problem for each in facts]
    if any(problems):
        return Finding("disk", _by_rank(problems, none="works"), "choose another --output")
    blind = [rank for rank, each in enumerate(facts) if not each.disk.shared]
    if blind:
        hosts = _shortened(_hosts([facts[rank] for rank in blind]))
        return Finding(
            "disk",
            f"what rank 0 writes is not seen by {listed(blind)} on {hosts}: checkpoints cannot be read back",
            "choose an --output on a disk that all hosts share",
        )
    slowest = max(range(len(facts)), key=lambda rank: facts[rank].disk.seconds)
    speed, free = SIZE / max(facts[slowest].disk.seconds, 1e-9), min(each.disk.free for each in facts)
    text = f"{_bytes(speed)}/s on each rank, all at once ({listed([slowest])} is slowest); {_bytes(free)} free"
    if free < LITTLE_DISK:
        return Finding("disk", text, "make room, or choose another --output")
    return Finding("disk", text, "choose an --output on a faster disk" if speed < SLOW_DISK else None)


def _hosts(facts: Iterable[Facts]) -> list[str]:
    return list(dict.fromkeys(each.host for each in facts))


def _on(host: str, facts: Sequence[Facts]) -> list[Facts]:
    return [each for each in facts if each.host == host]


def _usable(local: Sequence[Facts]) -> float:
    """Cores that these processes of a host may use together at a time."""
    return min(len(frozenset().union(*(each.cores for each in local))), local[0].core_quota)


def _by_rank(values: Sequence[Hashable], none: str = "missing") -> str:
    """What all have in common, or who has what."""
    ranks: dict[Hashable, list[int]] = {}
    for rank, value in enumerate(values):
        ranks.setdefault(value, []).append(rank)
    texts = {value: none if value is None else str(value) for value in ranks}
    if len(ranks) == 1:
        return next(iter(texts.values()))
    return _shortened([f"{texts[value]} on {listed(who)}" for value, who in ranks.items()])


def _shortened(texts: Sequence[str], most: int = 4) -> str:
    """The first few, and how many more there are."""
    more = f" and {len(texts) - most} more" if len(texts) > most else ""
    return ", ".join(texts[:most]) + more


def _bytes(count: float) -> str:
    return f"{count / 1e9:,.1f} GB" if count >= 1e9 else f"{count / 1e6:,.0f} MB"


def _family(text: str | None) -> str | None:
    """Which MPI says this of itself."""
    if text is None:
        return None
    found = re.search(r"Open ?MPI|OpenRTE|prte|MPICH|HYDRA|Intel", text, re.IGNORECASE)
    word = found.group().lower() if found else ""
    return {"mpich": "MPICH", "hydra": "MPICH", "intel": "Intel MPI"}.get(word, "Open MPI" if word else None)


def _version_of(mpirun: str) -> str | None:
    try:
        return subprocess.run([mpirun, "--version"], capture_output=True, text=True, timeout=10, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
