"""What ranks hold together they let go of together, and who reports an error that all raise."""

from __future__ import annotations

import sys

import pytest

from gossip.errors import DivergedError
from gossip.processes.communicator import Communicator
from gossip.processes.ending import closed_on_error, closed_together, speaking_once


class OneOfTwo(Communicator):
    """One of two ranks."""

    size = 2

    def __init__(self, rank: int = 0) -> None:
        self.rank = rank


@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.parametrize("context", [closed_together, closed_on_error])
@pytest.mark.parametrize("error", [None, DivergedError("diverged"), KeyError("deliberate")])
def test_who_lets_go(size: int, context: type, error: Exception | None) -> None:
    """After an error that only this rank may have, the others do not take part: then nothing collective is called."""
    processes, closed = (Communicator() if size == 1 else OneOfTwo()), []
    try:
        with context(processes, lambda: closed.append(True)):
            if error is not None:
                raise error
    except (DivergedError, KeyError) as raised:
        assert raised is error
    expected = {
        type(None): context is closed_together,
        DivergedError: True,
        KeyError: size == 1,
    }
    assert closed == [True] * expected[type(error)]


def test_the_hook_for_errors_is_set_back() -> None:
    before = sys.excepthook
    with speaking_once(OneOfTwo()):
        assert sys.excepthook is not before
    assert sys.excepthook is before
    with pytest.raises(KeyError), speaking_once(OneOfTwo()):
        raise KeyError
    assert sys.excepthook is before
    with speaking_once(Communicator()):
        assert sys.excepthook is before  # in a single process Python's own report is right


@pytest.mark.parametrize("rank", [0, 1])
def test_an_error_that_all_raise_is_reported_by_the_first_in_one_line(
    rank: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)  # so that it is set back after the test
    error = DivergedError("the run diverged")
    with pytest.raises(DivergedError), speaking_once(OneOfTwo(rank)):
        raise error
    with pytest.raises(SystemExit) as left:
        sys.excepthook(DivergedError, error, None)  # as Python does at the end of the script
    assert left.value.code == 4
    assert capsys.readouterr().err == ("gossip: error: the run diverged\n" if rank == 0 else "")
