"""The examples in the docstrings of methods give what they say, and the docstrings can be read alone."""

from __future__ import annotations

import doctest
import inspect
import sys
from dataclasses import fields

import pytest
import torch

from algorithms import (
    D2,
    Algorithm,
    Beer,
    ChocoSGD,
    DecentralizedSGD,
    ExactDiffusion,
    GradientTracking,
    Lead,
    LocalSGD,
    MatrixNetwork,
    PushSumSGD,
    Sample,
    SquarmSGD,
    compressed,
    cooperative,
    decentralized,
)

METHODS = [
    value
    for family in (decentralized, compressed, cooperative)
    for value in vars(family).values()
    if inspect.isclass(value) and issubclass(value, Algorithm)
]
WITH_EXAMPLES = {D2, DecentralizedSGD, ExactDiffusion, GradientTracking, LocalSGD, PushSumSGD}
WITH_EXAMPLES |= {Beer, ChocoSGD, Lead, SquarmSGD}
NAMES = {"torch": torch, "MatrixNetwork": MatrixNetwork, "Sample": Sample}


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.__name__)
def test_examples(method: type[Algorithm]) -> None:
    names = vars(sys.modules[method.__module__]) | NAMES
    (found,) = doctest.DocTestFinder(recurse=False).find(method, method.__name__, globs=names)
    outcome = doctest.DocTestRunner().run(found)
    assert not outcome.failed
    assert outcome.attempted > 0 or method not in WITH_EXAMPLES


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.__name__)
def test_the_docstring_says_whose_method_it_is_what_is_sent_and_what_its_fields_are(method: type[Algorithm]) -> None:
    text = inspect.getdoc(method)
    assert text is not None
    assert any(source in text for source in ("arXiv", "Letters", "FOCS"))
    assert "Sent" in text
    for each in fields(method):
        assert f"    {each.name}:" in text or not each.init
