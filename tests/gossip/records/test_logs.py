"""Each rank has a log of its own, and nothing of that outlasts a run."""

from __future__ import annotations

import logging
import sys
import warnings
from pathlib import Path

import pytest

from gossip.errors import DivergedError
from gossip.processes.communicator import Communicator
from gossip.records.logs import log, logs
from tests.conftest import no_larger_files_than


class Rank(Communicator):
    """One of several ranks, the others of which have nothing to say."""

    size = 3

    def __init__(self, rank: int) -> None:
        self.rank = rank


def text_of(directory: Path, rank: int) -> str:
    return (directory / "logs" / f"rank{rank}.log").read_text()


def test_what_is_logged_warned_of_and_printed_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        with logs(tmp_path, Rank(1)):
            log.info("said by this package")
            logging.getLogger("another_package").warning("said by another")
            warnings.warn("something is odd", stacklevel=1)
            print("first\nsecond")
    text = text_of(tmp_path, 1)
    for said in ("said by this package", "said by another", "UserWarning: something is odd", "INFO: first", "second"):
        assert said in text
    assert not seen and capsys.readouterr().out == ""  # the first rank speaks


def test_the_first_rank_prints_and_warns_as_ever(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.warns(UserWarning, match="something is odd") as seen, logs(tmp_path, Communicator()):
        print("seen")
        warnings.warn("something is odd", stacklevel=1)
    assert len(seen) == 1
    assert capsys.readouterr().out == "seen\n"
    assert "something is odd" in text_of(tmp_path, 0)


def test_errors_are_in_the_log(tmp_path: Path) -> None:
    with pytest.raises(DivergedError), logs(tmp_path, Communicator()):
        raise DivergedError("the run diverged")
    with pytest.raises(KeyError), logs(tmp_path, Communicator()):
        raise KeyError("deliberate")
    text = text_of(tmp_path, 0)
    assert "ERROR: the run diverged" in text
    assert "Traceback" in text and "KeyError: 'deliberate'" in text


@pytest.mark.parametrize("error", [None, DivergedError("diverged"), KeyError("deliberate")])
def test_the_process_is_left_as_it_was(error: Exception | None, tmp_path: Path) -> None:
    def globals_() -> tuple[object, ...]:
        return warnings.showwarning, sys.stdout, log.level, list(logging.getLogger().handlers)

    before = globals_()
    try:
        with logs(tmp_path, Rank(0)):
            if error is not None:
                raise error
    except (DivergedError, KeyError):
        pass
    assert globals_() == before


def test_without_a_directory_nothing_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with logs(None, Rank(1)):
        log.info("nobody keeps this")
    assert not list(tmp_path.iterdir())


def test_a_log_that_cannot_be_made_is_said_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    with logs(tmp_path / "file", Communicator()):
        log.info("into nothing")
    errors = capsys.readouterr().err
    assert errors == f"gossip: warning: cannot write {tmp_path}/file/logs (Not a directory); the run goes on\n"


def test_a_log_that_can_no_longer_be_written_is_said_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with no_larger_files_than(1000), logs(tmp_path, Communicator()):
        for _ in range(100):
            log.info("a line of some length")
    errors = capsys.readouterr().err
    assert errors == f"gossip: warning: cannot write {tmp_path}/logs (File too large); the run goes on\n"
    assert text_of(tmp_path, 0).count("a line of some length") > 5
