"""Methods around another one: whoever drives them learns what that one asks for."""

from __future__ import annotations

from typing import Any

import pytest

from algorithms import Accordion, Algorithm, Attacked, ChocoSGD, ErrorFeedbackSGD, Method, SignSGD, Switched, Zeno
from algorithms.around import AroundMethod

PROPERTIES = vars(Method) | vars(Algorithm)
ASKED = [name for name, value in PROPERTIES.items() if isinstance(value, property)]
ASKED += ["needs", "least_eigenvalue"]


def test_all_that_a_method_asks_for_is_passed_on() -> None:
    assert {*ASKED} - {*vars(AroundMethod)} == {"without_data"}  # which follows from the others


@pytest.mark.parametrize(
    "algorithm",
    [
        Attacked(Zeno()),
        Attacked(SignSGD(), attackers=(1,)),
        Accordion(ChocoSGD(lr=0.3, compressor=Switched())),
        Attacked(Accordion(ErrorFeedbackSGD(compressor=Switched()))),
    ],
    ids=["Zeno", "SignSGD", "ChocoSGD", "both"],
)
def test_as_the_method_has_it(algorithm: Any) -> None:
    for name in ASKED:
        assert getattr(algorithm, name) == getattr(algorithm.algorithm, name), name
    assert algorithm.lr == algorithm.algorithm.lr
    assert algorithm.with_learning_rate(0.7).algorithm.lr == 0.7
    assert algorithm.replicated().servers == 0
