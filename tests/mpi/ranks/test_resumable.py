"""A loop of one's own that is told to stop, saves, and goes on with the same bits."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import gossip
from algorithms import ChocoSGD, GradientTracking, TopK
from gossip.errors import DataError, UsageError
from gossip.network import Communicator
from gossip.processes.signals import MARKER, WATCHED
from tests.mpi.own_loop import model, vector

STEPS = 60


@pytest.fixture
def folder(processes: Communicator) -> Iterator[Path]:
    """One of all ranks."""
    with tempfile.TemporaryDirectory() as own:
        yield Path(processes.broadcast(own))
        processes.barrier()


@pytest.fixture
def left_alone() -> Iterator[None]:
    """Signals are as they were afterwards."""
    before = [signal.getsignal(each) for each in WATCHED]
    yield
    for each, handler in zip(WATCHED, before, strict=True):
        signal.signal(each, handler)


class Loop:
    """One with everything: a state that travels, a scheduler, random numbers."""

    def __init__(self, node: int, algorithm: Any) -> None:
        self.net = nn.Sequential(model(0), nn.Dropout(0.3))
        self.optimizer = gossip.Optimizer(self.net.parameters(), algorithm, "ring")
        self.scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimizer, STEPS)
        torch.manual_seed(node)

    @property
    def parts(self) -> dict[str, Any]:
        return {"model": self.net, "scheduler": self.scheduler}

    def step(self) -> None:
        self.optimizer.zero_grad()
        (self.net(torch.randn(6, 4)) - self.optimizer.node).square().mean().backward()
        self.optimizer.step()
        self.scheduler.step()


@pytest.mark.ranks(2, 3)
@pytest.mark.parametrize("algorithm", [GradientTracking(lr=0.05), ChocoSGD(0.1, gamma=0.3, compressor=TopK(k=5))])
def test_all_stop_after_the_same_step_and_go_on(
    processes: Communicator,
    algorithm: Any,
    folder: Path,
    left_alone: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    whole = Loop(processes.rank, algorithm)
    for _ in range(STEPS):
        whole.step()
    expected = vector(whole.net)
    whole.optimizer.close()

    marker = folder / "marker"
    monkeypatch.setenv(MARKER, str(marker))
    first = Loop(processes.rank, algorithm)
    assert first.optimizer.load(folder / "saved", **first.parts) == {}
    stopped = STEPS
    for step in range(STEPS - 10):
        first.step()
        if step == 5 and processes.rank == processes.size - 1:
            os.kill(os.getpid(), signal.SIGUSR1)  # to one of them, while the others know nothing
        if first.optimizer.stopping:
            first.optimizer.save(folder / "saved", **first.parts, step=step + 1)
            stopped = step + 1
            break
    assert processes.gather(stopped) == [stopped] * processes.size
    assert 6 < stopped < STEPS
    assert marker.exists()
    said = f"gossip: SIGUSR1 asks to stop; it is step {stopped}\n" if processes.rank == 0 else ""
    assert capsys.readouterr().err == said
    for each in (signal.SIGUSR1, signal.SIGTERM, signal.SIGHUP):
        os.kill(os.getpid(), each)  # as batch systems do while a job leaves
    first.optimizer.close()

    second = Loop(processes.rank, algorithm)
    torch.rand(processes.rank)  # something else
    begin = second.optimizer.load(folder / "saved", **second.parts)["step"]
    assert begin == stopped
    for _ in range(begin, STEPS):
        second.step()
    assert torch.equal(vector(second.net), expected)
    second.optimizer.close()


@pytest.mark.ranks(2)
def test_what_one_rank_cannot_save_or_load_is_refused_on_all(processes: Communicator, folder: Path) -> None:
    loop = Loop(processes.rank, GradientTracking(lr=0.05))
    loop.step()
    loop.optimizer.save(folder, **loop.parts, step=1)
    odd = object() if processes.rank else 1
    with pytest.raises(UsageError, match="this cannot be saved so that it can be read back"):
        loop.optimizer.save(folder, **loop.parts, odd=odd)
    assert loop.optimizer.load(folder, **loop.parts) == {"step": 1}
    processes.barrier()
    if processes.rank == 1:
        (folder / "saved-00000001" / "rank-0001.pt").write_bytes(b"something else")
    processes.barrier()
    with pytest.raises(DataError, match=r"saved-00000001 is damaged: rank-0001.pt is not what was written"):
        loop.optimizer.load(folder, **loop.parts)
    loop.optimizer.close()
