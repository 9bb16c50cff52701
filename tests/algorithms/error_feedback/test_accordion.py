"""Accordion: which tensors are compressed lightly, and that the method goes on as with that operator."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from algorithms import (
    Accordion,
    Algorithm,
    ChocoSGD,
    DecentralizedSGD,
    ErrorFeedbackSGD,
    GossipAveraging,
    Layout,
    PowerSGD,
    Sample,
    StepDecay,
    Switched,
    TopK,
)
from tests.algorithms.error_feedback.literal import N, close, problem_and_start, trained
from tests.algorithms.helpers import Array, network_of
from tests.algorithms.reference import top_k
from topologies import ring

TENSORS = Layout({"weight": (2, 1), "bias": (3,)})
PLACES = (slice(0, 2), slice(2, 5))
SWITCHED = Switched(light=TopK(fraction=1.0), strong=TopK(fraction=0.4))
RATE = StepDecay(lr=0.05, milestones=(23,), factor=0.5)


def switched(v: Array, light: list[bool]) -> Array:
    """All of the tensors that are compressed lightly, and the largest entries of the others together."""
    c = np.zeros_like(v)
    rest = np.concatenate(
        [np.arange(5)[place] for place, chosen in zip(PLACES, light, strict=True) if not chosen] or [[]]
    )
    rest = rest.astype(int)
    for place, chosen in zip(PLACES, light, strict=True):
        if chosen:
            c[place] = v[place]
    if len(rest):
        c[rest] = top_k(v[rest], max(1, int(0.4 * len(rest))))
    return c


@pytest.mark.parametrize("threshold", [0.02, 0.5])
def test_the_rule_of_the_paper(threshold: float) -> None:
    problem, _, X = problem_and_start()
    e, light, before, total, wanted, chosen = np.zeros_like(X), [True, True], None, np.zeros_like(X), [X], []
    for t in range(40):
        lr = 0.05 if t < 23 else 0.025
        if t == 23:
            light = [True, True]
        G = problem.gradient(X)
        if t // 3 % 2 == 0:  # epochs of 3 iterations, every other one is looked at
            total = total + G
        p = lr * G + e
        c = np.stack([switched(row, light) for row in p])
        e, X = p - c, X - c.mean(axis=0)
        if t // 3 % 2 == 0 and (t + 1) % 3 == 0:
            norms = [np.linalg.norm(total[:, place], axis=1).mean() for place in PLACES]
            if before is not None:
                light = [abs(old - new) >= threshold * old for old, new in zip(before, norms, strict=True)]
            before, total = norms, np.zeros_like(X)
        wanted.append(X)
        chosen.append(tuple(light))
    algorithm = Accordion(ErrorFeedbackSGD(lr=RATE, compressor=SWITCHED), epoch=3, every=2, threshold=threshold)
    close(trained(algorithm.for_layout(TENSORS), steps=40).models, np.stack(wanted))
    assert len({*chosen}) > 1


def norms_of(series: list[tuple[float, float]], threshold: float = 0.5) -> list[tuple[bool, ...]]:
    """What is compressed lightly after each iteration, where these are the gradients of two tensors of one number."""
    algorithm: Any = Accordion(ErrorFeedbackSGD(lr=0.1, compressor=SWITCHED), epoch=1, every=1, threshold=threshold)
    algorithm = algorithm.for_layout(Layout({"a": (1,), "b": (1,)}))
    network = network_of(ring(2))
    state = algorithm.start(torch.zeros(2, 2, dtype=torch.float64), network)
    found = []
    for gradient in series:
        algorithm.advance(state, Sample(torch.tensor([gradient] * 2, dtype=torch.float64), torch.zeros(2)), network)
        found.append(state.critical)
    return found


def test_each_tensor_is_judged_by_itself() -> None:
    """Constant norms are compressed strongly, halved ones are critical, and so is what begins with nothing."""
    found = norms_of([(4.0, 0.0), (4.0, 1.0), (2.0, 1.0), (2.0, 0.6), (2.5, 0.2)])
    assert found == [(True, True), (False, True), (True, False), (False, False), (False, True)]


@pytest.mark.parametrize(
    "method",
    [
        ChocoSGD(lr=0.05, gamma=0.3, compressor=SWITCHED),
        ErrorFeedbackSGD(
            lr=0.05,
            compressor=Switched(
                light=PowerSGD(rank=2, warm_start=True), strong=PowerSGD(rank=1, warm_start=True), shapes=((5,),)
            ),
        ),
    ],
    ids=["ChocoSGD", "PowerSGD"],
)
def test_without_a_change_the_method_is_the_same(method: Any) -> None:
    """With no look, the light operator is in force throughout; a method with two all-reduces is one, too."""
    found = trained(Accordion(method, epoch=1000), steps=20)
    always = replace(method, compressor=replace(method.compressor, chosen=(True,)))
    np.testing.assert_array_equal(found.models, trained(always, steps=20).models)


def test_it_needs_what_the_method_needs() -> None:
    for method in (ChocoSGD(compressor=SWITCHED), ErrorFeedbackSGD(compressor=SWITCHED)):
        assert Accordion(method).needs == method.needs


def test_what_it_sends_lies_between_the_static_ones() -> None:
    def sent(algorithm: Algorithm) -> int:
        return int(trained(algorithm.for_layout(TENSORS), steps=40).bytes.sum())

    method = ErrorFeedbackSGD(lr=RATE, compressor=SWITCHED)
    light = replace(method, compressor=replace(SWITCHED, chosen=(True, True)))
    assert sent(method) < sent(Accordion(method, epoch=3, every=2)) < sent(light)


@pytest.mark.parametrize("method", [DecentralizedSGD(), GossipAveraging(), ErrorFeedbackSGD(compressor=TopK(k=1))])
def test_a_method_without_such_an_operator_is_refused(method: Algorithm) -> None:
    with pytest.raises(ValueError, match=r"Accordion: algorithm .* whose compressor is Switched"):
        Accordion(method)


@pytest.mark.parametrize("options", [{"epoch": 0}, {"every": 0}, {"threshold": 0.0}])
def test_what_is_out_of_range_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        Accordion(**options)


def test_other_numbers_of_tensors_are_refused() -> None:
    with pytest.raises(ValueError, match="the tensors hold 5 numbers, the vector has 6"):
        SWITCHED.for_layout(TENSORS).groups(6)
    with pytest.raises(ValueError, match="3 choices for 1 tensors"):
        Switched(chosen=(True,) * 3).groups(N)


def test_it_is_light_from_where_somebody_lowers_the_learning_rate() -> None:
    """As a scheduler of torch does."""
    method = ErrorFeedbackSGD(lr=0.1, compressor=SWITCHED)
    algorithm: Any = Accordion(method, epoch=1, every=4).for_layout(Layout({"a": (1,), "b": (1,)}))
    network = network_of(ring(2))
    state = algorithm.start(torch.zeros(2, 2, dtype=torch.float64), network)
    found = []
    for lr in (0.1,) * 6 + (0.05,) * 4:
        sample = Sample(torch.ones(2, 2, dtype=torch.float64), torch.zeros(2))
        algorithm.with_learning_rate(lr).advance(state, sample, network)
        found.append(state.critical[0])
    assert found == [True, True, True, True, False, False, True, True, False, False]
