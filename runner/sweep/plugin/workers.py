"""Worker processes as a Hydra Launcher: they live through a whole sweep, and those of trainings import torch once.

A worker that dies takes its job with it, not the sweep: the job comes back as `WorkerDied`, another worker takes the
place. When the process of the launcher dies, its workers end at once.

What the jobs run reaches the workers by value, by cloudpickle, so that it may be anything that Hydra takes: a function
of a script, a closure, a method. Hydra imports this module whenever it looks for plug-ins, so it imports little itself.
"""

import contextlib
import logging
import multiprocessing
import os
import pickle
import signal
import sys
import traceback
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing import connection as connections
from multiprocessing.connection import Connection
from multiprocessing.util import Finalize
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from hydra.core.plugins import Plugins
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus, configure_log, filter_overrides, run_job, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict

from runner.errors import Interrupted, UserError, WorkerDied, reason
from runner.gpus import pin
from runner.lifetime import end_with, this_process
from runner.signals import Stop, ignore
from runner.sweep.execution.failures import value_or_error

log = logging.getLogger(__name__)

SAVE_SECONDS = 60.0  # for workers to save what they have when the sweep is interrupted


@dataclass
class Worker:
    """One process, the line to it, and the place of the job it has in its batch."""

    number: int
    process: Any
    line: Connection
    place: int | None = None


class WorkersLauncher(Launcher):
    """Runs jobs on `num_workers` processes, each with one CPU thread, in the order of the jobs.

    They stay for the next jobs until `close`, until nobody has the launcher any more, or until this process ends.
    """

    def __init__(self, num_workers: int = 2) -> None:
        self.num_workers = num_workers
        self.workers: list[Worker] = []

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        if self.num_workers < 1:
            raise UserError(f"hydra.launcher.num_workers: must be at least 1, not {self.num_workers}")
        self.hydra_context = hydra_context
        self.task_function = task_function
        self.config = config
        module = str(getattr(task_function, "__module__", None))
        self.is_ours = module.startswith("runner.")
        # Workers fork from a server that has imported what they need, so that each has it at once and none inherits
        # threads. What an application imports may not stand to be forked, so its workers import that themselves.
        self.context: Any = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload([module, "runner.training.train"] if self.is_ours else [__name__])
        # Not by atexit: multiprocessing waits for all processes in a handler of its own, maybe before ours.
        Finalize(self, _let_go, (self.workers,), exitpriority=10)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run all jobs and give what each returned.

        Raises:
            Interrupted: a signal came; the workers have saved what they had. A Hydra application that is not ours
                ends with its traceback, and exit status 1.
            UserError: what the jobs run cannot be sent to another process.
        """
        self._announce(job_overrides, initial_job_idx)
        waiting = deque(enumerate(job_overrides))
        returns: list[Any] = [None] * len(job_overrides)
        with Stop() as stop:
            while waiting or any(worker.place is not None for worker in self.workers):
                self._hand_out(waiting, initial_job_idx)
                busy = [worker for worker in self.workers if worker.place is not None]
                lines: list[Any] = [part for worker in busy for part in (worker.line, worker.process.sentinel)]
                ready = connections.wait(lines, timeout=0.5)
                for worker in busy:
                    if worker.line in ready or worker.process.sentinel in ready:
                        place, worker.place = worker.place, None
                        assert place is not None
                        returns[place] = self._returned(worker, job_overrides[place])
                if stop.requested:
                    self.close()
                    raise Interrupted(stop.requested)
        return returns

    def close(self) -> None:
        """Let the workers go; those at work save first."""
        _let_go(self.workers)

    def _announce(self, job_overrides: Sequence[Sequence[str]], first: int) -> None:
        """What Hydra's launchers do before they begin."""
        setup_globals()
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        # Read here, so that a time in its name is the same for all workers.
        Path(str(self.config.hydra.sweep.dir)).mkdir(parents=True, exist_ok=True)
        log.info(f"Launching {len(job_overrides)} jobs on {min(self.num_workers, len(job_overrides))} processes")
        for number, overrides in enumerate(job_overrides, first):
            log.info(f"\t#{number} : {' '.join(filter_overrides(overrides))}")

    def _hand_out(self, waiting: deque[tuple[int, Sequence[str]]], first: int) -> None:
        """Give a job to every idle worker, starting those that are missing."""
        missing = min(self.num_workers, len(waiting) + len(self.workers)) - len(self.workers)
        taken = {worker.number for worker in self.workers}
        for number in [number for number in range(self.num_workers) if number not in taken][: max(0, missing)]:
            self.workers.append(self._start(number))
        for worker in self.workers:
            if worker.place is None and waiting:
                worker.place, overrides = waiting.popleft()
                with contextlib.suppress(OSError):  # a dead worker is noticed by its sentinel
                    worker.line.send((first + worker.place, list(overrides)))

    def _start(self, number: int) -> Worker:
        told = self._told()
        ours, theirs = self.context.Pipe()
        with _environment(OMP_NUM_THREADS="1"), _no_main_module():
            own_gpu = self.is_ours and OmegaConf.select(self.config, "engine.device", default=None) in ("auto", "cuda")
            about = self.is_ours, own_gpu, dict(os.environ), this_process()
            around = _Surroundings(number, self.num_workers, *about)
            process = self.context.Process(target=_work, args=(theirs, around, told), name=f"runner-worker-{number}")
            process.start()
        theirs.close()
        return Worker(number, process, ours)

    def _told(self) -> bytes:
        """What a worker has to know, for it to unpickle once it has its plug-ins.

        Raises:
            UserError: the task, or something that it uses, cannot be pickled.
        """
        import cloudpickle

        try:
            told = (self.hydra_context, self.task_function, self.config, Singleton.get_state())
            with contextlib.suppress(Exception):  # what the task itself does not use may be left out
                return bytes(cloudpickle.dumps((*told, _defined_by_main())))
            return bytes(cloudpickle.dumps((*told, {})))
        except Exception as error:
            what = "hydra/launcher=workers: what the jobs run cannot be sent to other processes"
            raise UserError(f"{what}: {reason(error)}") from error

    def _returned(self, worker: Worker, overrides: Sequence[str]) -> JobReturn:
        """What the worker's job returned, or that it died."""
        try:
            packed = worker.line.recv_bytes()
        except (EOFError, OSError):
            worker.process.join()
            self.workers.remove(worker)
            code = worker.process.exitcode
            how = signal.Signals(-code).name if code and code < 0 else f"exit status {code}"
            return _failed(overrides, WorkerDied(f"the worker process died ({how})"))
        try:
            returned: JobReturn = pickle.loads(packed)
            return returned
        except Exception as error:
            return _failed(overrides, RuntimeError(f"what the job returned cannot be read here: {reason(error)}"))


