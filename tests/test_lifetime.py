"""When a process that works for another one ends."""

import socket
import subprocess
import sys
import threading
import time

import psutil
import pytest

from runner import lifetime


@pytest.fixture
def ended(monkeypatch):
    """Exit statuses that this process would have ended with."""
    statuses = []
    monkeypatch.setattr(lifetime.os, "_exit", statuses.append)
    monkeypatch.setattr(lifetime, "CHECK_SECONDS", 0.01)
    return statuses


@pytest.mark.timeout(30)
def test_a_process_that_nobody_has_waited_for_has_ended(ended):
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        started = psutil.Process(process.pid).create_time()
        watch = threading.Thread(target=lifetime._end_after, args=(process.pid, started), daemon=True)
        watch.start()
        watch.join(0.2)
        assert (watch.is_alive(), ended) == (True, [])
        process.stdin.close()
        watch.join(20)
        assert ended == [1]


def test_a_process_that_is_no_more_and_another_under_its_number_have_ended(ended):
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    lifetime._end_after(process.pid, 0.0)
    lifetime._end_after(psutil.Process().ppid(), 0.0)
    assert ended == [1, 1]


@pytest.mark.timeout(30)
def test_this_process_ends_with_another_on_its_machine_and_watches_it_once(ended, monkeypatch):
    watches = []
    watch = lifetime._end_after
    monkeypatch.setattr(lifetime, "_end_after", lambda *about: (watch(*about), watches.append(about)))
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        other = {"host": socket.gethostname(), "pid": process.pid, "started": psutil.Process(process.pid).create_time()}
        for about in ({**other, "host": "elsewhere"}, lifetime.this_process(), other, other):
            lifetime.end_with(about)
        process.stdin.close()
        while not watches:
            time.sleep(0.01)
        assert (ended, watches) == ([1], [(other["pid"], other["started"])])
