"""Batch jobs for Slurm that run `python -m gossip.train`, are told before their time is up, save, and go on."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from gossip.errors import UsageError
from gossip.hpc.script import SRUN, choose, render

Mpi = Literal["pmi2", "pmix", "mpirun"]
EARLY = 60  # seconds by which Slurm may send a signal too soon
LONGEST_GRACE = 65535  # that Slurm takes, in seconds

TIME = re.compile(r"(?:(?P<days>\d+)-)?(?P<first>\d+)(?::(?P<second>\d\d))?(?::(?P<third>\d\d))?")
WORDS = {  # fields that are copied into the script: their form, and the same in words
    "name": (r"[\w.+-]+", "letters, digits and any of . _ + -"),
    "partition": (r"[\w.+-]+(,[\w.+-]+)*", "names of letters, digits and any of . _ + -, with commas between them"),
    "account": (r"[\w.+-]+", "letters, digits and any of . _ + -"),
    "memory": (r"\d+[KMGT]?", "a number, with K, M, G or T behind it"),
}
OPTION = re.compile(r"[a-z][a-z0-9-]*(=.*)?")
OWN = {  # options of sbatch that follow from these fields
    "nodes": "nodes",
    "ntasks-per-node": "tasks_per_node",
    "cpus-per-task": "cpus_per_task",
    "gpus-per-task": "gpus_per_task",
    "time": "time",
    "signal": "grace",
    "job-name": "name",
    "partition": "partition",
    "account": "account",
    "mem": "memory",
    "array": "configurations",
    "ntasks": "tasks_per_node",
}
FIXED = ("requeue", "no-requeue", "open-mode", "test-only", "wrap", "parsable", "wait")  # the script counts on them


@dataclass(frozen=True)
class Job:
    """A batch job of one run, or an array of them: one for each configuration and seed."""

    nodes: int = 1
    """Hosts."""

    tasks_per_node: int | None = None
    """Ranks on each host; 4 by default, or 1 of a study, of which all cores of a rank compute runs side by side."""

    cpus_per_task: int = 1
    """Cores of each rank."""

    gpus_per_task: int = 0
    """GPUs of each rank."""

    time: str = "4:00:00"
    """Time limit in Slurm's form, such as 30 (minutes), 4:00:00 or 2-00 (days-hours)."""

    grace: int = 120
    """Seconds before the end at which the run is told to save and stop."""

    name: str = "gossip"
    """Name of the job."""

    partition: str | None = None
    """One, or several with commas between them."""

    account: str | None = None
    """As sbatch takes it."""

    memory: str | None = None
    """Memory of each host, such as 64G."""

    sbatch: tuple[str, ...] = ()
    """Other options of sbatch, without their dashes, such as exclusive mail-user=me@example.org constraint=icelake."""

    setup: tuple[str, ...] = ()
    """Lines of the script before the run, which prepare the environment, such as `module load mpich`.

    One that fails ends the job."""

    python: str = "python"
    """What starts Python on each rank, such as `apptainer exec gossip.sif python`."""

    mpi: Mpi = "pmi2"
    """How ranks are started: by srun with pmi2 (MPICH) or pmix (Open MPI), or by mpirun.

    By srun each is bound to its cores. For pmix Open MPI must have been built; mpirun is that of the environment."""

    study: str | None = None
    """A YAML file of gossip.study, in the place of gossip.train: an array whose tasks compute the cells."""

    chunks: int | None = None
    """How many tasks share the cells of the study; by default there is one for each cell."""

    script: str | None = None
    """A Python script of one's own in the place of gossip.train."""

    arguments: tuple[str, ...] = ()
    """Arguments of gossip.train, of gossip.study or of the script."""

    checkpoint_every: str | None = None
    """Steps, or seconds such as 600s, from one checkpoint of gossip.train to the next; 600s by default."""

    configurations: tuple[str, ...] = ()
    """YAML files with options of gossip.train: an array with one job for each of them."""

    seeds: tuple[int, ...] = ()
    """Seeds of gossip.train: an array with one job for each of them, and for each configuration if there are such."""

    at_once: int | None = None
    """How many jobs of an array may run at a time; None for all."""

    def __post_init__(self) -> None:
        for name, least in (("nodes", 1), ("tasks_per_node", 1), ("cpus_per_task", 1), ("gpus_per_task", 0)):
            value = getattr(self, name)
            _check(value is None or value >= least, name, value, f">= {least}")
        self._check_time()
        for name, (form, words) in WORDS.items():
            value = getattr(self, name)
            _check(value is None or re.fullmatch(form, value) is not None, name, value, words)
        for line in self.setup:
            _check("\n" not in line, "setup", repr(line), "one line; give it once for each line")
            _check(not line.startswith("#SBATCH"), "setup", line, "a command; options of sbatch are given by --sbatch")
        for option in self.sbatch:
            self._check_option(option)
        _check(bool(self.python.split()), "python", repr(self.python), "a command")
        self._check_array()
        _check(self.study is not None or self.chunks is None, "chunks", self.chunks, "absent without --study")
        if self.study is not None:
            self._check_alone("study", "script", "configurations", "seeds", "checkpoint_every")
            _ = self._parts
        elif self.script is not None:
            self._check_alone("script", "configurations", "seeds", "checkpoint_every")
            _check(Path(self.script).is_file(), "script", self.script, "a file that is there")
        else:
            self._options()

    @property
    def tasks(self) -> int:
        """Ranks on each host."""
        return self.tasks_per_node or (4 if self.study is None else 1)

    @property
    def ranks(self) -> int:
        """Number of MPI processes."""
        return self.nodes * self.tasks

    @property
    def jobs(self) -> int:
        """Number of jobs of the array; 0 if it is none."""
        if self.study is not None:
            return self._parts[1]
        return max(len(self.configurations), 1) * max(len(self.seeds), 1) if self.configurations or self.seeds else 0

    def render(self) -> str:
        """The batch script."""
        at_once = f"%{self.at_once}" if self.at_once else ""
        options = {
            "job-name": self.name,
            "nodes": self.nodes,
            "ntasks-per-node": self.tasks,
            "cpus-per-task": self.cpus_per_task,
            "gpus-per-task": self.gpus_per_task or None,
            "mem": self.memory,
            "partition": self.partition,
            "account": self.account,
            "array": f"0-{self.jobs - 1}{at_once}" if self.jobs else None,
            "time": self.time,
            "output": "%x-%A-%a.log" if self.jobs else "%x-%j.log",
        }
        given = {name: value for name, value in options.items() if value is not None}
        more = (option.partition("=") for option in self.sbatch)
        given |= {name: value if equals else None for name, equals, value in more}
        return render(
            given,
            self.grace,
            self.setup,
            choose(self.configurations, self.seeds),
            "mpirun" if self.mpi == "mpirun" else SRUN.format(self.mpi),
            self._command(),
            ending=self._ending,
        )

    def _command(self) -> str:
        python = shlex.join(shlex.split(self.python))
        if self.study is not None:
            return f"{python} -m gossip.study {self._parts[0]}"
        if self.script is not None:
            return f"{python} {shlex.join([self.script, *self.arguments])}"
        return f"{python} -m gossip.train {self._options()}"

    def _options(self) -> str:
        from gossip.hpc.arguments import gossip_train

        return gossip_train(
            self.arguments,
            self.ranks,
            configurations=self.configurations,
            seeds=self.seeds,
            checkpoint_every=self.checkpoint_every,
        )

    @cached_property
    def _parts(self) -> tuple[str, int, Path]:
        """What each task of a study's array computes, how many there are, and where the page will be."""
        from gossip.hpc.arguments import gossip_study

        assert self.study is not None
        return gossip_study(self.study, self.arguments, self.ranks, self.chunks)

    @property
    def _ending(self) -> str:
        """What the script says at its end."""
        if self.study is None:
            return ""
        again = shlex.join([*shlex.split(self.python), "-m", "gossip.study", self.study, *self.arguments])
        said = f"the task that ends last makes {self._parts[2]}; if tasks were cancelled, this does: {again}"
        return f"echo {shlex.quote(said)}\n"

    def _check_time(self) -> None:
        given = TIME.fullmatch(self.time)
        if given is None:
            _check(False, "time", self.time, "such as 30, 4:00:00 or 2-00 (days-hours)")
            return
        _check(1 <= self.grace <= LONGEST_GRACE, "grace", self.grace, f"1 to {LONGEST_GRACE}, in seconds")
        seconds = _seconds(given)
        _check(
            not seconds or self.grace + EARLY < seconds,
            "grace",
            self.grace,
            f"shorter than --time {self.time} by more than {EARLY} s, by which Slurm may be early: the job would be "
            f"stopped as soon as it begins, again and again",
        )

    def _check_option(self, option: str) -> None:
        name = option.partition("=")[0]
        _check(
            OPTION.fullmatch(option) is not None and "\n" not in option,
            "sbatch",
            repr(option),
            "the long name of an option without its dashes, such as exclusive or mail-user=me@example.org",
        )
        if name in OWN:
            raise UsageError(f"--sbatch {option} is not allowed; it follows from --{OWN[name].replace('_', '-')}")
        _check(name not in FIXED, "sbatch", option, "an option that does not change how the script works")
        given = [each.partition("=")[0] for each in self.sbatch]
        _check(given.count(name) == 1, "sbatch", name, "given once")

    def _check_array(self) -> None:
        _check(all(seed >= 0 for seed in self.seeds), "seeds", _joined(self.seeds), ">= 0")
        _check(len(set(self.seeds)) == len(self.seeds), "seeds", _joined(self.seeds), "different from each other")
        _check(self.at_once is None or self.at_once >= 1, "at_once", self.at_once, ">= 1")
        array = bool(self.configurations or self.seeds or self.study is not None)
        absent = "absent without --configurations, --seeds or --study"
        _check(self.at_once is None or array, "at_once", self.at_once, absent)

    def _check_alone(self, mode: str, *others: str) -> None:
        """Refuse options that have no effect in this mode."""
        for name in others:
            value = getattr(self, name)
            why = "the two exclude each other" if name == "script" else "it is an option of gossip.train"
            _check(not value, name, value, f"absent beside --{mode}: {why}")


def _seconds(time: re.Match[str]) -> int:
    """A time limit of sbatch: minutes, m:s, h:m:s, d-h, d-h:m or d-h:m:s. 0 is none."""
    days, first, second, third = (time[name] for name in ("days", "first", "second", "third"))
    hours = days is not None or third is not None
    units = (3600, 60, 1) if hours else (60, 1, 0)
    parts = (int(part or 0) * unit for part, unit in zip((first, second, third), units, strict=True))
    return int(days or 0) * 86400 + sum(parts)


def _joined(numbers: tuple[int, ...]) -> str:
    return " ".join(map(str, numbers))


def _check(valid: bool, name: str, value: object, allowed: str) -> None:
    if not valid:
        shown = " ".join(map(str, value)) if isinstance(value, tuple) else value
        raise UsageError(f"--{name.replace('_', '-')} {shown} is not allowed; it must be {allowed}")
