"""The text of a batch script for Slurm."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from string import Template

SCRIPT = Template("""\
#!/usr/bin/env bash
${options}\
#SBATCH --open-mode=append
# The run is told to save and stop so many seconds before its time is up, and is queued again.
#SBATCH --signal=B:USR1@$grace
#SBATCH --requeue

export GOSSIP_STOPPED=$$PWD/.gossip-stopped-$$SLURM_JOB_ID # a run makes this file when it is stopped and has saved
rm -f "$$GOSSIP_STOPPED"
stop='' step=''
tell() { # again and again: a rank that is still starting does not hear it
    trap '' USR1
    sleep 1 # the step, just begun, does not ignore it yet
    while kill -USR1 "$$step" 2> /dev/null; do sleep 5; done
}
trap 'stop=yes; if [ -n "$$step" ]; then tell & fi' USR1
$setup
${choice}\
export OMP_NUM_THREADS=$$SLURM_CPUS_PER_TASK
${steps}
(
    trap '' USR1 # which would end what does not listen yet
    exec $launch \\
        bash -c 'trap "" USR1; exec "$$@"' bash \\
        $command
) &
step=$$!
if [ -n "$$stop" ]; then tell & fi

while kill -0 "$$step" 2> /dev/null; do wait "$$step"; done # a signal ends the waiting, not the step
wait "$$step"
code=$$?
preempted() { scontrol show job "$$SLURM_JOB_ID" | grep -q 'PreemptTime=[0-9]'; }
# Saved, to be continued; or ended by a signal before anybody listened, as its place was taken.
if [ -e "$$GOSSIP_STOPPED" ] || [ "$$code" -eq 75 ] || { [ "$$code" -gt 128 ] && preempted; }; then
    rm -f "$$GOSSIP_STOPPED"
    task=$${SLURM_ARRAY_JOB_ID:+$${SLURM_ARRAY_JOB_ID}_$$SLURM_ARRAY_TASK_ID}
    scontrol requeue "$${task:-$$SLURM_JOB_ID}"
fi
${ending}\
exit "$$code"
""")

SETUP = Template("""
set -e # a line that fails ends the job
trap 'echo "this line of the set-up failed: $$BASH_COMMAND" >&2' ERR
${lines}\
trap - ERR
set +e
""")

STEPS = """\
# MPICH names shared memory after the number of the step, and what a killed one has left is still there: never twice.
for ((i = 0; i < ${SLURM_RESTART_COUNT:-0}; i++)); do srun --mpi=none --nodes=1 --ntasks=1 true; done
"""

SRUN = 'srun --mpi={} --export=ALL --cpus-per-task="$SLURM_CPUS_PER_TASK" --cpu-bind=cores --kill-on-bad-exit=1'


def render(
    options: Mapping[str, object],
    grace: int,
    setup: Sequence[str],
    choice: str,
    launch: str,
    command: str,
    *,
    ending: str = "",
) -> str:
    """The script.

    Args:
        options: Of sbatch, by name; without a value where that is None.
        grace: Seconds before the end at which the run is told to stop.
        setup: Lines before the run.
        choice: Lines that set $configuration and $seed, of an array.
        launch: What starts the ranks.
        command: What each of them runs.
        ending: Lines at the end.
    """
    given = [name if value is None else f"{name}={shlex.quote(str(value))}" for name, value in options.items()]
    return SCRIPT.substitute(
        options="".join(f"#SBATCH --{each}\n" for each in given),
        grace=grace,
        setup=SETUP.substitute(lines="".join(f"{line}\n" for line in setup)) if setup else "",
        choice=choice,
        steps=STEPS if launch.startswith("srun") else "",
        launch=launch,
        command=command,
        ending=ending,
    )


def choose(configurations: Sequence[str], seeds: Sequence[int]) -> str:
    """Lines that set $configuration and $seed to those of one job of the array, as far as there are such."""
    lines = []
    if configurations:
        lines.append(f"configurations=({shlex.join(configurations)})")
        each = "SLURM_ARRAY_TASK_ID / ${#seeds[@]}" if seeds else "SLURM_ARRAY_TASK_ID"
        lines.append(f"configuration=${{configurations[{each}]}}")
    if seeds:
        lines.insert(len(lines) and 1, f"seeds=({' '.join(map(str, seeds))})")
        lines.append("seed=${seeds[SLURM_ARRAY_TASK_ID % ${#seeds[@]}]}")
    return "".join(f"{line}\n" for line in lines)
