"""Hydra's part of a command: its flags, its job, and what is imported quickly."""

import errno
import gc
import sys
from types import SimpleNamespace

import pytest
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode

import runner
from runner.command import hydra_app as module
from runner.errors import HydraExit, UserError


@pytest.mark.parametrize(
    ("words", "ordered"),
    [
        (["a=1", "--info", "b=2"], ["--info=all", "a=1", "b=2"]),
        (["a=1", "-cd", "folder", "b=2"], ["-cd", "folder", "a=1", "b=2"]),
        (["a=1", "--config-dir"], ["--config-dir", "a=1"]),
        (["a=1", "--cfg=job"], ["--cfg=job", "a=1"]),
        (["a=1", "-m"], ["-m", "a=1"]),
        (["~b", "+c=3", "--resolve"], ["--resolve", "~b", "+c=3"]),
    ],
)
def test_flags_come_first(words, ordered):
    assert module.flags_first(words) == ordered


@pytest.fixture
def job(monkeypatch):
    """`job(mode, error)`: calls a training's job as Hydra would; what it gives, what was trained, and what was said."""
    done = []

    def call(alone=True, error=None, status="finished", progress="lines", dry_run=False):
        hydra = SimpleNamespace(
            overrides=SimpleNamespace(task=["seed=1"]),
            mode=RunMode.RUN if alone else RunMode.MULTIRUN,
            job=SimpleNamespace(num=4),
            runtime=SimpleNamespace(choices={"model": "linear", "data": "digits"}),
        )
        monkeypatch.setattr(HydraConfig, "get", lambda: hydra)

        def train(cfg, overrides, choices, with_header):
            done.append((overrides, choices["model"], with_header))
            if error is not None:
                raise error
            return SimpleNamespace(
                status=status, objective=0.5, print_summary=lambda brief: done.append(("told", brief))
            )

        fakes = {
            "runner.training.train": SimpleNamespace(train=train, try_out=lambda cfg: done.append("tried out")),
            "runner.engine.device": SimpleNamespace(set_job_number=lambda number: done.append(("number", number))),
        }
        monkeypatch.setattr(module, "import_quickly", fakes.__getitem__)
        made = module.TrainJob(dry_run)
        call.made, call.done = made, done
        return made(runner.compose([f"log.progress={progress}"]))

    return call


@pytest.mark.parametrize("alone", [True, False])
def test_a_job_trains_with_what_was_said_and_tells_its_result(job, capsys, alone):
    assert job(alone) == 0.5
    assert job.done[-2:] == [(["seed=1"], "linear", alone), ("told", not alone)]
    assert job.made.status == 0
    said = capsys.readouterr().out
    assert said == ("" if alone else "job 5: seed=1\n")
    assert (("number", 4) in job.done) is not alone


def test_a_job_that_shall_say_nothing_says_nothing_and_divergence_is_a_status(job):
    job(status="diverged", progress="none")
    assert job.done == [(["seed=1"], "linear", True)]
    assert job.made.status == 3


def test_a_job_that_is_tried_out_trains_nothing(job):
    assert job(dry_run=True) is None
    assert job.done == ["tried out"]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (UserError("data.root: gone"), "data.root: gone"),
        (OSError(errno.ENOSPC, "No space left"), "disk: No space left; free some space, then go on"),
    ],
)
def test_a_mistake_ends_the_command_past_hydra_and_one_of_many_jobs_as_it_is(job, capsys, error, said):
    with pytest.raises(HydraExit) as raised:
        job(True, error)
    assert str(raised.value) == said
    with pytest.raises(type(error)):
        job(False, error)
    assert capsys.readouterr().err == f"runner: job 5: {said}\n"


def test_another_error_of_a_file_is_no_mistake(job):
    with pytest.raises(PermissionError):
        job(True, PermissionError(errno.EACCES, "no"))


def test_what_is_imported_quickly_is_imported_once_and_the_collector_works_on(monkeypatch, tmp_path):
    (tmp_path / "quick_one.py").write_text("import gc\nENABLED = gc.isenabled()\n")
    monkeypatch.syspath_prepend(tmp_path)
    registered, frozen = [], []
    monkeypatch.setattr(module.atexit, "register", registered.append)
    monkeypatch.setattr(gc, "freeze", lambda: frozen.append(1))
    first = module.import_quickly("quick_one")
    assert (first.ENABLED, gc.isenabled(), frozen) == (False, True, [1])
    assert module.import_quickly("quick_one") is first
    assert registered == [module._unfreeze]
    sys.modules.pop("quick_one")


@pytest.mark.parametrize("is_there", [True, False])
def test_what_was_frozen_is_collected_in_the_end_for_triton(monkeypatch, is_there):
    done = []
    monkeypatch.setattr(gc, "unfreeze", lambda: done.append(1))
    monkeypatch.setattr(module, "sys", SimpleNamespace(modules={"triton": object()} if is_there else {}))
    module._unfreeze()
    assert done == [1] * is_there


def test_a_folder_of_plugins_is_not_run_by_processes_of_a_launcher(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hydra_plugins").mkdir()
    with pytest.raises(UserError, match=r"^hydra_plugins: the launcher's processes would run this folder; install it"):
        module.run_hydra("train", ["hydra/launcher=joblib"], print)
