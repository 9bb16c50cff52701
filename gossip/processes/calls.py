"""Which of the calls that all ranks make together this rank has made: by that ranks see that they have parted."""

from __future__ import annotations

from collections import Counter

STEP, AVERAGE, CLOSE, STOPPING = "step", "average", "close", "stopping"
SAVE, LOAD, LOAD_STATE = "save", "load", "load_state_dict"
RUN, OPTIMIZER = "gossip.run", "gossip.Optimizer"

SAME = "every rank must make the same calls in the same order"
JOIN = "`with optimizer.join():` lets ranks with fewer batches take part in the steps of the others"

Call = tuple[str, int]  # its name, and the number of the optimizer whose call it is, from 1 on


class Calls:
    """Counts them.

    Attributes:
        counts: How many of each have been begun.
        last: The last one.
        joining: Whether this rank goes along with others who have more batches, or will, so that it may not leave.
        follows: Whether it does by now.
    """

    def __init__(self) -> None:
        self.counts: Counter[Call] = Counter()
        self.last: Call | None = None
        self.joining = self.follows = False

    def begin(self, name: str, of: int = 1) -> int:
        """This rank begins a call, of the optimizer of this number; gives how many it has begun of this kind."""
        self.last = name, of
        self.counts[self.last] += 1
        return self.counts[self.last]

    def copy(self) -> Calls:
        """As they are now."""
        same = Calls()
        vars(same).update(vars(self) | {"counts": self.counts.copy()})
        return same

    def ahead_of(self, other: Calls) -> bool:
        """Whether this rank has begun a call that the other has not come to."""
        return any(count > other.counts[call] for call, count in self.counts.items())

    def lacks(self, other: Calls) -> bool:
        """Whether another rank, if it waits for this one, will wait for ever if this one leaves now."""
        return other.ahead_of(self) or (other.follows and self.joining)

    @property
    def done(self) -> str:
        """What lies behind this rank, in words, such as "6 steps"."""
        steps = {of: count for (name, of), count in self.counts.items() if name == STEP}
        if steps:
            several = len(steps) > 1
            return " and ".join(f"{_so_many(count, STEP)}{_of(of, several)}" for of, count in sorted(steps.items()))
        return _so_many(self.counts[RUN, 1], "run") if self.counts[RUN, 1] else "no step"

    @property
    def doing(self) -> str:
        """Where this rank is, in words, such as "step 7" or "average after 6 steps"; "" if nowhere."""
        if self.last is None:
            return ""
        if self.follows:
            return f"join() after {self.done}"
        name, of = self.last
        if name == STEP:
            return f"step {self.counts[self.last]}{_of(of, of > 1)}"
        if name in (RUN, OPTIMIZER):
            return f"call {self.counts[self.last]} of {name}"
        return f"{name}{'' if name == STOPPING else '()'}{_of(of, of > 1)} after {self.done}"

    @property
    def advice(self) -> str:
        """How to mend it where others do not come to this rank's last call."""
        stepping = self.last is not None and self.last[0] == STEP and not self.joining
        return f"{SAME}, and {JOIN}" if stepping else SAME


def _so_many(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _of(number: int, told: bool) -> str:
    return f" of optimizer {number}" if told else ""
