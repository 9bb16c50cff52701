"""Signals are remembered while a run looks after them, and are what they were otherwise."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from gossip.processes.signals import AGAIN, WATCHED, Signals
from tests.conftest import Run

ALL = list(WATCHED)


def handlers() -> list[object]:
    return [signal.getsignal(each) for each in ALL]


@pytest.mark.parametrize("number", ALL)
def test_a_signal_is_remembered_and_ends_nothing(number: signal.Signals) -> None:
    before = handlers()
    with Signals() as signals:
        assert signals.received is None
        os.kill(os.getpid(), number)
        assert signals.received is number
    assert handlers() == before


def test_the_last_one_counts() -> None:
    with Signals() as signals:
        for each in ALL:
            os.kill(os.getpid(), each)
        assert signals.received is ALL[-1]


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


def test_who_leaves_hears_nothing_more() -> None:
    before = [signal.signal(each, signal.SIG_DFL) for each in ALL]
    try:
        with Signals(until_exit=True) as signals:
            signals.listen()
            os.kill(os.getpid(), signal.SIGUSR1)
            signals.leave(signal.SIGUSR1)
            for each in ALL:
                os.kill(os.getpid(), each)  # would end it
        assert handlers() == [signal.SIG_IGN] * len(ALL)
        for each in ALL:
            os.kill(os.getpid(), each)
    finally:
        for each, handler in zip(ALL, before, strict=True):
            signal.signal(each, handler)


def test_a_start_that_hangs_can_be_ended() -> None:
    before = handlers()
    with Signals(until_exit=True):
        watched = [each for each, handler in zip(ALL, before, strict=True) if signal.getsignal(each) != handler]
        assert watched == [signal.SIGUSR1]
    for each, handler in zip(ALL, before, strict=True):
        signal.signal(each, handler)


def test_what_nohup_ignores_stays_ignored() -> None:
    before = [signal.signal(each, signal.SIG_IGN) for each in ALL]
    try:
        with Signals() as signals:
            os.kill(os.getpid(), signal.SIGHUP)
            os.kill(os.getpid(), signal.SIGINT)
            assert signals.received is None
            os.kill(os.getpid(), signal.SIGUSR1)  # batch scripts have it ignored until somebody listens
            assert signals.received is signal.SIGUSR1
    finally:
        for each, handler in zip(ALL, before, strict=True):
            signal.signal(each, handler)


def test_a_second_interrupt_ends_the_process(python: Run) -> None:
    program = f"""
import os, signal, time
from gossip.processes.signals import Signals
with Signals() as signals:
    os.kill(os.getpid(), signal.SIGINT)
    os.kill(os.getpid(), signal.SIGINT)  # a terminal and a launcher
    print(signals.received.name, flush=True)
    time.sleep({AGAIN} + 0.1)
    os.kill(os.getpid(), signal.SIGINT)
    print("never")
"""
    done = python("-c", program)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "SIGINT\n", "")
