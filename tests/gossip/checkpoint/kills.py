"""Kills runs again and again, at every instant at which they touch a file and at random ones, and lets them go on."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

import gossip
from algorithms import ChocoSGD, Saga, TopK
from gossip.checkpoint import store
from gossip.records.recorder import Recorder
from gossip.workloads import LeastSquares
from topologies import ring

STEPS, EVERY = 12, 3
RANDOM_KILLS, RANDOM_STEPS = 15, 60


def run(output: Path, steps: int = STEPS, every: int | None = EVERY, resume: str | None = "auto") -> torch.Tensor:
    numbers = np.random.default_rng(1)
    workload = LeastSquares(numbers.normal(size=(5, 6, 4)), numbers.normal(size=(5, 6)), l2=0.1)
    algorithm = ChocoSGD(lr=0.05, gamma=0.3, compressor=TopK(k=2), momentum=0.9)
    return gossip.run(
        workload,
        ring(5),
        algorithm,
        oracle=Saga(2),
        steps=steps,
        evaluate_every=4,
        output=output,
        checkpoint_every=every,
        resume=resume,
    ).model


def die_at_touch(number: int, folder: Path) -> None:
    """Let this process die where it is about to open, make, rename or remove something there for the so-manieth time,
    or is about to sync what it has written, of which half is lost."""
    touches = 0

    def touched() -> bool:
        nonlocal touches
        touches += 1
        return touches == number

    def hook(event: str, arguments: tuple) -> None:
        here = str(arguments[0]).startswith(str(folder)) if event in ("open", "os.mkdir", "os.rename") else False
        if (here or event in ("os.remove", "os.rmdir")) and touched():
            os.kill(os.getpid(), signal.SIGKILL)

    def fsync(descriptor: int) -> None:
        if touched():
            if os.readlink(f"/proc/self/fd/{descriptor}").endswith((".json", ".safetensors")):
                os.ftruncate(descriptor, os.fstat(descriptor).st_size // 2)
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    os.fsync = fsync


def in_child(function: Callable[[], object], killed_after: float | None = None) -> bool:
    """Whether a child process comes to the end of this."""
    child = os.fork()
    if not child:
        try:
            function()
        except BaseException:
            os._exit(1)
        os._exit(0)
    if killed_after is not None:
        time.sleep(killed_after)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or not os.WEXITSTATUS(status), "it ended by itself"
    return os.WIFEXITED(status)


def last_step(output: Path) -> int:
    """Of the one run there; its last checkpoint must be whole, and so must those before it."""
    steps = [0]
    for folder in output.glob("*/*/checkpoints/step-*"):
        checkpoint = store.Checkpoint(folder)
        checkpoint.check_all()
        steps.append(checkpoint.step)
    return max(steps)


def at_every_touch(folder: Path, expected: torch.Tensor) -> int:
    begun, output = folder / "begun", folder / "killed"
    run(begun, steps=7)
    before = last_step(begun)
    touches = 0
    ended = False
    while not ended:
        touches += 1
        shutil.rmtree(output, ignore_errors=True)
        shutil.copytree(begun, output)

        def die(number: int = touches) -> None:
            die_at_touch(number, output)
            run(output)

        ended = in_child(die)
        assert last_step(output) >= before, touches
        assert torch.equal(run(output), expected), touches
    return touches - 1


def at_random(folder: Path) -> list[int]:
    instants = random.Random(0)
    began = time.perf_counter()
    expected = run(folder / "timed", RANDOM_STEPS, every=1)
    seconds = time.perf_counter() - began
    output, steps = folder / "random", [0]
    for _ in range(RANDOM_KILLS):
        in_child(lambda: run(output, RANDOM_STEPS, every=1), killed_after=instants.uniform(0, seconds / 4))
        if any(output.glob("*/*/checkpoints/step-*")):
            steps.append(last_step(output))
    assert steps == sorted(steps)
    assert torch.equal(run(output, RANDOM_STEPS, every=1), expected)
    return steps


def main() -> None:
    folder = Path(sys.argv[1])
    Recorder.write_outcome = lambda *_: None  # type: ignore[method-assign,assignment]  # it takes longer than the run
    os.fsync = lambda _: None  # which is for the loss of power
    expected = run(folder / "whole", every=None, resume=None)
    print("killed at", at_every_touch(folder, expected), "touches of a file, and after the steps", at_random(folder))


main()
