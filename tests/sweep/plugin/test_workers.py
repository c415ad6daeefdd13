"""Worker processes as a launcher: how many there are, who gets which job, and what becomes of one that dies.

The workers are threads here, which answer over the same lines; that real processes do so is tested in tests/cli.
"""

import gc
import os
import pickle
import signal
import sys
import threading
from multiprocessing import Pipe, forkserver
from types import SimpleNamespace

import pytest
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import OmegaConf

from runner.engine.device import NUM_WORKERS, WORKER
from runner.errors import Interrupted, UserError, WorkerDied
from runner.lifetime import this_process
from runner.sweep.plugin import workers as module
from runner.sweep.plugin.launchers import launcher
from runner.sweep.plugin.workers import (
    Worker,
    WorkersLauncher,
    _environment,
    _no_main_module,
    _packed,
    _picklable,
    _Surroundings,
    _work,
)
from tests.sweep.jobs import returned


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


class Unreadable(Exception):
    def __init__(self, first, second):
        super().__init__(f"{first} and {second}")


def test_an_exception_that_cannot_be_read_crosses_the_line_as_its_text_with_its_notes():
    returned = JobReturn(["a=1"], status=JobStatus.FAILED)
    returned.return_value = Unreadable("one", "two")
    returned._return_value.add_note("where")
    error = pickle.loads(_packed(returned))._return_value
    assert (type(error), str(error), error.__notes__) == (RuntimeError, "Unreadable: one and two", ["where"])


def test_a_job_whose_value_cannot_cross_the_line_has_failed():
    returned = JobReturn(["a=1"], OmegaConf.create({"a": 1}), OmegaConf.create({"b": 2}), "here", "task")
    returned.status, returned.return_value = JobStatus.COMPLETED, threading.Lock()
    crossed = pickle.loads(_packed(returned))
    assert (crossed.cfg, crossed.hydra_cfg, crossed.status) == ({"a": 1}, {"b": 2}, JobStatus.FAILED)
    with pytest.raises(RuntimeError, match=r"^what the job returned cannot be sent to another process: cannot pickle"):
        _ = crossed.return_value


def test_what_is_defined_within_a_function_crosses_the_line():
    class Local:
        pass

    returned = JobReturn(status=JobStatus.COMPLETED)
    returned.return_value = [Local(), lambda: 3]
    found, three = pickle.loads(_packed(returned)).return_value
    assert isinstance(found, Local)
    assert three() == 3


def test_what_cannot_be_read_here_is_a_job_that_failed():
    ours, theirs = Pipe()
    theirs.send_bytes(b"nonsense")
    returned = WorkersLauncher()._returned(Worker(0, None, ours), ["a=1"])
    assert (returned.overrides, returned.status) == (["a=1"], JobStatus.FAILED)
    with pytest.raises(RuntimeError, match=r"^what the job returned cannot be read here: "):
        _ = returned.return_value
    ours.close()
    theirs.close()


def test_a_worker_that_does_not_understand_what_it_is_told_says_why_at_each_job(monkeypatch):
    monkeypatch.setattr(module, "ignore", lambda number: None)
    monkeypatch.delenv("RUNNER_TEST_ONE", raising=False)
    ours, theirs = Pipe()
    for word in [(0, ["a=1"]), (1, ["a=2"]), None]:
        ours.send(word)
    around = _Surroundings(0, 1, False, False, {"RUNNER_TEST_ONE": "1"}, this_process())
    _work(theirs, around, b"cno_such_module\nthing\n.")
    for override in ("a=1", "a=2"):
        returned = ours.recv()
        assert returned.overrides == [override]
        with pytest.raises(ModuleNotFoundError, match="no_such_module") as raised:
            _ = returned.return_value
        assert "In the worker process:\nTraceback" in raised.value.__notes__[0]
    assert os.environ.pop("RUNNER_TEST_ONE") == "1"
    ours.close()
    theirs.close()


@pytest.fixture
def ready():
    """`ready(task, num_workers=2)`: a launcher that Hydra has set up."""

    def make(task, num_workers=2):
        made = WorkersLauncher(num_workers)
        made.setup(hydra_context=None, task_function=task, config=OmegaConf.create())
        return made

    return make


def test_a_task_that_cannot_be_sent_is_a_mistake_of_one_line(ready):
    lock = threading.Lock()
    with pytest.raises(UserError, match=r"^hydra/launcher=workers: what the jobs run cannot be sent .*: cannot pickle"):
        ready(lambda cfg: lock)._told()


