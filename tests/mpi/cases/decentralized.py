"""Uncompressed methods on doubly stochastic matrices."""

from __future__ import annotations

from algorithms import ExactDiffusion
from tests.mpi.cases import Case

CASES = [
    Case(ExactDiffusion(lr=0.05)),
]
