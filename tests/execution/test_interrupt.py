"""Wishes to stop: signals of a person, a terminal and a scheduler, and a time set beforehand."""

import os
import signal
import time

import pytest

from kdbench.execution.deadline import Deadline
from kdbench.execution.interrupt import StopSignal
from kdbench.inputs.errors import UserError


@pytest.fixture(autouse=True)
def handlers():
    """As a shell starts a process, whatever started the tests; afterwards all as before."""
    before = {number: signal.getsignal(number) for number in StopSignal.SIGNALS}
    for number in StopSignal.SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def send(number):
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", StopSignal.SIGNALS)
def test_each_signal_asks_once_and_gives_the_exit_code(number):
    with StopSignal() as stop:
        assert not stop.requested()
        send(number)
        assert stop.requested() and stop.exit_code == 128 + number
    # The process is about to end: what comes now could only cut off its last words.
    assert signal.getsignal(number) == signal.SIG_IGN


def test_without_a_signal_all_is_as_before():
    with StopSignal() as stop:
        assert not stop.requested()
    assert {signal.getsignal(number) for number in StopSignal.SIGNALS} == {signal.SIG_DFL}


@pytest.mark.parametrize("orders", [(signal.SIGINT, signal.SIGTERM), (signal.SIGTERM, signal.SIGTERM)])
def test_a_second_order_stops_at_once(orders):
    with pytest.raises(KeyboardInterrupt), StopSignal():
        for number in orders:
            send(number)


@pytest.mark.parametrize("first", StopSignal.NOTICES)
def test_notices_may_come_again_and_before_an_order(first):
    with StopSignal() as stop:
        for number in (first, *StopSignal.NOTICES, first, signal.SIGTERM, first):
            send(number)
        assert stop.exit_code == 128 + first
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGTERM)


def test_a_hang_up_that_is_ignored_stays_so_and_a_plugin_s_handler_stays():
    heard = []
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGUSR1, lambda number, frame: heard.append(number))
    with StopSignal() as stop:
        send(signal.SIGHUP)
        send(signal.SIGUSR1)
        assert not stop.requested() and heard == [signal.SIGUSR1]


@pytest.mark.parametrize(
    ("text", "seconds"), [("30s", 30), ("8m", 480), ("2h", 7200), ("1h30m", 5400), ("90", 90), (" 1h0m1s", 3601)]
)
def test_a_time(monkeypatch, text, seconds):
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    deadline = Deadline(text)
    now += seconds - 0.001
    assert not deadline.reached()
    now += 0.002
    assert deadline.reached()


@pytest.mark.parametrize(
    "text",
    ["", "0", "0h0m", "-5m", "1.5h", "8 m", "m", "8m2h", "soon", "1d", "٣m", "8M", "inf", "nan", "9" * 400, "1e3"],
)
def test_what_is_no_time(text):
    with pytest.raises(UserError, match="--for takes a time such as 30s, 8m, 2h, 1h30m or 90"):
        Deadline(text)
