"""The examples in the docstrings of algorithms and oracles do what they say."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
from types import ModuleType

import pytest

import algorithms.compressed
import algorithms.oracles
from algorithms import Beer, ChocoSGD, Lead, Minibatch, Saga, SquarmSGD, Svrg, ZerothOrder


def modules(package: ModuleType) -> list[str]:
    return [f"{package.__name__}.{module.name}" for module in pkgutil.iter_modules(package.__path__)]


@pytest.mark.parametrize("name", [*modules(algorithms.compressed), *modules(algorithms.oracles)])
def test_examples(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0


@pytest.mark.parametrize("kind", [Beer, ChocoSGD, Lead, Minibatch, Saga, SquarmSGD, Svrg, ZerothOrder])
def test_main_classes_have_an_example(kind: type) -> None:
    assert doctest.DocTestFinder(recurse=False).find(kind)[0].examples


@pytest.mark.parametrize("name", [*modules(algorithms.compressed), *modules(algorithms.oracles)])
def test_help_of_a_class_says_more_than_its_name(name: str) -> None:
    module = importlib.import_module(name)
    for kind in vars(module).values():
        if isinstance(kind, type) and kind.__module__ == name and not kind.__name__.startswith("_"):
            assert kind.__doc__ is not None and len(kind.__doc__) > 40, kind
