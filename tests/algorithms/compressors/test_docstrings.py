"""What help says of operators: their definition, source and parameters; and the examples there are right."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil

import pytest

import algorithms.compressors as package
from algorithms import (
    QSGD,
    Compressor,
    Identity,
    LinearCompressor,
    NaturalCompression,
    PowerSGD,
    RandomK,
    ScaledSign,
    TopK,
)

MODULES = [each.name for each in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")]
CLASSES = [each for each in vars(package).values() if inspect.isclass(each) and issubclass(each, Compressor)]
OPERATORS = [each for each in CLASSES if each not in (Compressor, LinearCompressor)]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0


@pytest.mark.parametrize("kind", [QSGD, NaturalCompression, PowerSGD, RandomK, ScaledSign, TopK])
def test_the_main_operators_have_examples(kind: type) -> None:
    assert doctest.DocTestFinder(recurse=False).find(kind)[0].examples


@pytest.mark.parametrize("kind", OPERATORS)
def test_help_tells_the_operator(kind: type) -> None:
    text = inspect.getdoc(kind)
    assert text
    fields = [name for name in inspect.signature(kind).parameters]
    assert all(f"{name}: " in text for name in fields)
    assert "bits" in text.lower()
    assert kind is Identity or any(each in text for each in ("arXiv", "Interspeech"))
    assert "See `" not in text