def test_what_the_script_defines_goes_along_where_it_can(ready, monkeypatch):
    script = SimpleNamespace(__name__="__main__", number=3, imported=Thread)
    exec("class Mine: pass\ndef double(x): return 2 * x", vars(script))
    monkeypatch.setitem(sys.modules, "__main__", script)
    made = ready(lambda cfg: 1)
    names = pickle.loads(made._told())[-1]
    assert set(names) == {"Mine", "double"}
    assert names["double"](4) == 8
    script.Mine.lock = threading.Lock()
    assert pickle.loads(made._told())[-1] == {}


def test_the_script_that_runs_is_hidden_while_a_process_starts():
    script = sys.modules["__main__"]
    with _no_main_module():
        assert not hasattr(sys.modules["__main__"], "__file__")
        assert sys.modules["__main__"].__spec__ is None
    assert sys.modules["__main__"] is script


@pytest.mark.parametrize(
    ("task", "imports_torch"), [(UserError, True), (Unreadable, False), (SimpleNamespace(), False)]
)
def test_only_our_own_tasks_have_torch_imported_beforehand(ready, task, imports_torch):
    context = module.multiprocessing.get_context("forkserver")
    before = forkserver._forkserver._preload_modules
    try:
        ready(task)
        assert ("runner.training.train" in forkserver._forkserver._preload_modules) == imports_torch
    finally:
        context.set_forkserver_preload(before)


def test_no_workers_at_all_are_refused(ready):
    with pytest.raises(UserError, match=r"^hydra\.launcher\.num_workers: must be at least 1, not 0$"):
        ready(None, 0)
    assert ready(None, 1).num_workers == 1


def test_a_launcher_that_nobody_has_lets_its_workers_go(ready):
    ours, theirs = Pipe()
    made = ready(None)
    made.workers.append(Worker(0, Thread(0, theirs), ours))
    process = made.workers[0].process
    del made
    gc.collect()
    process.thread.join(10)
    assert not process.is_alive()
    assert ours.closed


def test_workers_and_a_launcher_with_workers_of_its_own_exclude_each_other():
    whole = OmegaConf.create({"hydra": {"launcher": {"_target_": "hydra_plugins.joblib.JoblibLauncher"}}})
    with (
        pytest.raises(UserError, match=r"^sweep\.num_workers: hydra/launcher brings workers of its own"),
        launcher(None, None, whole, num_workers=2),
    ):
        pass


def test_what_nobody_is_there_to_read_is_left_unsaid():
    ours, theirs = Pipe()
    theirs.close()
    module._answer(ours, module._failed(["seed=1"], ValueError("wrong")))
    ours.close()


def test_two_workers_are_forked_from_a_server_unless_said_otherwise(ready):
    assert WorkersLauncher().num_workers == 2
    assert ready(None).context.get_start_method() == "forkserver"


def test_a_worker_that_trains_knows_its_number_and_that_of_all(monkeypatch):
    for name in (WORKER, NUM_WORKERS):
        monkeypatch.setenv(name, "")  # so that it is as before after the test
    monkeypatch.setattr("runner.engine.process.use_one_thread", lambda: None)
    module._get_ready_to_train(SimpleNamespace(number=1, num_workers=3, has_own_gpu=False))
    assert (os.environ[WORKER], os.environ[NUM_WORKERS]) == ("1", "3")


def test_an_error_that_takes_no_note_is_told_without_one():
    error = ValueError("wrong")
    error.__notes__ = 3
    module._note_traceback(error)
    assert error.__notes__ == 3


# ---------------------------------------------------------------------------------------------------------------------
# The life of a worker


