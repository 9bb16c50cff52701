"""The project's strongest test: the same run is bit for bit the same on any number of ranks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.conftest import REPOSITORY, Run

PROGRAM = str(REPOSITORY / "tests/mpi/programs/trajectories.py")


@pytest.mark.timeout(600)
def test_final_models_do_not_depend_on_the_number_of_ranks(python: Run, tmp_path: Path) -> None:
    def models(ranks: int) -> dict[str, np.ndarray]:
        file = tmp_path / f"{ranks}.npz"
        done = python(PROGRAM, str(file), ranks=ranks, timeout=400, env={"OMP_NUM_THREADS": "1" if ranks else "2"})
        assert done.returncode == 0, done.stderr
        with np.load(file) as saved:
            return dict(saved)

    alone = models(0)
    assert len(alone) > 100
    for ranks in (2, 3, 4, 7):
        together = models(ranks)
        assert together.keys() == alone.keys()
        different = [name for name in alone if not np.array_equal(alone[name], together[name])]
        assert not different, f"{len(different)} of {len(alone)} differ on {ranks} ranks: {different[:3]}"
        assert all(np.isfinite(model).all() for model in together.values())
