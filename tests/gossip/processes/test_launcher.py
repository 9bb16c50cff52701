"""Launchers, and errors that end a whole job."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY, OnRanks, Run

TRAIN = ("-m", "gossip.train", "--steps", "3", "--output", "null")
QUIET_MODULES = "networkx jsonargparse sklearn mlxtend matplotlib rich numba pandas"


def test_no_mpi_library_is_needed_by_a_single_process(python: Run) -> None:
    program = "import sys, runpy; sys.modules['mpi4py'] = None; runpy.run_module('gossip.train', run_name='__main__')"
    done = python("-c", program, *TRAIN[2:])
    assert done.returncode == 0, done.stderr
    assert "test accuracy" in done.stdout


@pytest.mark.parametrize(
    ("variable", "says"),
    [
        ("PMI_SIZE", "sees 1"),
        (
            "SLURM_NTASKS",
            "sees 1",
        ),
        ("OMPI_COMM_WORLD_SIZE", "cannot be started by it"),  # MPICH would abort, with a stack of internal errors
    ],
)
def test_a_launcher_of_another_library_is_refused(python: Run, variable: str, says: str) -> None:
    done = python(*TRAIN, env={variable: "4", "SLURM_STEP_ID": "0", "SLURM_PROCID": "0"})
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert f"the launcher started 4 processes ({variable}=4)" in done.stderr
    assert says in done.stderr


def test_an_allocation_is_no_launch(here: Run) -> None:
    done = here(*TRAIN, env={"SLURM_JOB_ID": "77", "SLURM_NTASKS": "4", "SLURM_NNODES": "1", "WORLD_SIZE": "4"})
    assert done.returncode == 0, done.stderr


def test_several_processes_without_an_mpi_library(python: Run) -> None:
    program = "import sys, runpy; sys.modules['mpi4py'] = None; runpy.run_module('gossip.train', run_name='__main__')"
    done = python("-c", program, *TRAIN[2:], env={"PMI_SIZE": "4"})
    assert done.returncode == 2
    assert "pip install 'gossip-mpi[mpich]'" in done.stderr


BAD = [
    (["--steps", "-1"], 2, "steps = -1 is not allowed; it must be >= 0"),
    (["--nodes", "1"], 2, "2 ranks for 1 nodes"),
    (["--topology", "rin"], 2, "did you mean ring?"),
    (["--topology", "torus", "--nodes", "7"], 2, "7 is prime"),
    (["--algorithm", "ExactDiffusion", "--nodes", "4"], 2, "ExactDiffusion needs a topology that is symmetric"),
    (["--algorithm.momentum", "1"], 2, "momentum = 1.0 is not allowed; it must be in [0, 1)"),
    (
        "--algorithm ChocoSGD --algorithm.gamma theory --algorithm.compressor TopK "
        "--algorithm.compressor.k 60000".split(),
        2,
        "k = 60000 is not allowed; it must be at most d = 50890",
    ),
    (
        "--algorithm ChocoSGD --algorithm.gamma theory --algorithm.compressor PerTensor "
        "--algorithm.compressor.compressor TopK --algorithm.compressor.compressor.k 60".split(),
        2,
        "k = 60 is not allowed; it must be at most d = 10",  # of the last bias
    ),
    (["--output", "/dev/null/runs"], 3, "cannot write the run directory"),
    (["--steps", "60", "--algorithm.lr", "1e6"], 4, "the run diverged"),
    (
        ["--workload", "TorchWorkload", "--workload.model", "no.Model", "--workload.dataset", "no.Data"],
        2,
        "no.Model",
    ),
]


def check_one_line(said: str, says: str) -> None:
    (line,) = said.splitlines()
    assert line.startswith("gossip: error: ")
    assert says in line


def test_bad_input_is_one_line_from_rank_0(on_ranks: Callable[..., list[OnRanks]]) -> None:
    """And the same exit code on all ranks."""
    done = on_ranks([[*TRAIN, "--quiet", *options] for options, _, _ in BAD], ranks=2)
    for (options, code, says), each in zip(BAD, done, strict=True):
        assert each.codes == [code, code], (options, each.stderr)
        check_one_line(each.stderr[0], says)
        assert (each.stderr[1], each.stdout) == ("", ["", ""])


def test_bad_input_ends_the_job_with_its_exit_code(python: Run) -> None:
    done = python(*TRAIN, "--quiet", "--nodes", "3", ranks=4)
    assert done.returncode == 2
    check_one_line(done.stderr, "4 ranks for 3 nodes")
    assert done.stdout == ""


FAILING = '''
from dataclasses import dataclass
from algorithms import DecentralizedSGD

@dataclass(frozen=True)
class Failing(DecentralizedSGD):
    """Raises on the rank that hosts this node, or on all if it is negative."""

    node: int = 0

    def step(self, state, sample, network):
        if state.step == 2 and self.node in (-1, network.nodes.start):
            raise RuntimeError("deliberate")
        super().step(state, sample, network)
'''


@pytest.mark.parametrize(("ranks", "node", "where"), [(2, 0, "rank 0"), (3, 1, "rank 1"), (2, -1, "ranks 0-1")])
def test_an_exception_on_any_rank_ends_the_job_and_is_printed_once(
    python: Run, tmp_path: Path, ranks: int, node: int, where: str
) -> None:
    (tmp_path / "failing.py").write_text(FAILING)
    options = ["--quiet", "--algorithm", "failing.Failing", "--algorithm.node", str(node)]
    done = python(*TRAIN, *options, ranks=ranks, timeout=60, env={"PYTHONPATH": f"{tmp_path}:{REPOSITORY}"})
    assert done.returncode not in (0, None)
    assert done.stderr.count("Traceback") == 1, done.stderr
    assert f"[{where} of {ranks} on " in done.stderr
    assert "RuntimeError: deliberate" in done.stderr
    assert "killed" not in done.stderr  # that others are, by the launcher, is not news


def test_an_error_of_the_library_call_is_one_line_too(python: Run, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(
        "import gossip, topologies, algorithms, gossip.workloads\n"
        "gossip.run(gossip.workloads.Mnist(), topologies.complete(1), algorithms.DecentralizedSGD(), steps=1)\n"
    )
    done = python("own.py", ranks=2)
    assert done.returncode not in (0, None)
    assert [line for line in done.stderr.splitlines() if "error" in line.lower()] == [
        "gossip: error: 2 ranks for 1 nodes: every rank needs a node, so start at most 1 ranks or ask for more nodes"
    ]


def test_help_and_print_config_speak_once(on_ranks: Callable[..., list[OnRanks]]) -> None:
    for option, word, done in zip(
        ("--help", "--print_config"),
        ("usage:", "steps:"),
        on_ranks([["-m", "gossip.train", "--help"], ["-m", "gossip.train", "--print_config"]], ranks=2),
        strict=True,
    ):
        assert done.codes == [0, 0], (option, done.stderr)
        assert done.stdout[0].count(word) == 1
        assert done.stdout[1] == ""


def test_ranks_that_only_train_import_nothing_heavy(python: Run, tmp_path: Path) -> None:
    (tmp_path / "look.py").write_text(
        "import sys\n"
        "from gossip.train.__main__ import main\n"
        "code = main(sys.argv[1:])\n"
        "from mpi4py import MPI\n"
        f"heavy = [name for name in {QUIET_MODULES.split()} if name in sys.modules]\n"
        "assert MPI.COMM_WORLD.rank == 0 or not heavy, heavy\n"
        "sys.exit(code)\n"
    )
    done = python("look.py", *TRAIN[2:], ranks=2)
    assert done.returncode == 0, done.stderr
