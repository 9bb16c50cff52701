"""Signals are remembered while a run looks after them, and are what they were otherwise."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from gossip.processes.signals import Signals

BOTH = [signal.SIGTERM, signal.SIGUSR1]


def handlers() -> list[object]:
    return [signal.getsignal(each) for each in BOTH]


@pytest.mark.parametrize("number", BOTH)
def test_a_signal_is_remembered_and_ends_nothing(number: signal.Signals) -> None:
    before = handlers()
    with Signals() as signals:
        assert signals.received is None
        os.kill(os.getpid(), number)
        assert signals.received is number
    assert handlers() == before


def test_the_last_one_counts() -> None:
    with Signals() as signals:
        for each in BOTH:
            os.kill(os.getpid(), each)
        assert signals.received is BOTH[-1]


def test_a_run_that_does_not_stop_lets_them_do_what_they_did() -> None:
    heard: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda number, frame: heard.append(number))
    try:
        with Signals() as signals:
            os.kill(os.getpid(), signal.SIGUSR1)
            assert heard == []
            signals.ignore()  # also what has come already
            assert heard == [signal.SIGUSR1]
            os.kill(os.getpid(), signal.SIGUSR1)
            assert heard == [signal.SIGUSR1] * 2
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_an_error_sets_them_back_too() -> None:
    before = handlers()
    with pytest.raises(KeyError), Signals():
        raise KeyError
    assert handlers() == before


def test_other_threads_cannot_and_need_not_watch() -> None:
    before, failed = handlers(), []

    def watch() -> None:
        try:
            with Signals() as signals:
                assert signals.received is None
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=watch)
    thread.start()
    thread.join()
    assert not failed
    assert handlers() == before
