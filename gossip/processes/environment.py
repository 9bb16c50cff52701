"""What the environment's variables say of the processes that were started together, before any of them knows MPI."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass

from gossip.errors import UsageError

SIZES = (  # (number of processes, this one's number, what must be there too), the nearest launcher first
    ("PMI_SIZE", "PMI_RANK", ()),  # MPICH, Intel MPI, PALS, Slurm's pmi2
    ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK", ()),
    ("MV2_COMM_WORLD_SIZE", "MV2_COMM_WORLD_RANK", ()),  # MVAPICH2
    ("MVP_COMM_WORLD_SIZE", "MVP_COMM_WORLD_RANK", ()),  # MVAPICH 3
    ("PALS_SIZE", "PALS_RANKID", ("PALS_RANKID",)),
    ("FLUX_JOB_SIZE", "FLUX_TASK_RANK", ("FLUX_TASK_RANK",)),
    ("JSM_NAMESPACE_SIZE", "JSM_NAMESPACE_RANK", ()),  # LSF's jsrun
    # Slurm describes a whole allocation to its shell and batch script, too; what it launches is a step.
    ("SLURM_STEP_NUM_TASKS", "SLURM_PROCID", ("SLURM_STEP_ID", "SLURM_PROCID")),
    ("SLURM_NTASKS", "SLURM_PROCID", ("SLURM_STEP_ID", "SLURM_PROCID")),
)
RANKS = ("PMIX_RANK", "PALS_RANKID", "ALPS_APP_PE")  # of launchers that tell each process its number alone
TORCHRUN = "TORCHELASTIC_RUN_ID"
OTHERS = (  # launchers that start no MPI processes
    # WORLD_SIZE alone may be the user's own, for another purpose.
    ("torchrun", "WORLD_SIZE", "RANK", (TORCHRUN,)),
    ("a launcher for torch.distributed", "WORLD_SIZE", "RANK", ("LOCAL_RANK",)),
    ("horovodrun", "HOROVOD_SIZE", "HOROVOD_RANK", ("HOROVOD_RANK",)),
)
START_TIMEOUT = "GOSSIP_START_TIMEOUT"  # seconds in which all processes must have found each other
PATIENCE = 600.0  # where nothing else is said


@dataclass(frozen=True)
class Launch:
    """What a launcher has told this process.

    Attributes:
        variable: The environment variable that says it.
        size: How many processes there are, or, where it tells only their numbers, are at least.
        rank: The number of this one.
        by: Who says it, where that is no launcher of MPI processes; "" for one that is.
    """

    variable: str
    size: int
    rank: int
    by: str = ""

    @property
    def said(self) -> str:
        """What the variable says, as it stands in the environment."""
        return f"{self.variable}={self.size if self._is_exact else self.rank}"

    @property
    def sign(self) -> str:
        """The variable without which this would be no launch."""
        return "SLURM_STEP_ID" if self.variable.startswith("SLURM") else self.variable

    def agrees(self, seen: int) -> bool:
        """Whether it can be that there are so many processes."""
        return seen == self.size if self._is_exact else seen >= self.size

    @property
    def _is_exact(self) -> bool:
        return self.variable not in RANKS


def launched_as(environment: Mapping[str, str] = os.environ) -> Launch | None:
    """What the nearest launcher of MPI processes has told this one; None without such a launcher.

    Raises:
        UsageError: A variable of its is no number.
    """
    for size, rank, needed in SIZES:
        if all(_given(environment, name) for name in (size, *needed)):
            return Launch(size, _whole(environment, size, 1), _whole(environment, rank, 0, 0))
    for name in RANKS:
        if _given(environment, name):
            number = _whole(environment, name, 0)
            return Launch(name, number + 1, number)
    return None


def launched_otherwise(environment: Mapping[str, str] = os.environ) -> Launch | None:
    """What a launcher of several processes that MPI knows nothing of has told this one; None if there is none.

    Where both are there, that of MPI counts if it has started several. But processes that torchrun has started below it
    share one place among those of MPI, and so do not belong to it.

    Raises:
        UsageError: A variable of a launcher is no number.
    """
    mpi = launched_as(environment)
    for by, size, rank, needed in OTHERS:
        if all(_given(environment, name) for name in (size, *needed)):
            launch = Launch(size, _whole(environment, size, 1), _whole(environment, rank, 0, 0), by)
            several = mpi is not None and mpi.size > 1 and (TORCHRUN not in needed or mpi.size == launch.size)
            if launch.size > 1 and not several:
                return launch
    return None


def start_timeout(environment: Mapping[str, str] = os.environ) -> float:
    """Seconds in which all processes must have found each other; infinite for no limit.

    Raises:
        UsageError: What is given is no number of seconds.
    """
    text = environment.get(START_TIMEOUT, "").strip()
    try:
        seconds = float(text or PATIENCE)
    except ValueError:
        seconds = math.nan
    if not seconds > 0:
        raise UsageError(f"{START_TIMEOUT}={text} is not allowed; it must be > 0, in seconds, or inf for no limit")
    return seconds


def _given(environment: Mapping[str, str], name: str) -> bool:
    """Whether it is set: by custom, empty is as good as unset."""
    return bool(environment.get(name, "").strip())


def _whole(environment: Mapping[str, str], name: str, least: int, default: int | None = None) -> int:
    text = environment.get(name, "").strip()
    if not text and default is not None:
        return default
    try:
        number = int(text)
    except ValueError:
        number = least - 1
    if number < least:
        raise UsageError(
            f"{name}={text} is not allowed; a launcher sets it to a whole number >= {least}: unset it if there is none"
        )
    return number
