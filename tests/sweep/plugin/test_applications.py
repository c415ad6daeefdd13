"""A Hydra application that is not ours, with our sweeper and our worker processes, as its user starts it."""

import os
import re
import signal
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.slow

SCRIPT = """
import os
import pickle
import sys
import time
from dataclasses import dataclass

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

print("run as", __name__, flush=True)
square = lambda number: number * number


@dataclass
class Config:
    x: int = 0
    double: int = "${twice:${x}}"
    missing: str = "${oc.env:RUNNER_TEST_MISSING,unset}"
    given: str = "${oc.env:RUNNER_TEST_GIVEN}"


class Mine(Exception):
    pass


@dataclass
class Result:
    cfg: object

    def __float__(self):
        return float(-self.cfg.x)


os.environ["RUNNER_TEST_GIVEN"] = "set"
ConfigStore.instance().store(name="config", node=Config)
OmegaConf.register_new_resolver("twice", lambda number: 2 * number)


@hydra.main(version_base="1.3", config_name="config", config_path=None)
def app(cfg):
    class Local:
        def __init__(self, number):
            self.square = square(number)

    pickle.loads(pickle.dumps(Result(None)))  # by its name
    number = HydraConfig.get().job.num
    said = [number, cfg.x, cfg.double, Local(cfg.x).square, cfg.missing, cfg.given, sys.argv[0], "torch" in sys.modules]
    sys.stdout.write(" ".join(map(str, ["job", *said])) + "\\n")  # in one piece: the workers write to one pipe
    sys.stdout.flush()
    if cfg.x == 13:
        raise Mine("unlucky")
    while cfg.x == 14:
        time.sleep(0.1)
    return Result(cfg)


if __name__ == "__main__":
    try:
        app()
    except Mine as error:
        print("caught", error, "In the worker process" in error.__notes__[0])
"""


class Application:
    """`start("x=1,2")` starts it in a process group of its own, of which nothing may be left at the end."""

    def __init__(self, folder):
        self.folder = folder
        (folder / "app.py").write_text(SCRIPT)
        self.started = []

    def start(self, *words):
        process = subprocess.Popen(
            [sys.executable, "app.py", "-m", "hydra/launcher=workers", *words],
            cwd=self.folder,
            env={**os.environ, "PYTHONWARNINGS": "ignore", "HYDRA_FULL_ERROR": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.started.append(process)
        return process

    def run(self, *words, status=0):
        process = self.start(*words)
        out, err = process.communicate(timeout=100)
        assert process.returncode == status, err
        self.check_none_is_left(process)
        return out

    def check_none_is_left(self, process):
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                os.killpg(process.pid, 0)
            except ProcessLookupError:
                return
            time.sleep(0.1)
        raise AssertionError("a process of the application still runs")

    def end(self):
        for process in self.started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


@pytest.fixture
def application(tmp_path):
    made = Application(tmp_path)
    yield made
    made.end()


@pytest.mark.parametrize("sweeper", ["basic", "runner"])
def test_jobs_see_what_they_would_see_in_one_process(application, sweeper):
    said = application.run(f"hydra/sweeper={sweeper}", "x=1,2,3")
    assert re.findall("run as .*", said) == ["run as __main__"]
    jobs = sorted(line for line in said.splitlines() if line.startswith("job"))
    assert jobs == [f"job {x - 1} {x} {2 * x} {x * x} unset set app.py False" for x in (1, 2, 3)]
    (folder,) = application.folder.glob("multirun/*/*")  # one time for all, though each was read on another process
    assert {path.parent.name for path in folder.glob("*/app.log")} == {"0", "1", "2"}


def test_an_exception_of_a_job_is_that_of_the_application(application):
    assert "caught unlucky True" in application.run("x=1,13", "hydra.launcher.num_workers=1").splitlines()


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 1), (signal.SIGTERM, 1), (signal.SIGKILL, -9)])
def test_no_worker_outlives_an_application_that_is_stopped(application, number, status):
    process = application.start("x=14,1,2")
    for line in process.stdout:
        if line.startswith("job 0"):
            break
    process.send_signal(number)
    _, err = process.communicate(timeout=100)
    assert process.returncode == status, err
    application.check_none_is_left(process)
