"""The examples in the docstrings of oracles give what they say."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import algorithms.oracles
from algorithms import Minibatch, Saga, Svrg, ZerothOrder

MODULES = [f"algorithms.oracles.{module.name}" for module in pkgutil.iter_modules(algorithms.oracles.__path__)]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0


@pytest.mark.parametrize("kind", [Minibatch, Saga, Svrg, ZerothOrder])
def test_main_oracles_have_an_example(kind: type) -> None:
    assert doctest.DocTestFinder(recurse=False).find(kind)[0].examples
