"""An oracle that a workload cannot give is refused on every rank, in one line."""

from __future__ import annotations

import pytest

from tests.conftest import Run

TRAIN = "-m gossip.train --algorithm DecentralizedSGD --steps 2 --nodes 4 --output null --quiet".split()


@pytest.mark.parametrize(
    ("options", "says", "ranks"),
    [
        ("--workload AdversarialPerturbation --oracle Svrg", "Svrg needs gradients, and ShardedAdversarial", 3),
        ("--workload Digits --oracle Saga --oracle.sampling importance", "Saga: importance sampling needs", 0),
        (
            "--workload LogisticRegression --workload.split Dirichlet --workload.split.alpha 1 "
            "--oracle Svrg --oracle.batch 100",
            "Svrg: batch = 100 is not allowed; it must be at most 31, the number of examples of node 1",
            4,
        ),
    ],
)
def test_refused_on_every_rank(python: Run, options: str, says: str, ranks: int) -> None:
    """In the last case it is on rank 1 alone that there are too few examples."""
    done = python(*TRAIN, *options.split(), ranks=ranks)
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1 and says in done.stderr
