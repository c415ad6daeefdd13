"""Worker processes as a launcher: how many there are, who gets which job, and what becomes of one that dies.

The workers are threads here, which answer over the same lines; that real processes do so is tested in tests/cli.
"""

import os
import threading
from multiprocessing import Pipe
from types import SimpleNamespace

import pytest
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import OmegaConf

from runner.errors import Interrupted, UserError, WorkerDied
from runner.sweep.plugin import workers as module
from runner.sweep.plugin.launchers import launcher
from runner.sweep.plugin.workers import Worker, WorkersLauncher, _environment, _picklable


class Thread:
    """What the launcher sees of a process. At the word `die` it does so; any other word it returns with its number."""

    def __init__(self, number, line):
        self.number, self.line, self.exitcode = number, line, None
        self.sentinel, self.living = Pipe(duplex=False)
        self.calls = []
        self.thread = threading.Thread(target=self.work, daemon=True)
        self.thread.start()

    def work(self):
        while (job := self.line.recv()) is not None:
            index, overrides = job
            if overrides == ["die"]:
                self.exitcode = -9
                break
            returned = JobReturn(overrides=overrides, status=JobStatus.COMPLETED)
            returned.return_value = (index, *overrides)
            self.line.send(returned)
        self.line.close()
        self.living.close()

    def join(self, seconds=None):
        self.calls.append("join")
        self.thread.join(seconds)

    def is_alive(self):
        return self.thread.is_alive()

    def terminate(self):
        self.calls.append("terminate")

    def kill(self):
        self.calls.append("kill")


@pytest.fixture
def launch(monkeypatch):
    """`launch(num_workers, jobs, first=0)` gives what the jobs returned; `launch.started` lists the workers."""
    made = {}

    def begun(self, number):
        ours, theirs = Pipe()
        worker = Worker(number, Thread(number, theirs), ours)
        run.started.append(worker)
        return worker

    def run(num_workers, jobs, first=0):
        found = made.setdefault(num_workers, WorkersLauncher(num_workers))
        return [job._return_value for job in found.launch([[word] for word in jobs], first)]

    monkeypatch.setattr(WorkersLauncher, "_start", begun)
    monkeypatch.setattr(WorkersLauncher, "_announce", lambda *_: None)  # there is no config here
    run.started, run.launchers = [], made
    yield run
    for found in made.values():
        found.close()


@pytest.mark.parametrize(("num_workers", "num_jobs", "wanted"), [(1, 3, 1), (2, 5, 2), (3, 3, 3), (3, 2, 2), (4, 1, 1)])
def test_there_are_no_more_workers_than_asked_for_nor_than_jobs(launch, num_workers, num_jobs, wanted):
    words = [f"job{number}" for number in range(num_jobs)]
    assert launch(num_workers, words) == list(enumerate(words))
    assert [worker.number for worker in launch.started] == list(range(wanted))


def test_workers_stay_for_the_next_jobs_whose_numbers_go_on(launch):
    launch(2, ["a"])
    assert len(launch.started) == 1
    assert launch(2, ["b", "c", "d"], first=1) == [(1, "b"), (2, "c"), (3, "d")]
    assert [worker.number for worker in launch.started] == [0, 1]


def test_a_job_whose_worker_died_comes_back_as_that_and_another_takes_the_place(launch):
    (died, *others) = launch(1, ["die", "a", "b"])
    assert isinstance(died, WorkerDied)
    assert str(died) == "the worker process died (SIGKILL)"
    assert others == [(1, "a"), (2, "b")]
    assert [worker.number for worker in launch.started] == [0, 0]


def test_of_two_workers_the_one_that_died_is_replaced_under_its_number(launch):
    launch(2, ["a", "b"])
    second = launch.launchers[2].workers[1]
    second.line.send(None)  # it ends between the jobs
    second.process.join()
    found = launch(2, ["c", "d", "e", "f"])
    assert sum(isinstance(value, WorkerDied) for value in found) == 1
    assert [worker.number for worker in launch.started] == [0, 1, 1]


def test_closing_ends_all_workers(launch):
    launch(3, ["a", "b", "c"])
    launch.launchers[3].close()
    assert launch.launchers[3].workers == []
    assert not any(worker.process.is_alive() for worker in launch.started)
    assert all(worker.line.closed for worker in launch.started)
    assert {call for worker in launch.started for call in worker.process.calls} == {"join"}


def test_an_interruption_asks_those_at_work_to_save_and_lets_all_go(launch, monkeypatch):
    class Stopped:
        requested = 2

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

    launch(2, ["a", "b"])
    monkeypatch.setattr(module, "Stop", Stopped)
    monkeypatch.setattr(module.connections, "wait", lambda lines, timeout: [])  # nobody is done yet
    with pytest.raises(Interrupted) as raised:
        launch(2, ["c"])
    assert raised.value.signal_number == 2
    assert [worker.process.calls[0] for worker in launch.started] == ["terminate", "join"]
    assert launch.launchers[2].workers == []


def test_a_worker_that_does_not_end_is_killed():
    ours, theirs = Pipe()
    calls = []
    process = SimpleNamespace(
        join=lambda seconds: calls.append(("join", seconds)), is_alive=lambda: True, kill=lambda: calls.append("kill")
    )
    made = WorkersLauncher(1)
    made.workers = [Worker(0, process, ours)]
    made.close()
    assert calls == [("join", 60.0), "kill"]
    theirs.close()


def test_the_environment_of_a_worker_is_set_for_the_time_being_and_what_was_set_stays(monkeypatch):
    monkeypatch.delenv("RUNNER_TEST_ONE", raising=False)
    monkeypatch.setenv("RUNNER_TEST_TWO", "mine")
    with _environment(RUNNER_TEST_ONE="1", RUNNER_TEST_TWO="1"):
        assert (os.environ["RUNNER_TEST_ONE"], os.environ["RUNNER_TEST_TWO"]) == ("1", "mine")
    assert "RUNNER_TEST_ONE" not in os.environ
    assert os.environ["RUNNER_TEST_TWO"] == "mine"


class Unpicklable(Exception):
    def __reduce__(self):
        raise TypeError("no")


def test_what_cannot_cross_the_line_crosses_it_as_its_text():
    returned = JobReturn(["a=1"], OmegaConf.create({"a": 1}), None, "here", "task", JobStatus.FAILED)
    returned.return_value = Unpicklable("mine")
    plain = _picklable(returned)
    assert isinstance(plain._return_value, RuntimeError)
    assert str(plain._return_value) == "Unpicklable: mine"
    assert (plain.overrides, plain.cfg, plain.hydra_cfg) == (["a=1"], {"a": 1}, None)
    assert (plain.working_dir, plain.task_name, plain.status) == ("here", "task", JobStatus.FAILED)


def test_what_can_cross_the_line_stays_as_it_is():
    returned = JobReturn(["a=1"], None, None, None, None, JobStatus.COMPLETED)
    returned.return_value = 0.5
    assert (_picklable(returned).return_value, _picklable(returned).cfg) == (0.5, None)


def test_workers_and_a_launcher_with_workers_of_its_own_exclude_each_other():
    whole = OmegaConf.create({"hydra": {"launcher": {"_target_": "hydra_plugins.joblib.JoblibLauncher"}}})
    with (
        pytest.raises(UserError, match=r"^sweep\.num_workers: hydra/launcher brings workers of its own"),
        launcher(None, None, whole, num_workers=2),
    ):
        pass
