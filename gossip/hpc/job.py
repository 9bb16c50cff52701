"""Batch jobs for Slurm that run `python -m gossip.train`, are told before their time is up, save, and go on."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from string import Template
from typing import Literal

from gossip.errors import UsageError

Mpi = Literal["pmi2", "pmix", "mpirun"]
SRUN = 'srun --mpi={} --cpus-per-task="$SLURM_CPUS_PER_TASK" --cpu-bind=cores --kill-on-bad-exit=1'

TIME = re.compile(r"\d+(:\d\d){0,2}|\d+-\d+(:\d\d){0,2}")  # of sbatch: minutes, m:s, h:m:s, d-h, d-h:m, d-h:m:s
WORD = re.compile(r"[\w.+-]+")

SCRIPT = Template("""\
#!/usr/bin/env bash
#SBATCH --job-name=$name
#SBATCH --nodes=$nodes
#SBATCH --ntasks-per-node=$tasks_per_node
#SBATCH --cpus-per-task=$cpus_per_task
${more}\
#SBATCH --time=$time
#SBATCH --output=$log
#SBATCH --open-mode=append
# The run is told to save and stop so many seconds before its time is up, and is queued again.
#SBATCH --signal=B:USR1@$grace
#SBATCH --requeue

${setup}\
${choice}\
export OMP_NUM_THREADS=$$SLURM_CPUS_PER_TASK

$launch \\
    $command &
step=$$!
trap 'kill -USR1 "$$step"' USR1 # passed on to every rank

while kill -0 "$$step" 2> /dev/null; do wait "$$step"; done # a signal ends the waiting, not the step
wait "$$step"
code=$$?
if [ "$$code" -eq 75 ]; then # saved, to be continued
    task=$${SLURM_ARRAY_JOB_ID:+$${SLURM_ARRAY_JOB_ID}_$$SLURM_ARRAY_TASK_ID}
    scontrol requeue "$${task:-$$SLURM_JOB_ID}"
fi
exit "$$code"
""")

CHOICE = Template("""\
configurations=($configurations)
seeds=($seeds)
configuration=$${configurations[SLURM_ARRAY_TASK_ID / $${#seeds[@]}]}
seed=$${seeds[SLURM_ARRAY_TASK_ID % $${#seeds[@]}]}
""")


@dataclass(frozen=True)
class Job:
    """A batch job of one run, or an array of them: one for each configuration and seed."""

    nodes: int = 1
    """Hosts."""

    tasks_per_node: int = 4
    """Ranks on each host."""

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
    """As sbatch takes it."""

    account: str | None = None
    """As sbatch takes it."""

    memory: str | None = None
    """Memory of each host, such as 64G."""

    setup: tuple[str, ...] = ()
    """Lines of the script before the run, which prepare the environment, such as `module load mpich`."""

    mpi: Mpi = "pmi2"
    """How ranks are started: by srun with pmi2 (MPICH) or pmix (Open MPI), or by mpirun.

    By srun each is bound to its cores. For pmix Open MPI must have been built; mpirun is that of the environment."""

    script: str | None = None
    """A Python script of one's own in the place of gossip.train."""

    arguments: tuple[str, ...] = ()
    """Arguments of gossip.train, or of the script."""

    checkpoint_every: str = "600s"
    """Steps, or seconds such as 600s, from one checkpoint of gossip.train to the next."""

    configurations: tuple[str, ...] = ()
    """YAML files with options of gossip.train: an array with one job for each of them."""

    seeds: tuple[int, ...] = (0,)
    """The seeds that each of the configurations is run with, in a job of its own."""

    at_once: int | None = None
    """How many jobs of an array may run at a time; None for all."""

    def __post_init__(self) -> None:
        for name, least in (("nodes", 1), ("tasks_per_node", 1), ("cpus_per_task", 1), ("gpus_per_task", 0)):
            _check(getattr(self, name) >= least, name, getattr(self, name), f">= {least}")
        _check(self.grace >= 1, "grace", self.grace, ">= 1, in seconds")
        _check(self.at_once is None or self.at_once >= 1, "at_once", self.at_once, ">= 1")
        _check(TIME.fullmatch(self.time) is not None, "time", self.time, "such as 30, 4:00:00 or 2-00 (days-hours)")
        for name in ("name", "partition", "account", "memory"):
            value = getattr(self, name)
            _check(
                value is None or WORD.fullmatch(value) is not None, name, value, "letters, digits and any of . _ + -"
            )
        for line in self.setup:
            _check("\n" not in line, "setup", repr(line), "one line; give it once for each line")
        _check(all(seed >= 0 for seed in self.seeds), "seeds", " ".join(map(str, self.seeds)), ">= 0")
        _check(
            not (self.script and self.configurations),
            "script",
            self.script,
            "absent: configurations are options of gossip.train",
        )
        if not self.script:
            self._check_arguments()

    @property
    def ranks(self) -> int:
        """Number of MPI processes."""
        return self.nodes * self.tasks_per_node

    def render(self) -> str:
        """The batch script."""
        more = [
            f"#SBATCH --{option}={value}\n"
            for option, value in (
                ("gpus-per-task", self.gpus_per_task or None),
                ("mem", self.memory),
                ("partition", self.partition),
                ("account", self.account),
                ("array", self._array()),
            )
            if value is not None
        ]
        choice = CHOICE.substitute(configurations=shlex.join(self.configurations), seeds=" ".join(map(str, self.seeds)))
        return SCRIPT.substitute(
            name=self.name,
            nodes=self.nodes,
            tasks_per_node=self.tasks_per_node,
            cpus_per_task=self.cpus_per_task,
            more="".join(more),
            time=self.time,
            log="%x-%A-%a.log" if self.configurations else "%x-%j.log",
            grace=self.grace,
            setup="".join(f"{line}\n" for line in self.setup),
            choice=choice if self.configurations else "",
            launch="mpirun" if self.mpi == "mpirun" else SRUN.format(self.mpi),
            command=self._command(),
        )

    def _array(self) -> str | None:
        if not self.configurations:
            return None
        return f"0-{len(self.configurations) * len(self.seeds) - 1}" + (f"%{self.at_once}" if self.at_once else "")

    def _command(self) -> str:
        if self.script:
            return shlex.join(["python", self.script, *self.arguments])
        from gossip.options.command_line import words

        chosen = ' --config "$configuration" --seed "$seed"' if self.configurations else ""
        own = shlex.join(self.arguments)
        resume = shlex.join(words(checkpoint_every=self.checkpoint_every, resume="auto"))
        return f"python -m gossip.train{chosen} {own}{' ' if own else ''}{resume}"

    def _check_arguments(self) -> None:
        """Refuse what gossip.train would refuse, before it has waited in a queue."""
        from gossip.execution.checks import check
        from gossip.options.command_line import parse, words

        for configuration in self.configurations or (None,):
            chosen = ["--config", configuration] if configuration else []
            try:
                options = [*chosen, *self.arguments, *words(checkpoint_every=self.checkpoint_every)]
                check(parse(options, self.ranks), self.ranks)
            except SystemExit:
                raise UsageError("these arguments of gossip.train make no run: leave out --help and the like") from None


def _check(valid: bool, name: str, value: object, allowed: str) -> None:
    if not valid:
        raise UsageError(f"--{name.replace('_', '-')} {value} is not allowed; it must be {allowed}")
