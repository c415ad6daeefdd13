"""Runs at hand: listed, tagged, noted, stopped and removed."""

import io
import json
import os
import re
import signal
import time
import urllib.request
from pathlib import Path

import psutil
import pytest

from runner.command import board
from runner.store import RunFolder, SweepFolder

SMALL = ["model=linear", "engine.epochs=1", "log.tensorboard=false"]


@pytest.fixture
def two(runner):
    runner("train", *SMALL)
    runner("train", *SMALL, "optimizer=sgd")
    return runner.runs()


def test_the_list_has_runs_and_sweeps_and_a_killed_run_with_the_line_that_resumes_it(runner, two):
    runner("sweep", *SMALL, "optimizer.lr=0.1,0.2", "sweep.rounds=[{trials: 2, epochs: 1}]", "sweep.num_finalists=0")
    record = json.loads((two[1] / "run.json").read_text())
    (two[1] / "run.json").write_text(json.dumps(record | {"status": "running"}))
    lines = runner("list").stdout.splitlines()
    assert lines[0].split() == ["folder", "kind", "status", "best", "started", "MiB", "tags", "and", "note"]
    rows = [line.split()[:3] for line in lines[1:4]]
    assert rows == [
        ["outputs/digits-linear/0001-epochs=1", "run", "finished"],
        ["outputs/digits-linear/0002-sgd-epochs=1", "run", "killed"],
        ["outputs/digits-linear/0003-sweep-lr", "sweep", "finished"],
    ]
    assert "0." in lines[1].split()[3]
    assert lines[4:] == ["killed; go on with: runner resume outputs/digits-linear/0002-sgd-epochs=1"]
    assert len(runner("list", "--status", "killed").stdout.splitlines()) == 3


@pytest.fixture
def at_hand(tmp_path, write_run):
    """Two runs of different optimizers, and a sweep of one trial with events of its own."""
    write_run("outputs/digits/0001")
    write_run("outputs/digits/0002", **{"optimizer.momentum": 0.9})
    (tmp_path / "outputs/digits/0003-sweep").mkdir()
    sweep = SweepFolder.create(tmp_path / "outputs/digits/0003-sweep", "digits", ["sweep=lr"], 0, {})
    sweep.update(status="finished")
    sweep.unlock()
    (sweep.path / "events.out.tfevents.1.sweep").write_bytes(b"")
    write_run("outputs/digits/0003-sweep/trials/0000")
    return tmp_path / "outputs/digits"


def test_numbers_of_the_list_stand_right_below_each_other_and_words_left(runner, at_hand):
    header, *rows = runner("list").stdout.splitlines()
    end, kind = header.index(" best ") + len(" best"), header.index("kind")
    assert sorted(row[:end].split()[-1] for row in rows) == ["-", "0.9000", "0.9000"]
    assert all(row[end - 1] != " " and row[end : end + 1].strip() == "" for row in rows)
    assert sorted(row[kind:].split()[0] for row in rows) == ["run", "run", "sweep"]
    assert all(row[kind - 1].isspace() and not row[kind].isspace() for row in rows)


def test_a_run_that_trains_is_running(runner, two):
    folder = RunFolder.open(two[0])
    folder.lock()
    folder.update(status="running")
    assert runner("list", two[0]).stdout.splitlines()[1].split()[2] == "running"
    folder.unlock()
    assert runner("list", two[0]).stdout.splitlines()[1].split()[2] == "killed"


def test_tags_and_notes_are_listed_and_filter(runner, two):
    assert runner("tag", "sgd", "baseline", "to-keep").stdout.endswith("0002-sgd-epochs=1: baseline to-keep\n")
    runner("note", "2", "too", "slow")
    assert "#baseline #to-keep too slow" in runner("list", "--tag", "baseline").stdout
    assert len(runner("list", "--tag", "baseline").stdout.splitlines()) == 2
    assert "1 run in 1 row" in runner("compare", "--where", "tags=baseline to-keep").stdout
    assert "2 runs in 2 rows" in runner("compare").stdout, "a tag makes no row of its own"
    assert runner("tag", "last", "baseline", "--remove").stdout.endswith(": to-keep\n")
    assert runner("note", "2", "").stdout.endswith(": no note\n")


