"""When ranks have parted, from the calls that each has begun, and what is said of it."""

from __future__ import annotations

from gossip.processes.calls import AVERAGE, OPTIMIZER, SAME, STEP, Calls
from gossip.processes.words import crossed, parted


def after(steps: int, *further: str, of: int = 1) -> Calls:
    calls = Calls()
    calls.begin(OPTIMIZER)
    for name in [STEP] * steps + list(further):
        calls.begin(name, of)
    return calls


def test_who_is_ahead() -> None:
    assert after(3).ahead_of(after(2))
    assert not after(2).ahead_of(after(2))
    averaging, stepping = after(2, AVERAGE), after(3)
    assert averaging.ahead_of(stepping)
    assert stepping.ahead_of(averaging)


def test_a_rank_that_leaves_a_join_lacks_those_who_follow() -> None:
    leaves, follows = after(3), after(3)
    follows.joining = follows.follows = True
    assert not leaves.lacks(follows)  # it has heard of that late, and has come to the end of the join
    leaves.joining = True
    assert leaves.lacks(follows)


def test_words() -> None:
    said = parted({0: after(2), 1: after(2), 3: after(1)}, {2: after(3), 4: after(3)}, 5)
    assert said.startswith(
        "ranks 0-1 of 5 have left after 2 steps and rank 3 has left after 1 step while ranks 2, 4 wait in step 3; "
    )
    assert crossed({1: after(2).doing, 0: after(2, AVERAGE).doing}) == (
        f"rank 0 waits in average() after 2 steps while rank 1 waits in step 2: {SAME}"
    )
    two = after(2)
    two.begin(STEP, 2)
    assert two.done == "2 steps of optimizer 1 and 1 step of optimizer 2"
    assert two.doing == "step 1 of optimizer 2"