def _let_go(workers: list[Worker]) -> None:
    for worker in workers:
        if worker.place is not None:
            worker.process.terminate()
        with contextlib.suppress(OSError):
            worker.line.send(None)
    for worker in workers:
        worker.process.join(SAVE_SECONDS)
        if worker.process.is_alive():
            worker.process.kill()
        worker.line.close()
    workers.clear()


@dataclass
class _Surroundings:
    """What a worker has to know before it can unpickle anything.

    Args:
        is_ours: it runs trainings.
        has_own_gpu: it sees one GPU alone.
        main: the process that it works for.
    """

    number: int
    num_workers: int
    is_ours: bool
    has_own_gpu: bool
    environment: Mapping[str, str]
    main: Mapping[str, Any]


def _work(line: Connection, around: _Surroundings, told: bytes) -> None:
    """The life of a worker: jobs from the line until there are no more."""
    ignore(signal.SIGINT)  # Ctrl-C reaches the whole group; the launcher says when to stop
    end_with(around.main)
    os.environ.update(around.environment)  # which may have changed since the server began
    if around.is_ours:
        _get_ready_to_train(around)
    try:
        hydra_context, task, config = _understand(told)
    except Exception as error:  # a module that is not to be found, say
        _note_traceback(error)
        while (job := _next(line)) is not None:
            _answer(line, _failed(job[1], error))
        return
    while (job := _next(line)) is not None:
        index, overrides = job
        try:
            sweep_config = hydra_context.config_loader.load_sweep_config(config, overrides)
            with open_dict(sweep_config):
                sweep_config.hydra.job.id = index
                sweep_config.hydra.job.num = index
            returned = run_job(
                hydra_context=hydra_context,
                task_function=task,
                config=sweep_config,
                job_dir_key="hydra.sweep.dir",
                job_subdir_key="hydra.sweep.subdir",
            )
        except Interrupted:
            return
        except Exception as error:  # the config of the job cannot be composed
            returned = _failed(overrides, error)
        if returned.status == JobStatus.FAILED:
            _note_traceback(returned._return_value)
        if around.is_ours:
            returned.hydra_cfg = None  # nobody reads it, and a sweep keeps what thousands of jobs return
        _answer(line, returned)