def test_removing_asks_and_takes_what_the_filter_finds(runner, two, monkeypatch):
    (two[0] / "large").write_bytes(bytes(5 * 2**20))
    mib = sum(path.lstat().st_size for path in two[0].rglob("*") if path.is_file()) / 2**20
    questions, answer = [], ["n"]
    monkeypatch.setattr("builtins.input", lambda question: questions.append(question) or answer[-1])
    assert "nothing removed" in runner("remove", two[0]).stdout
    assert questions == [f"remove 1 run ({mib:.1f} MiB)? [y/N] "]
    assert two[0].exists()
    answer.append("y")
    runner("remove", "outputs", "--where", "optimizer=sgd")
    assert [path.exists() for path in two] == [True, False]


def test_removing_checkpoints_keeps_the_rest_and_what_is_not_ours(runner, two):
    mine = two[0] / "checkpoints/mine.pt"
    mine.write_bytes(b"mine")
    runner("remove", two[0], "--checkpoints", "--yes")
    assert [path.name for path in (two[0] / "checkpoints").iterdir()] == ["mine.pt"]
    assert (two[0] / "run.json").exists()
    assert "no checkpoint" in runner("test", two[0], status=2).stderr


def test_a_folder_that_trains_is_not_removed_and_one_that_does_not_is_not_stopped(runner, two):
    folder = RunFolder.open(two[0])
    folder.lock()
    assert "a process works in it; stop it first" in runner("remove", two[0], "--yes", status=2).stderr
    folder.unlock()
    assert "no process works in it (finished)" in runner("stop", two[0], status=2).stderr


@pytest.mark.slow
def test_a_stopped_run_has_saved_and_goes_on(process):
    running = process.start("train", "model=linear", "engine.epochs=100000", "log.tensorboard=false")
    while not any((path / "checkpoints/last.pt").exists() for path in process.runs()):
        assert running.poll() is None
        time.sleep(0.05)
    assert "stopped; go on with: runner resume outputs/digits-linear/0001-" in process("stop", "last").stdout
    running.communicate(timeout=60)
    assert running.returncode == 143
    assert json.loads((process.runs()[0] / "run.json").read_text())["status"] == "interrupted"


@pytest.mark.parametrize("command", ["tag", "note", "stop", "remove"])
def test_a_folder_that_is_no_run_is_refused_in_one_line(runner, command):
    words = ["x"] if command in ("tag", "note") else []
    done = runner(command, ".", *words, status=2)
    assert done.stderr.count("\n") == 1
    assert "no run and no sweep" in done.stderr


class Server:
    """Stands for TensorBoard: says these lines, and keeps the folders that it was given to serve."""

    pid = 12345

    def __init__(self, said, interrupted=False):
        self.said, self.interrupted, self.ended = said, interrupted, []

    def __call__(self, command, **options):
        self.command = command
        tree = Path(command[command.index("--logdir") + 1])
        found = [path for path in tree.rglob("*") if path.is_symlink()]
        self.served = {str(path.relative_to(tree)): path.resolve() for path in found}
        self.stdout = io.BytesIO(self.said)
        return self

    def wait(self):
        if self.interrupted and not self.ended:
            raise KeyboardInterrupt
        return 3

    @classmethod
    def serving(cls, monkeypatch, said, interrupted=False):
        server = cls(said, interrupted)
        monkeypatch.setattr("runner.command.board.subprocess.Popen", server)
        monkeypatch.setattr(os, "killpg", lambda *given: server.ended.append(given))
        return server


UP = b"a warning\nTensorBoard 2.20.0 at http://localhost:6007/ (Press CTRL+C to quit)\nmore\n"