@pytest.fixture
def work(monkeypatch):
    """`work(jobs, run)`: what a worker in this process answers to these jobs, each of which `run` gets as a config."""

    def answers(jobs, run, is_ours=False, end=True):
        loader = SimpleNamespace(load_sweep_config=lambda config, words: compose(config, words))
        context = SimpleNamespace(config_loader=loader)
        seen = []

        def compose(config, words):
            if "wrong" in words:
                raise ValueError("no such key")
            return OmegaConf.create({"hydra": {"job": {}}, "words": words, **config})

        def run_job(hydra_context, task_function, config, job_dir_key, job_subdir_key):
            assert (hydra_context, task_function) == (context, "task")
            assert (job_dir_key, job_subdir_key) == ("hydra.sweep.dir", "hydra.sweep.subdir")
            return run(config)

        monkeypatch.setattr(module, "ignore", seen.append)
        monkeypatch.setattr(module, "end_with", seen.append)
        monkeypatch.setattr(module, "_get_ready_to_train", lambda around: seen.append("ready to train"))
        monkeypatch.setattr(module, "_understand", lambda told: (context, "task", {"told": told.decode()}))
        monkeypatch.setattr(module, "run_job", run_job)
        ours, theirs = Pipe()
        for job in [*jobs, *([None] if end else [])]:
            ours.send(job)
        around = _Surroundings(1, 2, is_ours, False, {}, {"pid": 3})
        _work(theirs, around, b"all")
        theirs.close()
        found = []
        while ours.poll():
            try:
                found.append(ours.recv())
            except (EOFError, ConnectionError):
                break
        ours.close()
        answers.seen = seen
        return found

    return answers


def completed(value):
    return returned(value=value, hydra_cfg=OmegaConf.create({"a": 1}))


@pytest.mark.parametrize("is_ours", [True, False])
def test_a_worker_answers_each_job_in_turn(work, is_ours):
    jobs = [(4, ["x=1"]), (5, ["x=2"])]
    found = work(jobs, lambda config: completed(OmegaConf.to_container(config)), is_ours)
    assert [one.return_value for one in found] == [
        {"hydra": {"job": {"id": index, "num": index}}, "words": words, "told": "all"} for index, words in jobs
    ]
    assert [one.hydra_cfg is None for one in found] == [is_ours] * 2
    assert work.seen == [signal.SIGINT, {"pid": 3}, *(["ready to train"] if is_ours else [])]


def test_a_job_whose_config_cannot_be_composed_has_failed_and_the_next_one_runs(work):
    failed, other = work([(0, ["wrong"]), (1, ["x=1"])], lambda config: completed(0.5))
    assert (failed.overrides, failed.status, other.return_value) == (["wrong"], JobStatus.FAILED, 0.5)
    with pytest.raises(ValueError, match="no such key") as raised:
        _ = failed.return_value
    assert "In the worker process:\nTraceback" in raised.value.__notes__[0]


def test_what_a_job_raised_says_where(work):
    def run(config):
        try:
            raise ValueError("odd")
        except ValueError as error:
            return returned(JobStatus.FAILED, error)

    (failed,) = work([(0, ["x=1"])], run)
    assert "in run\n" in failed._return_value.__notes__[0]


def test_a_worker_that_is_interrupted_ends_without_an_answer(work):
    def run(config):
        raise Interrupted(15)

    assert work([(0, ["x=1"]), (1, ["x=2"])], run) == []


def test_a_worker_whose_launcher_is_gone_ends():
    ours, theirs = Pipe()
    ours.close()
    assert module._next(theirs) is None
    theirs.close()


# ---------------------------------------------------------------------------------------------------------------------
# Its beginning


@pytest.mark.parametrize(
    ("is_ours", "device", "own_gpu"),
    [(True, "auto", True), (True, "cuda", True), (True, "cpu", False), (True, None, False), (False, "auto", False)],
)
def test_a_worker_is_told_what_it_needs_before_it_unpickles(ready, monkeypatch, is_ours, device, own_gpu):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    made, script = ready(None, 3), sys.modules["__main__"]
    ends, asked = Pipe(), []

    def process(target, args, name):
        asked.append((target, args, name, dict(os.environ), sys.modules["__main__"]))
        return SimpleNamespace(start=lambda: asked.append("started"))

    made.is_ours, made.context = is_ours, SimpleNamespace(Pipe=lambda: ends, Process=process)
    made.config = OmegaConf.create({} if device is None else {"engine": {"device": device}})
    monkeypatch.setattr(made, "_told", lambda: b"told")
    worker = made._start(2)
    (target, (line, around, told), name, environment, main), started = asked
    assert (target, told, name, started) == (_work, b"told", "runner-worker-2", "started")
    assert (worker.number, worker.line, worker.place) == (2, ends[0], None)
    assert line is ends[1]
    assert line.closed
    assert environment["OMP_NUM_THREADS"] == around.environment["OMP_NUM_THREADS"] == "1"
    assert "OMP_NUM_THREADS" not in os.environ
    assert main is not script
    assert around == _Surroundings(2, 3, is_ours, own_gpu, around.environment, this_process())
    worker.line.close()


