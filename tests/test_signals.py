"""Signals as requests."""

import os
import signal

import pytest

from runner.signals import Stop, ignore


@pytest.fixture(autouse=True)
def _handlers_as_they_were():
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_the_first_signal_is_a_request_and_the_second_ends_at_once():
    with Stop() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.requested == signal.SIGTERM
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)


def test_a_signal_that_is_ignored_stays_ignored(monkeypatch):
    # A worker: Ctrl-C reaches all processes of the terminal, and the launcher then asks each worker to end.
    monkeypatch.setattr("runner.signals._ignored", set())
    ignore(signal.SIGINT)
    with Stop() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.requested is None
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.requested == signal.SIGTERM
    assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
