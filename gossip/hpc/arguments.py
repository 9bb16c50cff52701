"""What a job runs on each rank, checked before it waits in a queue."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from gossip.errors import UsageError
from gossip.execution.checks import check
from gossip.execution.training import Training
from gossip.options.command_line import parse, words
from gossip.study.command import planned

EVERY = "600s"  # from one checkpoint to the next


def gossip_train(
    arguments: Sequence[str],
    ranks: int,
    *,
    configurations: Sequence[str],
    seeds: Sequence[int],
    checkpoint_every: str | None,
) -> str:
    """The options of gossip.train for the shell, with $configuration and $seed where there are such.

    Args:
        arguments: As they are given.
        ranks: Number of MPI processes.
        configurations: YAML files; the array has a job for each,
        seeds: and for each of these.
        checkpoint_every: From one checkpoint to the next, if that is asked for beside the arguments.

    Raises:
        UsageError: gossip.train would refuse them, or one takes the place of another without a word.
    """
    first = [["--config", file] for file in configurations] or [[]]
    second = [["--seed", str(seed)] for seed in seeds] or [[]]
    trainings = [_parsed([*each, *second[0], *arguments], ranks) for each in first]
    _check_apart(trainings, configurations)
    if seeds:
        last = _parsed([*first[0], *second[-1], *arguments], ranks)
        if (trainings[0].seed, last.seed) != (seeds[0], seeds[-1]):
            raise UsageError(f"--seed {last.seed} in the arguments takes the place of --seeds: leave one of them out")
    more = _checkpoints(trainings, checkpoint_every) | _resume(trainings, len(first) * len(second))
    for training in trainings:
        check(replace(training, **more), ranks)
    chosen = ['--config "$configuration"'] * bool(configurations) + ['--seed "$seed"'] * bool(seeds)
    return " ".join([*chosen, *map(shlex.quote, [*arguments, *words(**more)])])


def gossip_study(file: str, arguments: Sequence[str], ranks: int, tasks: int | None) -> tuple[str, int, Path]:
    """The options of gossip.study for the shell, with the part of one task of the array; how many there are; its page.

    Args:
        file: Says what the study is.
        arguments: More of its options, as they are given.
        ranks: Number of MPI processes of each task.
        tasks: How many are asked for; one for each cell if None.

    Raises:
        UsageError: gossip.study would refuse them, or they are no study for an array.
        DataError: The file cannot be read.
    """
    given = [file, *arguments]
    if any(word == "--chunk" or word.startswith("--chunk=") for word in arguments):
        raise UsageError("--chunk in the arguments is not allowed beside --study: each task of the array has its own")
    try:
        order = planned(given, ranks)
    except SystemExit:
        raise UsageError("these arguments of gossip.study make no study: leave out --help and the like") from None
    cells = len(order.whole.cells)
    tasks = cells if tasks is None else tasks
    if not 1 <= tasks <= cells:
        raise UsageError(f"--chunks {tasks} is not allowed; it must be 1 to {cells}, the number of the study's cells")
    part = f'--chunk "$((SLURM_ARRAY_TASK_ID + 1))/{tasks}"'
    return f"{shlex.join(given)} {part}", tasks, order.whole.store.directory / "report.html"


def _parsed(arguments: Sequence[str], ranks: int) -> Training:
    try:
        return parse(arguments, ranks)
    except SystemExit:
        raise UsageError("these arguments of gossip.train make no run: leave out --help and the like") from None


def _check_apart(trainings: Sequence[Training], configurations: Sequence[str]) -> None:
    """Refuse two jobs that would be one and the same run."""
    seen: dict[str | None, str] = {}
    for training, name in zip(trainings, configurations, strict=False):
        if training.config in seen:
            raise UsageError(
                f"--configurations {seen[training.config]} and {name} make the same run, with these arguments: leave "
                f"one out, or the arguments that override them"
            )
        seen[training.config] = name


def _checkpoints(trainings: Sequence[Training], asked: str | None) -> dict[str, Any]:
    """The option for checkpoints, if they are not asked for already."""
    own = [training.checkpoint_every for training in trainings]
    if asked is not None and any(each is not None for each in own):
        raise UsageError(
            f"--checkpoint-every {asked} is not allowed: the arguments or configurations of gossip.train have their own"
        )
    if None in own:
        if any(each is not None for each in own):
            raise UsageError("some of --configurations have checkpoint_every: it must be in all of them, or in none")
        return {"checkpoint_every": asked or EVERY}
    return {}


def _resume(trainings: Sequence[Training], jobs: int) -> dict[str, Any]:
    """The option by which a job goes on when it is queued again, if it is not there already."""
    own = [training.resume for training in trainings]
    for each in own:
        if each in (None, "auto"):
            continue
        if jobs > 1:
            raise UsageError(f"--resume {each} is not allowed: all jobs of the array would go on with the same run")
        if Path(each).parent.name == "checkpoints":
            raise UsageError(
                f"--resume {each} is not allowed: a job that is queued again would begin there again; give the run "
                f"directory"
            )
    if None in own:
        if any(each is not None for each in own):
            raise UsageError("some of --configurations have resume: it must be in all of them, or in none")
        return {"resume": "auto"}
    return {}
