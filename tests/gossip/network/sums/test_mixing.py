"""All ways of summing weighted rows give the same bits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array, random_array
from torch import Tensor

from algorithms.numerics import compiled as loops
from gossip.network.plans.halo import HaloPlan
from gossip.network.sums import mixing
from gossip.network.sums.mixing import Sums
from topologies.placement import blocks

NEVER = 1 << 62  # bytes
AWKWARD = (0.0, -0.0, np.inf, -np.inf, np.nan, 1e-42, 3e38)


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@dataclass(frozen=True)
class Case:
    """What one rank of several sums."""

    plan: HaloPlan
    rows: Tensor  # (n, d), of all nodes
    parts: list[range]
    rank: int
    plus: tuple[float, Tensor] | None = None

    def sums(self, whole: bool, strided: bool) -> tuple[Sums, list[Tensor]]:
        """The sums and their sources: all rows of their owners or the needed ones, maybe part of a wider stack."""
        own = self.parts[self.rank]
        sources = [self.rows[own.start : own.stop]]
        for source, needed in self.plan.receive.items():
            block = self.parts[source]
            rows = self.rows[block.start : block.stop]
            sources.append(rows if whole else rows[torch.from_numpy(needed)])
        if strided:
            sources = [torch.nn.functional.pad(rows, (3, 2))[:, 3:-2] for rows in sources]
        return Sums(self.plan, self.plan.rows if whole else self.plan.places), sources

    @property
    def expected(self) -> Tensor:
        """The definition, product by product and sum by sum."""
        out = torch.zeros(len(self.parts[self.rank]), self.rows.shape[1], dtype=self.rows.dtype)
        for row in range(len(out)):
            for t in range(*self.plan.indptr[row : row + 2]):
                product = torch.tensor(self.plan.weights[t], dtype=self.rows.dtype) * self.rows[self.plan.nodes[t]]
                out[row] = product if t == self.plan.indptr[row] else out[row] + product
        return out if self.plus is None else out + self.plus[0] * self.plus[1]


def case(matrix: np.ndarray, ranks: int, rank: int, rows: Tensor) -> Case:
    parts = blocks(len(matrix), ranks)
    return Case(HaloPlan.build(csr_array(matrix), parts, rank), rows, parts, rank)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    n = draw(st.integers(1, 12))
    random = np.random.default_rng(draw(st.integers(0, 10_000)))
    matrix = np.zeros((n, n))
    for i in range(n):
        terms = random.choice(n, draw(st.integers(0, min(n, 10))), replace=False)
        matrix[i, terms] = random.normal(size=len(terms))
    ranks = draw(st.integers(1, n))
    d = draw(st.sampled_from([1, 2, 3, 16, 17, 40, 100, 1023, 1024, 1025, 5000]))
    rows = random.normal(size=(n, d))
    if draw(st.booleans()):
        where = random.random((n, d)) < 0.3
        rows[where] = random.choice(AWKWARD, where.sum())
    dtype = draw(st.sampled_from([torch.float32, torch.float64]))
    one = case(matrix, ranks, draw(st.integers(0, ranks - 1)), torch.from_numpy(rows).to(dtype))
    if draw(st.booleans()):
        k = len(one.parts[one.rank])
        wider = torch.from_numpy(random.normal(size=(k, d + draw(st.integers(0, 1))))).to(dtype)
        one = replace(one, plus=(draw(st.sampled_from([-0.1, 0.0, 1.0])), wider[:, :d]))
    return one


def assert_same_bits(one: Tensor, other: Tensor) -> None:
    torch.testing.assert_close(one, other, rtol=0, atol=0, equal_nan=True)
    numbers = ~one.isnan()  # what the sign of a NaN is, IEEE 754 leaves open
    assert torch.equal(one.signbit()[numbers], other.signbit()[numbers])


def summed(
    case: Case, whole: bool = False, strided: bool = False, out_strided: bool = False, stream: bool = False
) -> Tensor:
    sums, sources = case.sums(whole, strided)
    k, d = len(case.parts[case.rank]), case.rows.shape[1]
    memory = torch.full((k, d + 6), torch.pi, dtype=case.rows.dtype)
    out = memory[:, 2 : d + 2] if out_strided else torch.full((k, d), torch.pi, dtype=case.rows.dtype)
    sums.into(out, sources, case.plus, stream)
    if out_strided:
        assert (memory[:, :2] == torch.pi).all() and (memory[:, d + 2 :] == torch.pi).all()
    return out


@settings(deadline=None)  # the first call compiles
@given(cases(), st.booleans(), st.booleans(), st.booleans(), st.sampled_from([1, 2, 3]))
@example(case(np.zeros((3, 3)), 3, 1, torch.ones(3, 5)), False, False, False, 1)
@example(case(np.zeros((3, 3)), 1, 0, torch.ones(3, 5)), False, False, False, 1)
def test_all_ways_give_the_same_bits(case: Case, whole: bool, strided: bool, out_strided: bool, threads: int) -> None:
    expected = case.expected
    before = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        for compiled in (0, NEVER):  # NumPy sums a single row, torch several
            patch.setattr(loops, "COMPILED", compiled)
            patch.setattr(mixing, "THREADED", 0)
            torch.set_num_threads(threads)
            try:
                for stream in (False, True):
                    assert_same_bits(summed(case, whole, strided, out_strided, stream), expected)
            finally:
                torch.set_num_threads(before)


@settings(deadline=None)
@given(cases().filter(lambda case: bool((case.rows.abs() < 1e30).all())))
def test_they_are_the_matrix_product(case: Case) -> None:
    k = len(case.parts[case.rank])
    dense = np.zeros((k, len(case.rows)))
    for i in range(k):
        terms = slice(*case.plan.indptr[i : i + 2])
        dense[i, case.plan.nodes[terms]] = case.plan.weights[terms]
    exact = dense @ case.rows.double().numpy()
    case = replace(case, plus=None)
    scale = np.abs(dense) @ np.abs(case.rows.double().numpy()) + 1e-30
    error = np.abs(summed(case).double().numpy() - exact) / scale
    assert error.max() <= (1e-6 if case.rows.dtype == torch.float32 else 1e-14)


@pytest.mark.parametrize("ranks", [1, 3, 6])
def test_by_size_the_ways_are_chosen_and_agree(ranks: int, threads: None) -> None:
    """At the real limits: the compiled kernel from 256 KB, several threads from 4 MB."""
    torch.set_num_threads(4)
    random = np.random.default_rng(0)
    matrix = random.normal(size=(6, 6))
    for d in (100, loops.COMPILED // 8, mixing.THREADED // 4):
        rows = torch.from_numpy(random.normal(size=(6, d)))
        for rank in (0, ranks - 1):
            each = case(matrix, ranks, rank, rows)
            assert_same_bits(summed(each), each.expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize(("d", "narrow"), [(1, 1 << 31), (5, 0), (16, 1 << 31), (33, 0), (200, 0), (300, 1 << 31)])
def test_many_short_rows(
    d: int, narrow: int, dtype: torch.dtype, threads: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More of them than are summed together, found by 32 or 64 bits."""
    monkeypatch.setattr(mixing, "NARROW", narrow)
    n = 3000
    random = np.random.default_rng(0)
    matrix = random_array((n, n), density=4 / n, format="csr", random_state=random)
    rows = torch.from_numpy(random.normal(size=(n, d))).to(dtype)
    sums = Sums(HaloPlan.build(matrix, [range(n)], 0), np.asarray(matrix.indices, np.int64))
    by_torch, compiled = torch.empty(n, d, dtype=dtype), torch.empty(n, d, dtype=dtype)
    plus = 0.3, rows
    monkeypatch.setattr(mixing, "THREADED", 0)
    with monkeypatch.context() as patch:
        patch.setattr(loops, "COMPILED", NEVER)
        sums.into(by_torch, [rows], plus)
    monkeypatch.setattr(loops, "COMPILED", 0)
    for many in (1, 3):
        torch.set_num_threads(many)
        for stream in (False, True):
            sums.into(compiled, [rows], plus, stream)
            assert_same_bits(compiled, by_torch)


def test_half_precision() -> None:
    """Rounded to bfloat16 after each product and each sum, as torch does it."""
    random = np.random.default_rng(0)
    rows = torch.from_numpy(random.normal(size=(6, 4000))).bfloat16()
    matrix = random.normal(size=(6, 6)) * (random.random((6, 6)) < 0.6)
    for ranks in (1, 2, 6):
        for rank in range(ranks):
            each = case(matrix, ranks, rank, rows)
            assert_same_bits(summed(each), each.expected)
