"""Worker processes as a Hydra Launcher, by the standard library: they live through a whole sweep and import torch once.

A worker that dies takes its job with it, not the sweep: the job comes back as `WorkerDied`, another worker takes the
place. When the process of the launcher dies, its workers end at once.
"""

import contextlib
import multiprocessing
import os
import pickle
import signal
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import connection as connections
from multiprocessing.connection import Connection
from typing import Any

from hydra import version
from hydra.core.utils import JobReturn, JobStatus, run_job, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict

from runner.errors import Interrupted, WorkerDied
from runner.lifetime import end_with, this_process
from runner.signals import Stop, ignore
from runner.sweep.execution.failures import value_or_error

SAVE_SECONDS = 60.0  # for workers to save what they have when the sweep is interrupted


@dataclass
class Worker:
    """One process, the line to it, and the place of the job it has in its batch."""

    number: int
    process: Any
    line: Connection
    place: int | None = None


class WorkersLauncher(Launcher):
    """Runs jobs on `num_workers` processes, each with one CPU thread, in the order of the jobs."""

    def __init__(self, num_workers: int = 2) -> None:
        self.num_workers = num_workers
        self.workers: list[Worker] = []

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.hydra_context = hydra_context
        self.task_function = task_function
        self.config = config
        # Workers fork from a server that has imported torch, so that each has it at once, and none inherits threads.
        self.context: Any = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload([task_function.__module__, "runner.training.train"])

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run all jobs and give what each returned.

        Raises:
            Interrupted: a signal came; the workers have saved what they had.
        """
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
        for worker in self.workers:
            if worker.place is not None:
                worker.process.terminate()
            with contextlib.suppress(OSError):
                worker.line.send(None)
        for worker in self.workers:
            worker.process.join(SAVE_SECONDS)
            if worker.process.is_alive():
                worker.process.kill()
            worker.line.close()
        self.workers = []

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
        ours, theirs = self.context.Pipe()
        # Unpickled by the worker once it has its plug-ins: it would look for their modules in the working folder else.
        told = (self.hydra_context, self.task_function, self.config, str(version.getbase()), this_process())
        about = pickle.dumps(told)
        with _environment(OMP_NUM_THREADS="1"):
            process = self.context.Process(
                target=_work, args=(theirs, number, self.num_workers, about), name=f"runner-worker-{number}"
            )
            process.start()
        theirs.close()
        return Worker(number, process, ours)

    def _returned(self, worker: Worker, overrides: Sequence[str]) -> JobReturn:
        """What the worker's job returned, or that it died."""
        try:
            returned: JobReturn = worker.line.recv()
            return returned
        except (EOFError, OSError):
            worker.process.join()
            self.workers.remove(worker)
            code = worker.process.exitcode
            how = signal.Signals(-code).name if code and code < 0 else f"exit status {code}"
            died = JobReturn(overrides=list(overrides), status=JobStatus.FAILED)
            died.return_value = WorkerDied(f"the worker process died ({how})")
            return died


def _work(line: Connection, number: int, num_workers: int, about: bytes) -> None:
    """The life of a worker: jobs from the line until there are no more."""
    from runner import config as configs
    from runner.engine.device import NUM_WORKERS, WORKER
    from runner.engine.process import use_one_thread

    ignore(signal.SIGINT)  # Ctrl-C reaches the whole group; the launcher says when to stop
    os.environ[WORKER], os.environ[NUM_WORKERS] = str(number), str(num_workers)
    use_one_thread()
    setup_globals()
    configs.load_plugins()
    hydra_context, task, config, version_base, main = pickle.loads(about)
    end_with(main)
    version.setbase(version_base)
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
            returned = JobReturn(overrides=overrides, status=JobStatus.FAILED)
            returned.return_value = error
        line.send(_picklable(returned))


def _next(line: Connection) -> Any:
    try:
        return line.recv()
    except EOFError:
        return None


def _picklable(returned: JobReturn) -> JobReturn:
    """The same in plain data: Hydra's own nodes, and an exception of a user's own, may not survive the line."""
    value = value_or_error(returned)
    try:
        pickle.dumps(value)
    except Exception:
        value = RuntimeError(f"{type(value).__name__}: {value}")
    cfg = OmegaConf.create(OmegaConf.to_container(returned.cfg)) if returned.cfg is not None else None
    plain = JobReturn(returned.overrides, cfg, None, returned.working_dir, returned.task_name, returned.status)  # type: ignore[arg-type]
    plain.return_value = value
    return plain


@contextlib.contextmanager
def _environment(**values: str) -> Any:
    """Environment variables for the time being; those that are set already stay."""
    added = {key: value for key, value in values.items() if key not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for key in added:
            del os.environ[key]