@pytest.mark.parametrize(("num_jobs", "processes"), [(3, 2), (1, 1)])
def test_what_is_launched_is_announced_and_its_folder_made(ready, monkeypatch, tmp_path, caplog, num_jobs, processes):
    configured = []
    monkeypatch.setattr(module, "configure_log", lambda *given: configured.append(given))
    made = ready(None)
    hydra = {"hydra_logging": {"version": 1}, "verbose": False, "sweep": {"dir": str(tmp_path / "a/b")}}
    made.config = OmegaConf.create({"hydra": hydra})
    jobs = [[f"x={number}", "hydra.verbose=true"] for number in range(num_jobs)]
    with caplog.at_level("INFO", logger=module.__name__):
        for _ in range(2):  # the folder may be there
            made._announce(jobs, 4)
    said = [record.getMessage() for record in caplog.records]
    first = f"Launching {num_jobs} jobs on {processes} processes"
    assert said == 2 * [first, *(f"\t#{4 + number} : x={number}" for number in range(num_jobs))]
    assert (tmp_path / "a/b").is_dir()
    assert configured == 2 * [({"version": 1}, False)]


def test_a_worker_understands_hydras_state_and_what_the_script_defines(ready, monkeypatch):
    script = SimpleNamespace(__name__="__main__")
    exec("def double(x): return 2 * x", vars(script))
    monkeypatch.setitem(sys.modules, "__main__", script)
    made = ready(abs)
    made.config = OmegaConf.create({"x": 3})
    told = made._told()
    del script.double
    plugins, before = module.Plugins.instance(), module.Singleton.get_state()
    try:
        context, task, config = module._understand(told)
        assert module.Plugins.instance() is plugins
    finally:
        module.Singleton.set_state(before)
    assert (context, task, config) == (None, abs, {"x": 3})
    assert script.double(4) == 8


@pytest.mark.parametrize("has_own_gpu", [True, False])
def test_a_worker_that_trains_is_given_a_gpu_of_its_own_where_it_may_have_one(monkeypatch, has_own_gpu):
    done = []
    for name in (WORKER, NUM_WORKERS):
        monkeypatch.setenv(name, "")
    monkeypatch.setattr(module, "pin", done.append)
    monkeypatch.setattr("runner.engine.process.use_one_thread", lambda: done.append("one thread"))
    monkeypatch.setattr("runner.config.load_plugins", lambda: done.append("plugins"))
    module._get_ready_to_train(SimpleNamespace(number=1, num_workers=3, has_own_gpu=has_own_gpu))
    assert done == [*([1] if has_own_gpu else []), "one thread", "plugins"]


def test_what_a_job_has_said_is_written_before_its_answer(monkeypatch):
    done = []
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(flush=lambda: done.append("out")))
    monkeypatch.setattr(sys, "stderr", SimpleNamespace(flush=lambda: 1 / 0))
    module._answer(SimpleNamespace(send_bytes=lambda packed: done.append("answer")), completed(0.5))
    assert done == ["out", "answer"]


@pytest.mark.parametrize(("code", "how"), [(-15, "SIGTERM"), (3, "exit status 3"), (0, "exit status 0")])
def test_how_a_worker_died_is_told(code, how):
    ours, theirs = Pipe()
    theirs.close()
    joined = []
    made = WorkersLauncher()
    worker = Worker(0, SimpleNamespace(join=lambda: joined.append("join"), exitcode=code), ours)
    other = Worker(1, None, None)
    made.workers = [worker, other]
    returned = made._returned(worker, ["a=1"])
    assert str(returned._return_value) == f"the worker process died ({how})"
    assert (returned.overrides, joined, made.workers) == (["a=1"], ["join"], [other])
    ours.close()


def test_a_config_that_cannot_be_pickled_crosses_the_line_as_plain_data(monkeypatch):
    config = OmegaConf.create({"a": 1, "b": "${a}"})
    assert module._plain(config) is config
    assert module._plain(None) is None
    monkeypatch.setattr(module, "_pickle_and_back", lambda value: 1 / 0)
    plain = module._plain(config)
    assert plain is not config
    assert plain == {"a": 1, "b": 1}
