"""What launchers say in environment variables."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gossip.errors import UsageError
from gossip.processes.environment import (
    OTHERS,
    RANKS,
    SIZES,
    START_TIMEOUT,
    Launch,
    launched_as,
    launched_otherwise,
    start_timeout,
)

ALLOCATION = {"SLURM_JOB_ID": "77", "SLURM_NTASKS": "4", "SLURM_NNODES": "1"}  # of salloc
BATCH = ALLOCATION | {"SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NODEID": "0"}
STEP = BATCH | {"SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "1"}
TORCHRUN = {"TORCHELASTIC_RUN_ID": "none", "RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}
VARIABLES = sorted(
    {name for size, rank, needed in SIZES for name in (size, rank, *needed)}
    | {name for _, size, rank, needed in OTHERS for name in (size, rank, *needed)}
    | {*RANKS, START_TIMEOUT}
)


@pytest.mark.parametrize(
    ("environment", "launch"),
    [
        ({}, None),
        ({"PMI_SIZE": "3", "PMI_RANK": "2"}, Launch("PMI_SIZE", 3, 2)),
        ({"OMPI_COMM_WORLD_SIZE": "3", "OMPI_COMM_WORLD_RANK": "2"}, Launch("OMPI_COMM_WORLD_SIZE", 3, 2)),
        ({"MV2_COMM_WORLD_SIZE": "3", "MV2_COMM_WORLD_RANK": "2"}, Launch("MV2_COMM_WORLD_SIZE", 3, 2)),
        ({"FLUX_JOB_SIZE": "3", "FLUX_TASK_RANK": "2"}, Launch("FLUX_JOB_SIZE", 3, 2)),
        ({"FLUX_JOB_SIZE": "3"}, None),  # no task
        ({"PALS_RANKID": "2"}, Launch("PALS_RANKID", 3, 2)),
        ({"PMIX_RANK": "2", "PMIX_NAMESPACE": "prterun-vm-1@1"}, Launch("PMIX_RANK", 3, 2)),
        (ALLOCATION, None),
        (BATCH, None),
        (STEP, Launch("SLURM_STEP_NUM_TASKS", 2, 1)),
        (STEP | {"SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0"}, Launch("SLURM_STEP_NUM_TASKS", 1, 0)),  # salloc's
        (STEP | {"PMI_SIZE": "4", "PMI_RANK": "3"}, Launch("PMI_SIZE", 4, 3)),  # mpirun within Slurm
        ({"SLURM_NTASKS": "", "SLURM_STEP_ID": "0", "SLURM_PROCID": "0"}, None),
        (ALLOCATION | {"SLURM_NTASKS": "4x"}, None),  # nobody asks for it
        (TORCHRUN, None),
    ],
)
def test_launchers_of_mpi_processes(environment: dict[str, str], launch: Launch | None) -> None:
    assert launched_as(environment) == launch


@pytest.mark.parametrize(
    ("environment", "size"),
    [
        (TORCHRUN, 2),
        ({"WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "1"}, 2),  # deepspeed, lightning
        ({"HOROVOD_SIZE": "2", "HOROVOD_RANK": "1"}, 2),
        (TORCHRUN | {"PMI_SIZE": "1", "PMI_RANK": "0"}, 2),
        (STEP | TORCHRUN | {"WORLD_SIZE": "8"}, 8),  # each process of srun is a torchrun
        (STEP | TORCHRUN, None),  # with one process each
        (STEP | {"WORLD_SIZE": "8", "LOCAL_RANK": "0"}, None),  # the user's own
        ({"WORLD_SIZE": "2", "RANK": "1"}, None),
        (TORCHRUN | {"WORLD_SIZE": "1"}, None),
        (ALLOCATION, None),
    ],
)
def test_launchers_that_mpi_knows_nothing_of(environment: dict[str, str], size: int | None) -> None:
    launch = launched_otherwise(environment)
    assert (launch and launch.size) == size
    assert launch is None or launch.rank == 1


@pytest.mark.parametrize("text", ["4x", "-1", "0", "1.5", "nan", "4" * 5000])
def test_damaged_numbers_are_refused_by_name(text: str) -> None:
    with pytest.raises(UsageError, match=r"^PMI_SIZE=\S+ is not allowed; .* whole number >= 1"):
        launched_as({"PMI_SIZE": text})


words = st.one_of(st.integers(-2, 9).map(str), st.text("0123456789 x.-_e٣", max_size=5))


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(VARIABLES), words))
def test_whatever_the_variables_say_nothing_breaks(environment: dict[str, str]) -> None:
    for read in (launched_as, launched_otherwise):
        try:
            launch = read(environment)
        except UsageError as error:
            assert any(str(error).startswith(f"{name}=") for name in environment)
        else:
            assert launch is None or (launch.size >= 1 and launch.rank >= 0 and int(environment[launch.variable]) >= 0)
    try:
        assert start_timeout(environment) > 0
    except UsageError as error:
        assert str(error).startswith(f"{START_TIMEOUT}=")


def test_the_limit_of_a_start() -> None:
    assert start_timeout({}) == start_timeout({START_TIMEOUT: ""}) == 600
    assert start_timeout({START_TIMEOUT: "2.5"}) == 2.5
    assert start_timeout({START_TIMEOUT: "inf"}) == math.inf
    for text in ("0", "-1", "nan", "10m"):
        with pytest.raises(UsageError, match="must be > 0"):
            start_timeout({START_TIMEOUT: text})


def test_numbers_of_processes_that_are_not_all_told() -> None:
    assert Launch("PMIX_RANK", 3, 2).agrees(8)
    assert not Launch("PMIX_RANK", 3, 2).agrees(1)
    assert not Launch("PMI_SIZE", 3, 2).agrees(8)
    assert Launch("PMIX_RANK", 3, 2).said == "PMIX_RANK=2"
