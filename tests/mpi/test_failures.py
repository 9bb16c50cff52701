"""How a job ends when one of its ranks is killed, stops, or runs other code; and what many ranks say."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY, Run

AWKWARD = ("-m", "gossip.train", "--quiet", "--steps", "12", "--algorithm", "awkward.Awkward")
PATH = {"PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'tests/mpi/programs'}"}


def of_gossip(stderr: str) -> list[str]:
    """The lines that are not the launcher's own."""
    return [line for line in stderr.splitlines() if line.startswith("gossip: ")]


@pytest.mark.parametrize("node", ["0", "2"])
def test_a_killed_rank_ends_the_job_with_one_line_that_names_it(python: Run, tmp_path: Path, node: str) -> None:
    options = ["--algorithm.node", node, "--checkpoint-every", "2"]
    done = python(*AWKWARD, *options, ranks=3, timeout=60, env=PATH)
    assert done.returncode != 0
    (line,) = of_gossip(done.stderr)
    (directory,) = tmp_path.glob("runs/*/*")
    (checkpoint,) = directory.glob("checkpoints/step-*4")
    assert re.fullmatch(
        rf"gossip: error: rank {node} of 3 on \S+ \(process \d+\) was killed; "
        rf"go on from the last checkpoint with --resume {directory.relative_to(tmp_path)}",
        line,
    )
    assert (checkpoint / "manifest.json").exists()
    resumed = python(*AWKWARD, "--nodes", "3", "--algorithm.node", node, "--resume", str(directory), env=PATH)
    assert resumed.returncode == -9  # a single process went on, to the step where it is killed again


@pytest.mark.parametrize("transport", ["shared-memory", "peer-to-peer", "neighbor-collective"])
def test_a_rank_that_hangs_is_named_by_all_that_wait_for_it(python: Run, transport: str) -> None:
    options = ["--algorithm.node", "1", "--algorithm.sends", "SIGSTOP", "--stall-timeout", "2", "--topology", "ring"]
    began = time.time()
    done = python(*AWKWARD, *options, "--transport", transport, "--output", "null", ranks=4, timeout=60, env=PATH)
    assert time.time() - began < 60
    assert done.returncode == 1
    *waits, last = of_gossip(done.stderr)
    assert re.fullmatch(
        r"gossip: error: rank 1 of 4 did not answer while ranks 0, 2-3 waited for more than 2 s; .*", last
    )
    assert len(waits) == 3
    since = r"since \d\d:\d\d:\d\d, for \d\.\d s"
    for rank in (0, 2):
        assert any(
            re.match(rf"gossip: rank {rank} of 4 on \S+ waits for rank 1 .*\(node 1\).*{since}$", w) for w in waits
        )


@pytest.mark.parametrize(
    ("transport", "what"),
    [
        ("shared-memory", "mean"),
        ("shared-memory", "message"),
        ("peer-to-peer", "message"),
        ("peer-to-peer", "posted"),
        ("peer-to-peer", "barrier"),
    ],
)
def test_all_kinds_of_waiting_end(python: Run, transport: str, what: str) -> None:
    program = str(REPOSITORY / "tests/mpi/programs/hanging.py")
    done = python(program, transport, what, ranks=3, timeout=60)
    assert done.returncode == 1
    *waits, last = of_gossip(done.stderr)
    assert len(waits) == 2
    assert "rank 2 of 3 did not answer while ranks 0-1 waited" in last


def test_ranks_with_other_code_are_refused(python: Run, tmp_path: Path) -> None:
    other = tmp_path / "other"
    for package in ("gossip", "algorithms", "topologies"):
        shutil.copytree(REPOSITORY / package, other / package, ignore=shutil.ignore_patterns("__pycache__"))
    with (other / "gossip/execution/measure.py").open("a") as file:
        file.write("# another version\n")
    command = f"import os, sys; sys.path.insert(0, {str(other)!r} if os.environ['PMI_RANK'] == '1' else ''); "
    train = "from gossip.train.__main__ import main; sys.exit(main(['--steps', '1', '--output', 'null']))"
    done = python("-P", "-c", command + train, ranks=3, anew=True)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "rank 1 runs other code than rank 0" in line
    assert "gossip/execution/measure.py" in line
    assert str(other) in line
    probe = command + "from gossip.doctor.__main__ import main; sys.exit(main([]))"
    doctor = python("-P", "-c", probe, ranks=2, anew=True)
    assert doctor.returncode == 2 and doctor.stderr == ""
    launcher, code, fix, *_ = doctor.stdout.splitlines()
    assert launcher.split()[:2] == ["ok", "launcher"]  # which is not to blame
    assert code.split()[:2] == ["warning", "code"] and "rank 1 runs other code than rank 0" in code
    assert "fix: install the same version everywhere" in fix


def test_what_many_ranks_say(python: Run, tmp_path: Path) -> None:
    done = python(*AWKWARD, "--algorithm.node", "0", "--algorithm.sends", "SIGCONT", ranks=3, env=PATH)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert done.stderr.count("something is odd") == 1
    assert re.search(r"gossip: on ranks 1-2, 2 times: .*awkward.py:\d+: UserWarning: something is odd", done.stderr)
    for rank in range(3):
        (log,) = tmp_path.glob(f"runs/*/*/logs/rank{rank}.log")
        text = log.read_text()
        assert f"rank {rank} of 3 on " in text
        assert ("UserWarning: something is odd" in text) == (rank > 0)
        assert (f"said by node {rank}" in text) == (rank > 0)


def test_the_watcher_ends_with_its_ranks(python: Run, tmp_path: Path) -> None:
    done = python("-m", "gossip.train", "--quiet", "--steps", "2", "--output", "null", ranks=2)
    assert done.returncode == 0
    assert done.stderr == ""
    assert not programs_in(tmp_path)
    with subprocess.Popen([sys.executable, "-c", "input()"], cwd=tmp_path, stdin=subprocess.PIPE) as other:
        assert [program[0] for program in programs_in(tmp_path)] == [sys.executable]
        other.communicate(b"\n")


def programs_in(folder: Path) -> list[list[str]]:
    """The arguments of all that runs in this folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has just ended
            if (process / "cwd").readlink() == folder and (program := (process / "cmdline").read_text()):
                found.append(program.split("\0"))
    return found
