"""All ranks come to know the same at the same steps, however far apart they are, at next to no cost."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from gossip.checkpoint import agreement
from gossip.checkpoint.agreement import Agreement
from gossip.network import Communicator

RANKS, STEPS = 5, 3000


class Meeting:
    """What the ranks, each a thread here, have posted so far."""

    def __init__(self) -> None:
        self.posted: defaultdict[int, list[Sequence[float]]] = defaultdict(list)
        self.changed = threading.Condition()


class Threads(Communicator):
    """A rank that is a thread."""

    size = RANKS

    def __init__(self, rank: int, meeting: Meeting) -> None:
        self.rank = rank
        self.calls = 0
        self._meeting = meeting

    def post_maximum(self, values: Sequence[float]) -> Callable[[], list[float]]:
        call, meeting = self.calls, self._meeting
        self.calls += 1
        with meeting.changed:
            meeting.posted[call].append(values)
            meeting.changed.notify_all()

        def wait() -> list[float]:
            with meeting.changed:
                assert meeting.changed.wait_for(lambda: len(meeting.posted[call]) == RANKS, timeout=60)
                return np.max(meeting.posted[call], axis=0).tolist()

        return wait


def test_ranks_that_drift_apart_act_at_the_same_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agreement, "INTERVAL", 0.002)
    meeting, seen, failed = Meeting(), defaultdict(list), []

    def train(rank: int) -> None:
        told = [0]
        random = np.random.default_rng(rank)
        try:
            agreed = Agreement(Threads(rank, meeting), 0, lambda: told)
            for step in range(STEPS):
                known = agreed.at(step)
                if known is not None:
                    seen[rank].append((step, known[0]))
                if rank == 3 and step == 700:
                    told[0] = 15
                if random.random() < 0.01:
                    time.sleep(0.001)
            agreed.close()
        except BaseException as error:
            failed.append(error)
            raise

    threads = [threading.Thread(target=train, args=(rank,)) for rank in range(RANKS)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert not failed
    assert all(seen[rank] == seen[0] for rank in range(RANKS))
    assert any(known == 15 for _, known in seen[0])
    assert all(known == 0 for step, known in seen[0] if step <= 700)


def test_so_few_looks_that_they_cost_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(agreement.time, "monotonic", lambda: now[0])
    told, looks = [0], []
    agreed = Agreement(Communicator(), 0, lambda: told)
    for step in range(200_000):
        if agreed.at(step) is not None:
            looks.append((now[0], step))
        now[0] += 1e-5 if step < 100_000 else 1e-2  # a step becomes a thousand times as long
    times, steps = np.array(looks).T
    fast, slow = np.diff(times[steps < 100_000]), np.diff(times[steps > 160_000])
    assert fast[8:] == pytest.approx(agreement.INTERVAL, rel=0.01)
    assert slow == pytest.approx(agreement.INTERVAL, rel=0.05)


def test_a_long_step_is_followed_by_a_look() -> None:
    agreed = Agreement(Communicator(), 10, lambda: [1])
    assert agreed.at(10) is None
    assert agreed.at(11) == [1]
