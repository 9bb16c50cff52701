"""Groups of nodes by host."""

from __future__ import annotations

from tests.conftest import REPOSITORY, Run


def test_leader_sgd_has_a_group_on_each_host(python: Run) -> None:
    done = python(str(REPOSITORY / "tests/mpi/programs/host_groups.py"), ranks=4)
    assert done.returncode == 0, done.stderr
    assert "the groups of the hosts" in done.stdout
