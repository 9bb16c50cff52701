"""The project's strongest test: the same run is bit for bit the same on any number of ranks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.conftest import REPOSITORY, Run

PROGRAM = str(REPOSITORY / "tests/mpi/programs/trajectories.py")
CASES = str(REPOSITORY / "tests/mpi/programs/cases.py")

Models = dict[str, np.ndarray]


@pytest.mark.timeout(900)
def test_final_models_do_not_depend_on_the_number_of_ranks_nor_on_the_transport(python: Run, tmp_path: Path) -> None:
    def models(ranks: int, variant: str = "auto") -> Models:
        file = tmp_path / f"{ranks}-{variant}.npz"
        threads = "1" if ranks else "2"
        done = python(PROGRAM, str(file), variant, ranks=ranks, timeout=400, env={"OMP_NUM_THREADS": threads})
        assert done.returncode == 0, done.stderr
        with np.load(file) as saved:
            return dict(saved)

    alone = models(0)
    assert len(alone) > 100
    for ranks in (2, 3, 4, 7):
        together = models(ranks)
        assert together.keys() == alone.keys()
        assert_same(alone, together, f"on {ranks} ranks")
    for variant, ranks in (
        ("peer-to-peer", 3),
        ("neighbor-collective", 4),
        ("hosts", 4),
    ):
        together = models(ranks, variant)
        assert len(together) > 50
        assert_same({name: alone[name] for name in together}, together, f"on {ranks} ranks, {variant}")


@pytest.mark.timeout(900)
def test_cases_do_not_depend_on_the_number_of_ranks_nor_on_transport_and_placement(python: Run, tmp_path: Path) -> None:
    def models(ranks: int, transport: str = "auto", placement: str = "contiguous") -> Models:
        file = tmp_path / f"{ranks}.npz"
        done = python(CASES, str(file), transport, placement, ranks=ranks, timeout=600)
        assert done.returncode == 0, done.stderr
        with np.load(file) as saved:
            return dict(saved)

    alone = models(0)
    assert len(alone) > 1000
    for ranks, *how in ((2,), (3, "peer-to-peer", "spectral"), (4,)):
        together = models(ranks, *how)
        assert together.keys() == alone.keys()
        assert_same(alone, together, f"on {ranks} ranks")


def assert_same(alone: Models, together: Models, where: str) -> None:
    different = [name for name in alone if not np.array_equal(alone[name], together[name])]
    assert not different, f"{len(different)} of {len(alone)} differ {where}: {different[:3]}"
    assert all(np.isfinite(model).all() for model in together.values())
