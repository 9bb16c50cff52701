"""Nodes that are placed on ranks otherwise than in contiguous blocks, from the command line.

tests/mpi/ranks/test_hosts.py has what it is good for, and test_same_bits.py every algorithm.
"""

from __future__ import annotations

from tests.conftest import Run


def test_from_the_command_line(python: Run) -> None:
    options = "--nodes 5 --workload Averaging --algorithm GossipAveraging --steps 3 --output null --placement".split()
    done = python("-m", "gossip.train", *options, "spectral", ranks=2)
    assert done.returncode == 0, done.stderr
    assert "bytes between hosts per round: 0\n" in done.stdout
    refused = python("-m", "gossip.train", *options, "random", ranks=2)
    assert refused.returncode == 2
    (line,) = refused.stderr.splitlines()
    assert line.startswith("gossip: error: --placement: expected one of ['contiguous', 'auto', 'metis', 'spectral']")
