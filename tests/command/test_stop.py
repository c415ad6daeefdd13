"""Stopping the process of a run from elsewhere."""

import os
import signal
import socket
from pathlib import Path
from types import SimpleNamespace

import pytest

from runner.command import stop as module
from runner.errors import UserError


@pytest.fixture
def stop(monkeypatch, tmp_path):
    """`stop(locked=[True, False])`: stop a run that is locked so often; what was sent to which process."""

    def begin(locked, **record):
        sent, asked = [], []
        record = {"host": socket.gethostname(), "process": 77} | record
        entry = SimpleNamespace(path=tmp_path / "a run", status="running", record=record)
        monkeypatch.setattr(module, "entry_at", lambda folder: asked.append(folder) or entry)
        answers = iter(locked)
        monkeypatch.setattr(module, "is_locked", lambda path: next(answers))
        monkeypatch.setattr(os, "kill", lambda *given: sent.append(given))
        begin.sent, begin.asked, begin.path = sent, asked, entry.path
        return module.main(["last"])

    return begin


def test_the_process_is_asked_to_save_and_waited_for(stop, capsys, monkeypatch):
    slept = []
    monkeypatch.setattr(module.time, "sleep", slept.append)
    assert stop([True, True, True, False]) == 0
    assert stop.sent == [(77, signal.SIGTERM)]
    assert stop.asked == [Path("last")]
    assert len(slept) == 2
    assert capsys.readouterr().out == f"stopped; go on with: runner resume '{stop.path}'\n"


def test_a_run_in_which_nobody_works_is_not_stopped(stop):
    with pytest.raises(UserError, match=r"no process works in it \(running\); there is nothing to stop$"):
        stop([False])
    assert stop.sent == []


@pytest.mark.parametrize("record", [{"host": "elsewhere"}, {"process": None}, {"process": "77"}])
def test_a_process_elsewhere_is_not_stopped(stop, record):
    with pytest.raises(UserError, match=r"its process .* is on .*; run this command there$"):
        stop([True], **record)
    assert stop.sent == []


def test_a_process_that_does_not_end_is_told(stop, monkeypatch):
    now = iter([0.0, 119.0, 120.0, 121.0])
    monkeypatch.setattr(module.time, "monotonic", lambda: next(now))
    monkeypatch.setattr(module.time, "sleep", lambda seconds: None)
    with pytest.raises(UserError, match=r"process 77 has not ended yet; look again with runner list$"):
        stop([True] * 5)
