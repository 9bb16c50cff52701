"""Hyper-parameters out of range are refused in one line that says which, what it is and whose."""

from __future__ import annotations

import math
from typing import Any

import pytest

from algorithms import (
    ChocoSGD,
    Constant,
    Cosine,
    DecentralizedSGD,
    ExactDiffusion,
    InverseTime,
    Minibatch,
    StepDecay,
    TopK,
    WarmUp,
)

NAN = math.nan
# Class, parameter, values out of range, values in range (at its ends), other parameters that go with them.
RANGES: list[tuple[type, str, list[Any], list[Any], dict[str, Any]]] = [
    *((kind, "lr", [0, -0.1, NAN, math.inf], [1e-300, 7, Constant()], {})
      for kind in (DecentralizedSGD, ExactDiffusion, ChocoSGD)),
    *((kind, "momentum", [-0.1, 1, 1.5, NAN], [0, 0.999], {}) for kind in (DecentralizedSGD, ChocoSGD)),
    *((kind, "nesterov", [True], [False], {"momentum": 0.0}) for kind in (DecentralizedSGD, ChocoSGD)),
    *((kind, "nesterov", [], [True, False], {"momentum": 0.5}) for kind in (DecentralizedSGD, ChocoSGD)),
    (DecentralizedSGD, "order", ["atc", "icml", ""], ["consensus"], {}),
    (DecentralizedSGD, "period", [0, -3], [1, 10**9], {}),
    (ChocoSGD, "order", ["consensus", "ICML"], ["icml", "overlapped"], {}),
    (ChocoSGD, "gamma", [0, -0.1, 1.1, NAN], [1, 1e-9], {}),
    (TopK, "fraction", [0.0, -0.5, 1.5, NAN], [1.0, 1e-9], {}),
    (TopK, "k", [0, -1], [1], {}),
    (Minibatch, "batch", [0, -1], [1], {}),
    *((kind, "lr", [0, -0.1, NAN], [1e-300, 7], {}) for kind in (Constant, StepDecay, Cosine)),
    (StepDecay, "factor", [0, -0.5, 1.5, NAN], [1], {}),
    (StepDecay, "milestones", [(20, 10), (10, 10)], [(), (10,), (10, 20)], {}),
    (Cosine, "steps", [0, -1], [1], {}),
    (Cosine, "end", [-0.1, 0.6, NAN], [0, 0.5], {"lr": 0.5}),
    (InverseTime, "scale", [0, -1, NAN], [1e-9], {}),
    (InverseTime, "offset", [0, -1, NAN], [1e-9], {}),
    (WarmUp, "steps", [-1], [0], {}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "name", "value", "others"),
    [(kind, name, value, others) for kind, name, bad, _, others in RANGES for value in bad],
)
def test_out_of_range(kind: type, name: str, value: Any, others: dict[str, Any]) -> None:
    with pytest.raises(ValueError) as raised:
        kind(**{name: value}, **others)
    message = str(raised.value)
    assert message.startswith(f"{kind.__name__}: {name} = {value!r} ")
    assert "\n" not in message


@pytest.mark.parametrize(
    ("kind", "name", "value", "others"),
    [(kind, name, value, others) for kind, name, _, good, others in RANGES for value in good],
)
def test_in_range(kind: type, name: str, value: Any, others: dict[str, Any]) -> None:
    assert getattr(kind(**{name: value}, **others), name) == value
