"""Torch's threads are shared among the ranks of a host, in a library call only as long as it lasts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from gossip.processes.communicator import Communicator
from gossip.processes.cores import share_cores, shared_cores, usable_cores


class OneOfTwo(Communicator):
    """One of two ranks on a host with six cores."""

    size = local_size = 2
    local_cores = 6


@pytest.fixture(autouse=True)
def five_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    before = torch.get_num_threads()
    torch.set_num_threads(5)
    yield
    torch.set_num_threads(before)


def test_a_library_call_sets_them_back() -> None:
    with shared_cores(OneOfTwo()):
        assert torch.get_num_threads() == 3
    assert torch.get_num_threads() == 5
    with pytest.raises(KeyError), shared_cores(OneOfTwo()):
        raise KeyError
    assert torch.get_num_threads() == 5


def test_a_command_keeps_them() -> None:
    share_cores(OneOfTwo())
    assert torch.get_num_threads() == 3


def test_what_the_user_has_said_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    with shared_cores(OneOfTwo()):
        assert torch.get_num_threads() == 5


def test_a_single_process_has_all_of_them() -> None:
    with shared_cores(Communicator()):
        assert torch.get_num_threads() == 5
    assert Communicator.local_cores == len(usable_cores())
