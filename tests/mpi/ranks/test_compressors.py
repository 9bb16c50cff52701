"""Every compressor in a run: the same bits on several ranks."""

from __future__ import annotations

import numpy as np
import pytest

from gossip.bench.compression.operators import exported
from gossip.network import Communicator
from tests.mpi.compressors import NO_CONTRACTIONS, compressed


@pytest.mark.ranks(3)
@pytest.mark.parametrize("name", sorted(exported()))
def test_it_has_the_same_bits(processes: Communicator, name: str) -> None:
    from mpi4py import MPI

    together = compressed(name)
    if processes.rank == 0:
        alone = compressed(name, communicator=MPI.COMM_SELF)
        assert (together is None) == (alone is None) == (name in NO_CONTRACTIONS)
        if together is not None and alone is not None:
            assert together["model"].tobytes() == alone["model"].tobytes()
            assert np.array_equal(together["bytes_sent_per_node"], alone["bytes_sent_per_node"])
