"""What several studies share."""

from __future__ import annotations

import pytest

from gossip.reproduce.problems import final_accuracy


def test_accuracy_at_the_end() -> None:
    assert final_accuracy([{"test_accuracy": 0.1 * i} for i in range(8)]) == pytest.approx(0.6)
    assert final_accuracy([]) == 0.1
