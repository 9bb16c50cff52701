"""Jobs whose ranks part ways end soon, in one line that says who has left whom where; others do not end."""

from __future__ import annotations

import re
import time

import pytest

from tests.conftest import REPOSITORY, Run

PROGRAM = str(REPOSITORY / "tests/mpi/programs/parting.py")
SAME = "every rank must make the same calls in the same order"
JOIN = f"{SAME}, and `with optimizer.join():` lets ranks with fewer batches take part in the steps of the others"


@pytest.mark.parametrize(
    ("way", "code", "says"),
    [
        ("uneven", 1, f"rank 0 of 2 has left after 4 steps while rank 1 waits in step 5; {JOIN}"),
        ("leaving", 3, f"rank 1 of 2 has left after 3 steps while rank 0 waits in step 4; {JOIN}"),
        ("leaving_a_join", 1, f"rank 1 of 2 has left after 2 steps while rank 0 waits in join() after 2 steps; {SAME}"),
        (
            "average_on_one",
            1,
            f"rank 1 of 2 has left after 2 steps while rank 0 waits in average() after 2 steps; {SAME}",
        ),
        ("another_run", 1, f"rank 0 of 2 has left after 1 run while rank 1 waits in call 2 of gossip.run; {SAME}"),
        ("crossed", 1, f"rank 0 waits in average() after 2 steps while rank 1 waits in step 3: {SAME}"),
    ],
)
def test_ranks_that_part_ways_end_the_job(python: Run, way: str, code: int, says: str) -> None:
    began = time.monotonic()
    done = python("-W", "error", PROGRAM, way, ranks=2)
    assert time.monotonic() - began < 100  # and not the limit of a wait, 600 s
    assert done.returncode == code, done.stderr
    assert [line for line in done.stderr.splitlines() if "rror" in line] == [f"gossip: error: {says}"]


def test_a_rank_that_does_not_come_to_a_step_is_named(python: Run) -> None:
    done = python("-W", "error", PROGRAM, "stopped", ranks=2)
    assert done.returncode == 1
    wait, last = (line for line in done.stderr.splitlines() if line.startswith("gossip: "))
    assert re.match(r"gossip: rank 0 of 2 on \S+ in step 3 waits for rank 1 \(node 1\) since ", wait)
    assert last.startswith(
        "gossip: error: rank 1 of 2 did not answer while rank 0 waited in step 3 for more than 2 s; "
    )


def test_a_rank_may_come_late_to_its_end(python: Run) -> None:
    done = python("-W", "error", PROGRAM, "late", ranks=2)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("done") == 2
    assert not done.stderr
