"""The choice between writing through the caches and past them."""

from __future__ import annotations

import pytest

from gossip.network.sums.streaming import PERIOD, TRIED, Trial


def choices(trial: Trial, through: float, past: float, sums: int) -> list[bool]:
    """Whether each sum was streamed, when a sum takes so many seconds in either way."""
    made = []
    for _ in range(sums):
        made.append(trial.stream)
        trial.took(past if trial.stream else through)
    return made


@pytest.mark.parametrize("streaming_is_faster", [False, True])
def test_the_faster_way_is_used_between_trials(streaming_is_faster: bool) -> None:
    made = choices(Trial(), 1.0, 0.5 if streaming_is_faster else 2.0, 2 * PERIOD)
    for first in (0, PERIOD):
        assert made[first : first + 2 * TRIED] == [False] * TRIED + [True] * TRIED
        assert set(made[first + 2 * TRIED : first + PERIOD]) == {streaming_is_faster}


def test_a_machine_that_changes_is_noticed() -> None:
    trial = Trial()
    assert choices(trial, 1.0, 2.0, PERIOD)[-1] is False
    assert choices(trial, 2.0, 1.0, PERIOD)[-1] is True
    assert choices(trial, 1.0, 2.0, PERIOD)[-1] is False


def test_interruptions_and_the_first_sums_of_a_kind_do_not_count() -> None:
    trial = Trial()
    for i in range(2 * TRIED):
        sooner = i % TRIED < 2  # what the other way had written is read
        trial.took(100.0 if i == TRIED + 3 else 0.1 if sooner and not trial.stream else 0.5 if trial.stream else 1.0)
    assert trial.stream
