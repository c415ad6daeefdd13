"""Watching that keeps to its share of the time."""

import pytest

from runner.throttle import Throttle


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("runner.throttle.time.monotonic", lambda: now[0])
    return now


def test_the_first_is_due_and_the_next_when_its_share_allows(clock):
    sparing = Throttle(share=0.1)
    assert sparing.due
    with sparing.done():
        clock[0] += 2
    clock[0] += 19.9
    assert not sparing.due
    clock[0] += 0.2
    assert sparing.due


def test_a_first_time_that_takes_long_waits_until_its_share_allows(clock):
    sparing = Throttle(share=0.1, first=3)
    clock[0] += 29
    assert not sparing.due
    clock[0] += 2
    assert sparing.due


def test_not_more_often_than_the_seconds_say(clock):
    sparing = Throttle(share=0.5, seconds=10)
    with sparing.done():
        clock[0] += 1
    clock[0] += 8.9
    assert not sparing.due
    clock[0] += 0.2
    assert sparing.due


def test_what_is_queued_is_not_due_until_it_was_done_even_if_it_failed(clock):
    sparing = Throttle(share=0.1)
    sparing.queued()
    clock[0] += 1e6
    assert not sparing.due
    with pytest.raises(ValueError, match="broken"), sparing.done():
        raise ValueError("broken")
    clock[0] += 1
    assert sparing.due
