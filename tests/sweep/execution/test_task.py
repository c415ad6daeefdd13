"""What a trial's job is told, and what its end says."""

import errno
from pathlib import Path
from types import SimpleNamespace

import pytest
from hydra.core.utils import JobStatus
from omegaconf import OmegaConf

import runner
from runner.errors import DeviceFault, ImagesChanged, UserError, WorkerDied
from runner.lifetime import this_process
from runner.store import read_config
from runner.sweep.execution import handover
from runner.sweep.execution import task as module
from runner.sweep.execution.failures import value_or_error
from runner.sweep.execution.task import TrainingTask, folder_override, job_failures
from runner.sweep.record.trial import TrialRecord
from tests.sweep.jobs import returned


def trial(number=3, **fields):
    return TrialRecord(number, 0, {"optimizer.lr": "0.5"}, None, 1, f"trials/{number:04d}", **fields)


class Configs:
    """Stands for what makes the configs of a sweep's trials."""

    trust, shared = False, ["model=linear"]

    def of(self, values):
        words = [*self.shared, *(f"{key}={value}" for key, value in values.items())]
        return runner.compose(words), {"model": "linear"}


@pytest.fixture
def task(tmp_path):
    folder = SimpleNamespace(path=tmp_path, trial=lambda number: tmp_path / "trials" / f"{number:04d}")
    return TrainingTask(folder, Configs(), accept_changed_images=False)


@pytest.mark.parametrize("accepts", [False, True])
@pytest.mark.parametrize(("until", "said"), [(None, "null"), (0, "0"), (3, "3")])
def test_a_job_is_told_its_folder_trials_pause_and_process(task, tmp_path, until, said, accepts):
    task.accept_changed_images = accepts
    process = this_process()
    assert set(process) >= {"pid", "host"}
    assert task.job_overrides([trial(3), trial(12)], until) == [
        f"+job.folder='{tmp_path}'",
        "+job.trials=[3,12]",
        f"+job.until_epoch={said}",
        f"+job.main={{{','.join(f'{key}:{value}' for key, value in process.items())}}}",
        f"+job.accept_changed_images={accepts}",
    ]


def test_the_folder_of_a_sweep_is_told_as_a_whole_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert folder_override(SimpleNamespace(path=Path("it"))) == f"+job.folder='{tmp_path}/it'"


def test_a_trial_that_is_prepared_has_its_config_on_the_disk_and_at_hand_once(task):
    queued = trial()
    task.prepare(queued)
    assert queued.choices == {"model": "linear"}
    assert queued.signature is not None
    stored = read_config(task.folder.trial(3))
    assert stored.optimizer.lr == 0.5
    taken = handover.take(task.folder.path, queued)
    assert OmegaConf.to_container(taken) == OmegaConf.to_container(stored)
    assert handover.take(task.folder.path, queued) is None
    assert handover.take(task.folder.path / "other", queued) is None


def test_a_config_that_names_files_is_read_from_the_disk(task, monkeypatch):
    """What lies in the folders may be another when the trial runs."""
    checked = []
    monkeypatch.setattr(module.config, "settle", lambda cfg: True)
    check = module.config.check
    monkeypatch.setattr(module.config, "check", lambda cfg: checked.append(cfg) or check(cfg))
    task.prepare(trial())
    assert len(checked) == 2, "as it is after settling, too"
    assert handover.take(task.folder.path, trial()) is None


def test_a_damaged_config_of_a_queued_trial_is_written_again(task, capsys):
    queued = trial()
    task.prepare(queued)
    path = task.folder.trial(3)
    whole = read_config(path)
    for file in path.glob("config.*"):
        file.write_text("{")
    task.mend(queued)
    assert read_config(path) == whole
    assert capsys.readouterr().err.rstrip().endswith("; written again")


@pytest.mark.parametrize("trust", [False, True])
def test_a_queued_trial_that_names_foreign_classes_is_mended_where_it_is_trusted(task, trust):
    queued = trial()
    task.prepare(queued)
    path = task.folder.trial(3)
    (path / "config.json").unlink(missing_ok=True)
    file = path / "config.yaml"
    file.write_text(file.read_text().replace("runner.model.", "os.path."))
    task.configs.trust = trust
    if trust:
        task.mend(queued)
    else:
        with pytest.raises(UserError, match="is not one of runner's own classes"):
            task.mend(queued)


def test_checkpoints_of_those_trials_are_dropped(task):
    for number in (3, 4):
        (task.folder.trial(number) / "checkpoints").mkdir(parents=True)
        (task.folder.trial(number) / "checkpoints/last.pt").touch()
    task.drop_checkpoints([trial(3)])
    assert [len(list(task.folder.trial(number).glob("checkpoints/*"))) for number in (3, 4)] == [0, 1]


@pytest.mark.parametrize(
    "error", [ImagesChanged("data: others"), DeviceFault("the GPU stopped"), OSError(errno.ENOSPC, "full")]
)
def test_what_ends_a_sweep_ends_no_trial(task, error):
    with pytest.raises(type(error)):
        task.unrecorded_ends([trial()], returned(JobStatus.FAILED, error))


@pytest.mark.parametrize(
    ("status", "value", "failed"),
    [
        (JobStatus.COMPLETED, 0.5, []),
        (JobStatus.UNKNOWN, None, []),
        (JobStatus.FAILED, WorkerDied("gone"), []),
        (JobStatus.FAILED, OSError(errno.EACCES, "no"), [4]),
        (JobStatus.FAILED, ValueError("too big"), [4]),
    ],
)
def test_a_job_that_failed_fails_its_trials_that_have_not_ended(task, status, value, failed):
    found = task.unrecorded_ends([trial(3, status="finished"), trial(4, status="started")], returned(status, value))
    assert [event["trial"] for event in found] == failed
    assert all(event["event"] == "failed" and event["error"].startswith(type(value).__name__) for event in found)


def test_what_a_job_returned_or_raised(capsys):
    assert value_or_error(returned(JobStatus.COMPLETED, 0.5)) == 0.5
    error = ValueError("too big")
    assert value_or_error(returned(JobStatus.FAILED, error)) is error
    assert capsys.readouterr().err == ""
    assert job_failures([trial()], returned(JobStatus.FAILED, error))[0]["error"] == "ValueError: too big"
