"""Forty fixed runs, and the hashes of what came out of them: a change of the code's structure must not change a bit.

`fixed_runs.json` holds the hashes of each run:

    models     the final models of all nodes
    losses     the training loss and the test loss at every step
    counts     bytes and messages sent, gradients and function values asked for, at every step; and the seconds of a
               simulated clock, which follow from them

Who moves code, renames what is inside, or makes it faster leaves that file as it is. Who changes a result by intent
rewrites it in the same commit, whose message says which runs changed and why:

    python -m tests.trajectories.test_fixed_runs --write

The runs use nothing but names that users type. The problem that most of them solve has gradients of products and sums
of single numbers only, in a fixed order, so that the hashes do not depend on the instructions that a processor has.
Two things of torch do: roots, which methods like Adam take, and the products of matrices in a perceptron. The runs with
these are compared only where the file's hash of such numbers alone, of `PROBES`, is the one found here.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.trajectories.quadratics import numbers
from tests.trajectories.runs import RUNS, hash_of

FILE = Path(__file__).with_name("fixed_runs.json")


def roots() -> list[torch.Tensor]:
    """What torch makes of the roots of some numbers."""
    values = torch.from_numpy(numbers(1003, 4, 200))
    return [values.sqrt(), values.float().sqrt()]


def products() -> list[torch.Tensor]:
    """What torch makes of a layer and a loss."""
    weights, inputs = (torch.from_numpy(numbers(seed, 10, 64)).float() for seed in (1004, 1005))
    products = inputs @ weights.T
    return [products, products.log_softmax(dim=1), inputs @ weights[0]]


PROBES = {"roots": roots, "products": products}


def probed(name: str) -> str:
    """The hash of the numbers of a probe."""
    return hash_of(tensor.contiguous().numpy().tobytes() for tensor in PROBES[name]())


@pytest.mark.parametrize("name", RUNS)
def test_a_fixed_run_has_not_changed_by_a_bit(name: str) -> None:
    run, held = RUNS[name], json.loads(FILE.read_text())
    if run.probe is not None and probed(run.probe) != held["probes"][run.probe]:
        pytest.skip(f"torch gives other bits for {run.probe} on this processor than where the file was written")
    assert run.hashes() == held["runs"][name]


@pytest.mark.parametrize("name", [name for name, run in RUNS.items() if run.algorithm.servers])
def test_a_replicated_server_gives_the_same_bits(name: str) -> None:
    run, held = RUNS[name], json.loads(FILE.read_text())
    if run.probe is not None and probed(run.probe) != held["probes"][run.probe]:
        pytest.skip(f"torch gives other bits for {run.probe} on this processor than where the file was written")
    replicated = replace(run, algorithm=run.algorithm.replicated())
    assert replicated.algorithm.servers == 0
    assert replicated.hashes() == held["runs"][name]


def test_the_file_holds_these_runs() -> None:
    assert json.loads(FILE.read_text())["runs"].keys() == RUNS.keys()


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit("usage: python -m tests.trajectories.test_fixed_runs --write")
    held = {
        "probes": {name: probed(name) for name in PROBES},
        "runs": {name: run.hashes() for name, run in RUNS.items()},
    }
    FILE.write_text(json.dumps(held, indent=2) + "\n")