def _get_ready_to_train(around: _Surroundings) -> None:
    from runner import config
    from runner.engine.device import NUM_WORKERS, WORKER
    from runner.engine.process import use_one_thread

    os.environ[WORKER], os.environ[NUM_WORKERS] = str(around.number), str(around.num_workers)
    if around.has_own_gpu:
        pin(around.number)
    use_one_thread()
    config.load_plugins()  # now, for later Hydra would look for them in the working folder too


def _understand(told: bytes) -> tuple[HydraContext, TaskFunction, DictConfig]:
    """Make this process like the launcher's: Hydra's state, the resolvers, and what its script defines."""
    plugins = Plugins.instance()
    hydra_context, task, config, state, names = pickle.loads(told)
    state["instances"][Plugins] = plugins
    Singleton.set_state(state)
    setup_globals()
    vars(sys.modules["__main__"]).update(names)
    return hydra_context, task, config


def _next(line: Connection) -> Any:
    try:
        return line.recv()
    except EOFError:
        return None


def _answer(line: Connection, returned: JobReturn) -> None:
    for stream in (sys.stdout, sys.stderr):  # what a job has said comes before what the next one says
        with contextlib.suppress(Exception):
            stream.flush()
    with contextlib.suppress(BrokenPipeError):  # nobody is there any more
        line.send_bytes(_packed(returned))


def _failed(overrides: Sequence[str], error: Exception) -> JobReturn:
    returned = JobReturn(overrides=list(overrides), status=JobStatus.FAILED)
    returned.return_value = error
    return returned


def _note_traceback(error: Exception) -> None:
    """Have an error say where it was raised: a traceback does not cross the line."""
    with contextlib.suppress(Exception):
        error.add_note("\nIn the worker process:\n" + "".join(traceback.format_exception(error)))


def _packed(returned: JobReturn) -> bytes:
    """It as it crosses the line."""
    import cloudpickle

    try:
        packed = bytes(cloudpickle.dumps(returned))
        if returned.status == JobStatus.FAILED:
            pickle.loads(packed)  # an exception of a user's own may be written and then not be read
    except Exception:
        packed = bytes(cloudpickle.dumps(_picklable(returned)))
    return packed


def _picklable(returned: JobReturn) -> JobReturn:
    """The same where something in it cannot be pickled: configs in plain data, and of an error its text."""
    value, status = value_or_error(returned), returned.status
    try:
        _pickle_and_back(value)
    except Exception as error:
        if status == JobStatus.COMPLETED:
            value = RuntimeError(f"what the job returned cannot be sent to another process: {reason(error)}")
            status = JobStatus.FAILED
        else:
            notes = getattr(value, "__notes__", [])
            value = RuntimeError(f"{type(value).__name__}: {value}")
            for note in notes:
                value.add_note(note)
    cfg, hydra_cfg = (_plain(config) for config in (returned.cfg, returned.hydra_cfg))
    plain = JobReturn(returned.overrides, cfg, hydra_cfg, returned.working_dir, returned.task_name, status)
    plain.return_value = value
    return plain


def _plain(config: DictConfig | None) -> Any:
    if config is None:
        return None
    try:
        _pickle_and_back(config)
        return config
    except Exception:
        return OmegaConf.create(OmegaConf.to_container(config))


def _pickle_and_back(value: Any) -> None:
    import cloudpickle

    pickle.loads(cloudpickle.dumps(value))


@contextlib.contextmanager
def _no_main_module() -> Iterator[None]:
    """Hide the script that runs from multiprocessing, which would run it again in each process."""
    script = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = script


def _defined_by_main() -> dict[str, Any]:
    """Functions and classes of the script that runs, so that jobs find them by name: for pickle, or as `_target_`."""
    own = vars(sys.modules["__main__"]).items()
    return {
        name: value for name, value in own if isinstance(value, type | FunctionType) and value.__module__ == "__main__"
    }


@contextlib.contextmanager
def _environment(**values: str) -> Iterator[None]:
    """Environment variables for the time being; those that are set already stay."""
    added = {key: value for key, value in values.items() if key not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for key in added:
            del os.environ[key]
