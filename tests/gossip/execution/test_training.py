"""The options of a run are said once, and are the same wherever a run is asked for."""

from __future__ import annotations

import inspect
from dataclasses import MISSING, fields
from pathlib import Path

import numpy as np
import yaml

import gossip
from algorithms import DecentralizedSGD
from gossip.execution.setting import NOT_DESCRIBED
from gossip.execution.training import DECIDE_MODELS, Training
from gossip.fields import descriptions
from gossip.options.command_line import NOT_OPTIONS, option_names, parse
from gossip.workloads import LeastSquares
from topologies import ring

NAMES = [field.name for field in fields(Training)]
DEPEND_ON_NOTHING = {  # what may change when a run goes on from a checkpoint
    *("steps", "evaluate_every", "evaluate_nodes", "transport", "placement", "communicator", "output", "progress"),
    *(
        "config",
        "stall_timeout",
        "on_failure",
        "report",
        "trace",
        "traceback",
        "checkpoint_every",
        "seconds",
        "resume",
        "keep",
        "loggers",
    ),
}


def test_the_library_call_takes_what_the_specification_has() -> None:
    signature = inspect.signature(gossip.run)
    assert list(signature.parameters) == NAMES
    for field in fields(Training):
        parameter = signature.parameters[field.name]
        expected = inspect.Parameter.empty if field.default is MISSING else field.default
        assert parameter.default == expected or parameter.default is expected
    positional = [p.name for p in signature.parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert positional == ["workload", "topology", "algorithm"]


def test_each_option_is_documented_where_a_user_looks() -> None:
    texts = descriptions(Training)
    assert list(texts) == NAMES
    documentation = " ".join((gossip.run.__doc__ or "").split())
    for name, text in texts.items():
        assert text.endswith(".")
        assert f"{name}: {' '.join(text.split())}" in documentation


def test_it_is_decided_for_each_option_whether_models_depend_on_it() -> None:
    assert set(DECIDE_MODELS) | DEPEND_ON_NOTHING == set(NAMES)
    assert not set(DECIDE_MODELS) & DEPEND_ON_NOTHING


def test_each_option_is_on_the_command_line_or_left_out_on_purpose() -> None:
    assert [*option_names()] == [name for name in NAMES if name not in NOT_OPTIONS]
    assert set(NOT_OPTIONS) == {"start", "communicator", "progress", "config"}
    training = parse([], ranks=1)
    named = {"workload", "topology", "algorithm", "oracle", "steps"}  # those of the command are a whole small run
    for field in fields(Training):
        if field.name not in {*named, *NOT_OPTIONS}:
            assert getattr(training, field.name) == field.default, field.name


def test_the_run_directory_says_all_options(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    workload = LeastSquares(random.normal(size=(4, 6, 3)), random.normal(size=(4, 6)))
    clock = gossip.SimulatedClock(0.05, 1e-4, 1e9)
    result = gossip.run(
        workload, ring(4), DecentralizedSGD(), steps=2, clock=clock, output=tmp_path, checkpoint_every="60s"
    )
    assert result.directory is not None
    kept = yaml.safe_load((result.directory / "config.yaml").read_text())
    assert list(kept) == [name for name in NAMES if name not in NOT_DESCRIBED]
    assert kept["clock"]["init_args"]["latency"] == 1e-4
    assert (kept["placement"], kept["transport"], kept["checkpoint_every"]) == ("contiguous", "auto", "60s")
    assert kept["output"] == str(tmp_path)
