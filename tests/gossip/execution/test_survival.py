"""What survivors go on with; tests/mpi has jobs that lose ranks."""

from __future__ import annotations

from algorithms import Accordion, ErrorFeedbackSGD, StepDecay, Switched
from gossip.execution.survival import later


def test_schedules_go_on_where_they_were_also_of_a_method_within_another() -> None:
    method = ErrorFeedbackSGD(lr=StepDecay(lr=1.0, milestones=(5,), factor=0.1), compressor=Switched())
    for algorithm in (method, Accordion(method)):
        assert [later(algorithm, 3).lr(t) for t in range(4)] == [1.0, 1.0, 0.1, 0.1]