def test_the_board_prints_the_address_it_serves_at_and_ends_with_the_server(runner, at_hand, monkeypatch):
    server = Server.serving(monkeypatch, UP)
    done = runner("board", "--port", "6007", status=3)
    assert done.stdout == "TensorBoard: http://localhost:6007/  (end with Ctrl-C)\n"
    assert server.command[-2:] == ["--port", "6007"]
    assert server.ended == [(server.pid, signal.SIGTERM)]
    assert server.stdout.closed


def test_a_board_of_no_runs_is_refused(runner):
    done = runner("board", "nowhere", status=2)
    assert done.stderr.startswith("runner: nowhere: no runs here; name a run, or a folder that holds runs")


def test_ctrl_c_ends_the_board_well(runner, at_hand, monkeypatch):
    server = Server.serving(monkeypatch, UP, interrupted=True)
    runner("board", status=0)
    assert server.ended == [(server.pid, signal.SIGTERM)]


def test_the_board_has_each_run_under_its_name_and_of_a_sweep_the_events_alone(runner, at_hand, monkeypatch):
    runs = {f"digits/{name}": at_hand / name for name in ("0001", "0002", "0003-sweep")}
    events = "0003-sweep/events.out.tfevents.1.sweep"
    server = Server.serving(monkeypatch, UP)
    runner("board", status=3)
    assert server.served == {**dict(list(runs.items())[:2]), f"digits/{events}": at_hand / events}
    runner("board", "--trials", status=3)
    assert server.served == runs
    runner("board", "outputs", "--where", "optimizer.momentum=0.9", status=3)
    assert server.served == {"digits/0002": at_hand / "0002"}


def test_a_board_that_does_not_start_says_why(runner, at_hand, monkeypatch):
    Server.serving(monkeypatch, b"Traceback\nOSError: port 6007 is taken\n")
    said = runner("board", status=2).stderr
    assert said.count("\n") == 1
    assert "TensorBoard did not start: OSError: port 6007 is taken" in said


def test_a_board_without_runs_is_refused(runner, tmp_path):
    (tmp_path / "outputs").mkdir()
    assert "outputs: no runs here; name a run, or a folder that holds runs" in runner("board", status=2).stderr


@pytest.mark.slow
def test_the_board_goes_on_after_its_terminal_where_that_was_asked_for(monkeypatch):
    server = Server.serving(monkeypatch, UP)
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in signals}
    try:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        assert board._serve("logs", 6007) == 3
        found = [signal.getsignal(number) for number in signals]
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert found == [signal.default_int_handler, signal.default_int_handler, signal.SIG_IGN]
    assert server.ended


def test_the_board_serves_what_is_found_without_the_trials_of_sweeps(process):
    process("train", "model=linear", "engine.epochs=1")
    process("train", "model=linear", "engine.epochs=1", "optimizer=sgd")
    rounds = ["sweep.rounds=[{trials: 2, epochs: 1}]", "sweep.num_finalists=0"]
    process("sweep", "model=linear", "optimizer.lr=0.1,0.2", *rounds)
    names = ["digits-linear/0001-epochs=1", "digits-linear/0002-sgd-epochs=1", "digits-linear/0003-sweep-lr"]
    trials = [f"{names[2]}/trials/{number:04d}" for number in range(2)]
    boards = ([], names), (["--where", "optimizer=sgd"], names[1:2]), (["--trials"], [*names, *trials])
    for (words, expected), number in zip(boards, (signal.SIGINT, signal.SIGTERM, signal.SIGHUP), strict=True):
        server = process.start("board", *words)
        address = re.search(r"http://\S+", server.stdout.readline())[0]
        served = []
        for _ in range(300):
            with urllib.request.urlopen(f"{address}data/runs", timeout=20) as answer:
                served = json.load(answer)
            if len(served) == len(expected):
                break
            time.sleep(0.1)
        assert sorted(served) == expected
        started = psutil.Process(server.pid).children(recursive=True)
        assert started
        server.send_signal(number if signal.getsignal(number) != signal.SIG_IGN else signal.SIGTERM)
        server.communicate(timeout=30)
        assert server.returncode == 0
        _, alive = psutil.wait_procs(started, timeout=10)
        assert not alive
