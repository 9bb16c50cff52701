"""The command `python -m gossip.hpc sbatch`, which writes batch scripts for Slurm."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from argparse import SUPPRESS
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any, Literal, get_args

from gossip.console.frame import exit_code
from gossip.console.parser import Parser
from gossip.errors import DataError, UsageError
from gossip.network import Communicator

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
    """A batch job of one run, or an array of them: one for each configuration and seed.

    Attributes:
        nodes: Hosts.
        tasks_per_node: Ranks on each,
        cpus_per_task: and cores of each.
        gpus_per_task: GPUs of each.
        time: Time limit in Slurm's form, such as 4:00:00 or 2-00.
        grace: Seconds before the end at which the run is told to stop.
        name, partition, account, memory: As sbatch takes them.
        setup: Lines of the script that prepare the environment, such as `module load mpich`.
        mpi: How ranks are started: by srun, each bound to its cores, with "pmi2" for MPICH or with "pmix" for an Open
            MPI that was built for it; or by "mpirun", that of the environment.
        script: A Python script of one's own; None for gossip.train.
        arguments: Its arguments.
        checkpoint_every: Steps, or seconds such as 600s, from one checkpoint of gossip.train to the next.
        configurations: YAML files with options of gossip.train; with `seeds`, the jobs of an array.
        seeds: The seeds that each of them is run with.
        at_once: How many jobs of the array may run at a time; None for all.
    """

    nodes: int = 1
    tasks_per_node: int = 4
    cpus_per_task: int = 1
    gpus_per_task: int = 0
    time: str = "4:00:00"
    grace: int = 120
    name: str = "gossip"
    partition: str | None = None
    account: str | None = None
    memory: str | None = None
    setup: tuple[str, ...] = ()
    mpi: Mpi = "pmi2"
    script: str | None = None
    arguments: tuple[str, ...] = ()
    checkpoint_every: str = "600s"
    configurations: tuple[str, ...] = ()
    seeds: tuple[int, ...] = (0,)
    at_once: int | None = None

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
        chosen = ' --config "$configuration" --seed "$seed"' if self.configurations else ""
        own = shlex.join(self.arguments)
        resume = f"--checkpoint-every {self.checkpoint_every} --resume auto"
        return f"python -m gossip.train{chosen} {own}{' ' if own else ''}{resume}"

    def _check_arguments(self) -> None:
        """Refuse what gossip.train would refuse, before it has waited in a queue."""
        from gossip.train.options import parse

        for configuration in self.configurations or (None,):
            chosen = ["--config", configuration] if configuration else []
            try:
                options = [*chosen, *self.arguments, "--checkpoint-every", self.checkpoint_every]
                parse(options, self.ranks).check(self.ranks)
            except SystemExit:
                raise UsageError("these arguments of gossip.train make no run: leave out --help and the like") from None


def _check(valid: bool, name: str, value: object, allowed: str) -> None:
    if not valid:
        raise UsageError(f"--{name.replace('_', '-')} {value} is not allowed; it must be {allowed}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code: 0, 2 for wrong usage, 3 for output that cannot be written."""
    arguments = sys.argv[1:] if arguments is None else arguments
    return exit_code(lambda processes: sbatch(arguments, processes))


def sbatch(arguments: Sequence[str], processes: Communicator) -> int:
    """Write the script, to a file or the terminal."""
    code: int = processes.from_root(lambda: _write(arguments))
    return code


def _write(arguments: Sequence[str]) -> int:
    try:
        options = _parser().parse_args(list(arguments))
    except SystemExit as stop:
        return int(stop.code or 0)
    given = {name: value for name, value in vars(options).items() if name in Job.__annotations__}
    fields: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in given.items()}
    job = Job(**fields)
    script = job.render()
    if options.check:
        _let_slurm_check(script)
    if options.file is None:
        print(script, end="")
        return 0
    try:
        options.file.write_text(script)
    except OSError as error:
        raise DataError(f"cannot write {options.file} ({error.strerror}); choose another --file") from error
    return 0


def _let_slurm_check(script: str) -> None:
    if shutil.which("sbatch") is None:
        raise UsageError("--check asks Slurm, but there is no sbatch here: leave it out, or go to a login node")
    asked = subprocess.run(["sbatch", "--test-only"], input=script, text=True, capture_output=True, check=False)
    if asked.returncode:
        raise UsageError(f"Slurm refuses the script: {' '.join(asked.stderr.split())}")


def _parser() -> Parser:
    parser = Parser(prog="python -m gossip.hpc", description="What a cluster needs to run gossip.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="command")
    job = commands.add_parser(
        "sbatch",
        argument_default=SUPPRESS,
        help="write a batch script for Slurm",
        description="Write a batch script for Slurm that runs `python -m gossip.train ARGUMENTS` (or a script of one's "
        "own) on several hosts, is told before its time is up, saves, is queued again and goes on.",
        usage="python -m gossip.hpc sbatch [options] [-- ARGUMENTS]",
    )
    for name, kind, text in (
        ("nodes", int, "hosts"),
        ("tasks-per-node", int, "ranks on each host"),
        ("cpus-per-task", int, "cores of each rank"),
        ("gpus-per-task", int, "GPUs of each rank"),
        ("time", str, "time limit, such as 30 (minutes), 4:00:00 or 2-00 (days-hours)"),
        ("grace", int, "seconds before the end at which the run is told to save and stop"),
        ("name", str, "name of the job"),
        ("partition", str, "as sbatch takes it"),
        ("account", str, "as sbatch takes it"),
        ("memory", str, "memory of each host, such as 64G"),
        ("script", str, "a Python script of one's own in the place of gossip.train"),
        ("checkpoint-every", str, "steps, or seconds such as 600s, from one checkpoint to the next"),
        ("at-once", int, "how many jobs of an array may run at a time"),
    ):
        default = getattr(Job, name.replace("-", "_"))
        ending = "" if default in (None, 0) else f" (default: {default})"
        job.add_argument(f"--{name}", type=kind, help=text + ending)
    job.add_argument(
        "--mpi",
        choices=get_args(Mpi),
        help="how ranks are started: by srun with pmi2 (MPICH) or pmix (Open MPI), or by mpirun",
    )
    job.add_argument("--setup", action="append", metavar="LINE", help="a line of the script before the run; repeatable")
    job.add_argument("--configurations", nargs="+", metavar="FILE", help="one job for each of these configurations")
    job.add_argument("--seeds", nargs="+", type=int, metavar="SEED", help="and each of these seeds")
    job.add_argument("--check", action="store_true", default=False, help="also ask Slurm whether it would take the job")
    job.add_argument("--file", type=Path, default=None, help="where the script goes; printed if there is none")
    job.add_argument("arguments", nargs="*", default=[], metavar="ARGUMENTS", help="of gossip.train, or of the script")
    return parser


if __name__ == "__main__":
    sys.exit(main())
