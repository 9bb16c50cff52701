"""What the tests in this folder run on: each of them on all ranks of a launch together, by the fixture `processes`.

    @pytest.mark.ranks(2, 3)
    def test_something(processes: MpiCommunicator) -> None: ...

Outside of MPI, where they are collected and chosen like any others (`-k ranks3`), a test is a look at what came of it
on its ranks; see tests/mpi/launches.py. Its module is imported there all the same, so it must not import MPI.
"""

from __future__ import annotations

import os

from tests.mpi.agreement import FOLDER
from tests.mpi.agreement import pytest_generate_tests as pytest_generate_tests

if FOLDER in os.environ:
    from tests.mpi.agreement import processes as processes
    from tests.mpi.agreement import pytest_configure as pytest_configure
else:
    from tests.mpi.launches import launches as launches
    from tests.mpi.launches import processes as processes
    from tests.mpi.launches import pytest_collection_modifyitems as pytest_collection_modifyitems
    from tests.mpi.launches import pytest_pyfunc_call as pytest_pyfunc_call
