"""A sweep under way, with jobs that only journal what became of their trials."""

import json

import pytest
from hydra.core.utils import JobStatus
from omegaconf import OmegaConf

from runner.errors import ImagesChanged, SweepFailed, UserError, WorkerDied
from runner.store import SweepFolder
from runner.sweep.execution.batching import num_parallel_jobs
from runner.sweep.execution.failures import exit_status, why_give_up
from runner.sweep.execution.search import SearchRun
from runner.sweep.execution.task import job_failures
from runner.sweep.record.journal import Journal
from runner.sweep.record.trial import TrialRecord
from runner.sweep.settings import SweepSettings
from tests.sweep.jobs import returned


class PlainTask:
    """Trials without configs: a job is told their numbers, and how long they run."""

    def __init__(self):
        self.prepared, self.mended = [], []

    def prepare(self, trial):
        trial.choices, trial.signature = {"model": "mlp"}, "a"
        self.prepared.append(trial.trial)

    def mend(self, trial):
        self.mended.append(trial.trial)

    def drop_checkpoints(self, trials):
        self.dropped = [*getattr(self, "dropped", []), [trial.trial for trial in trials]]

    def job_overrides(self, trials, until_epoch):
        return [str(until_epoch), *(str(trial.trial) for trial in trials)]

    def unrecorded_ends(self, trials, returned):
        return job_failures(trials, returned)


@pytest.fixture
def search(tmp_path):
    """`search(plan, end)` makes a sweep ready to run, again in the same folder if asked twice.

    `end(trial, starts)`: the event of a trial's end, by its number and how often it has been started; None where its
    process dies; or an exception, which the job raises. `search.launched` lists the jobs of each launch.
    """
    folder = SweepFolder.create(tmp_path, "it", [], 0, {})
    folder.update()
    starts = {}

    def make(plan, end=lambda trial, starts: {"event": "finished", "score": -trial}, **options):
        def launch(jobs, first):
            make.launched.append((first, jobs))
            returns = []
            for _until, *numbers in jobs:
                journal = Journal(folder.journal)
                made = returned()
                for number in map(int, numbers):
                    starts[number] = starts.get(number, 0) + 1
                    journal.append([{"event": "started", "trial": number}])
                    outcome = end(number, starts[number])
                    if outcome is None:
                        made = returned(JobStatus.FAILED, WorkerDied("gone"))
                    elif isinstance(outcome, Exception):
                        made = returned(JobStatus.FAILED, outcome)
                    else:
                        journal.append([{"trial": number, **outcome}])
                returns.append(made)
            return returns

        options = {"launch": launch, "batch": lambda trials: [[trial] for trial in trials]} | options
        return SearchRun(folder, plan, make.task, options.pop("launch"), options.pop("batch"), **options)

    make.task, make.launched, make.folder = PlainTask(), [], folder
    yield make
    folder.unlock()


def journal(search):
    return [json.loads(line) for line in search.folder.journal.read_text().splitlines()]


def events(search, name):
    return [event["trial"] for event in journal(search) if event["event"] == name]


def test_every_round_is_queued_then_run_and_written_down(search, plan):
    search(plan(rounds=((3, 2), (2, 5)), num_finalists=1, num_final_seeds=2)).run()
    rounds = json.loads((search.folder.path / "sweep.json").read_text())["rounds"]
    assert [(entry["kind"], entry["num_trials"], entry["epochs"]) for entry in rounds] == [
        ("search", 3, 2),
        ("search", 2, 5),
        ("finals", 2, 20),
    ]
    queued = [event for event in journal(search) if event["event"] == "queued"]
    assert [(event["trial"], event["round"], event["epochs"]) for event in queued] == [
        *((number, 0, 2) for number in range(3)),
        *((number, 1, 5) for number in (3, 4)),
        *((number, 2, 20) for number in (5, 6)),
    ]
    assert {(event["choices"]["model"], event["signature"]) for event in queued} == {("mlp", "a")}
    assert [event["folder"] for event in queued[:2]] == ["trials/0000", "trials/0001"]
    assert [event["seed"] is None for event in queued] == [True] * 5 + [False] * 2
    assert search.task.prepared == list(range(7))
    assert [first for first, _ in search.launched] == [0, 3, 5]
    assert search.launched[0][1] == [["None", "0"], ["None", "1"], ["None", "2"]]


@pytest.mark.parametrize(
    ("size", "launches"), [(None, [(0, 5)]), (2, [(0, 2), (2, 2), (4, 1)]), (5, [(0, 5)]), (9, [(0, 5)])]
)
def test_no_more_jobs_are_launched_at_once_than_asked_for(search, plan, size, launches):
    made = search(plan(rounds=((5, 1),)), max_batch_size=size)
    made.run()
    assert [(first, len(jobs)) for first, jobs in search.launched] == launches
    assert [len(returns) for returns in made.returns] == [number for _, number in launches]


def test_a_trial_whose_process_dies_runs_again_and_fails_at_the_third_time(search, plan):
    def end(trial, starts):
        return None if trial == 1 or (trial == 2 and starts < 3) else {"event": "finished", "score": 0.5}

    search(plan(rounds=((3, 1),)), end).run()
    assert events(search, "started") == [0, 1, 2, 1, 2, 1, 2]
    (failed,) = [event for event in journal(search) if event["event"] == "failed"]
    assert (failed["trial"], failed["error"]) == (1, "its process died 3 times; out of memory, perhaps")
    assert events(search, "finished") == [0, 2]


def test_what_a_job_raised_is_the_end_of_its_trials_that_had_none(search, plan):
    def end(trial, starts):
        return ValueError("too big") if trial == 1 else {"event": "finished", "score": 0.5}

    search(plan(rounds=((4, 1),)), end, batch=lambda trials: [trials[:2], trials[2:]]).run()
    (failed,) = [event for event in journal(search) if event["event"] == "failed"]
    assert (failed["trial"], failed["error"]) == (1, "ValueError: too big")
    assert events(search, "finished") == [0, 2, 3]


def test_a_launcher_that_fails_is_warned_of_and_what_is_left_goes_on(search, plan, capsys):
    journal_of = Journal(search.folder.journal)
    calls = []

    def launch(jobs, first):
        calls.append([number for _, number in jobs])
        journal_of.append([{"event": "finished", "trial": int(jobs[0][1]), "score": 0.5}])
        raise OSError("out of memory")

    search(plan(rounds=((2, 1),)), launch=launch).run()
    assert calls == [["0", "1"], ["1"]]
    warning = "warning: the launcher failed (OSError: out of memory); going on with what is left\n"
    assert capsys.readouterr().err == 2 * warning


def test_a_launcher_that_ran_no_trial_ends_the_sweep_with_what_it_raised(search, plan):
    def launch(jobs, first):
        raise OSError("no such host")

    with pytest.raises(OSError, match="no such host"):
        search(plan(rounds=((2, 1),)), launch=launch).run()


def test_a_launcher_that_comes_back_without_having_run_a_trial_ends_the_sweep(search, plan):
    with pytest.raises(SweepFailed, match=r"^the launcher came back without having run a trial$"):
        search(plan(rounds=((2, 1),)), launch=lambda jobs, first: []).run()


def test_a_mistake_of_the_user_in_the_launcher_ends_the_sweep_whatever_has_run(search, plan):
    def launch(jobs, first):
        Journal(search.folder.journal).append([{"event": "finished", "trial": 0, "score": 0.5}])
        raise UserError("no such queue")

    with pytest.raises(UserError, match="no such queue"):
        search(plan(rounds=((2, 1),)), launch=launch).run()


def test_other_images_than_before_end_the_sweep_and_no_trial(search, plan):
    with pytest.raises(ImagesChanged):
        search(plan(rounds=((2, 1),)), lambda trial, starts: ImagesChanged("data: others")).run()
    assert events(search, "failed") == []


def test_halving_stops_at_half_the_epochs_prunes_the_worse_half_and_goes_on_with_the_others(search, plan):
    def end(trial, starts):
        return {"event": "waiting" if starts == 1 else "finished", "score": {0: 0.1, 1: 0.9, 2: 0.5}[trial]}

    search(plan(rounds=((3, 7),), pruner="halving"), end).run()
    assert search.launched == [
        (0, [["3", "0"], ["3", "1"], ["3", "2"]]),
        (3, [["None", "1"], ["None", "2"]]),
    ]
    (pruned,) = [event for event in journal(search) if event["event"] == "pruned"]
    assert (pruned["trial"], pruned["error"]) == (0, "in the worse half of its round at epoch 3")


def test_of_trials_of_one_epoch_and_of_finals_none_is_pruned(search, plan):
    search(plan(rounds=((2, 1),), pruner="halving", num_finalists=1, num_final_seeds=2)).run()
    assert {until for _, jobs in search.launched for until, *_ in jobs} == {"None"}


def test_a_sweep_that_goes_on_runs_what_is_left_and_makes_ready_what_had_not_ended(search, plan):
    class Killed(BaseException):
        pass

    def end(trial, starts):
        if trial == 1 and starts == 1:
            raise Killed
        return {"event": "finished", "score": 0.5}

    with pytest.raises(Killed):
        search(plan(rounds=((3, 1),)), end).run()
    assert search.task.mended == []
    search(plan(rounds=((4, 1),)), end).run()
    assert search.task.mended == [1, 2]
    assert search.task.prepared == [0, 1, 2, 3]
    assert sorted(events(search, "finished")) == [0, 1, 2, 3]
    assert events(search, "started") == [0, 1, 1, 2, 3]
    (round_,) = json.loads((search.folder.path / "sweep.json").read_text())["rounds"]
    assert round_["num_trials"] == 4


def test_a_sweep_ends_at_the_first_failure_where_it_is_told_so(search, plan):
    def end(trial, starts):
        return {"event": "failed", "error": "no"} if trial == 1 else {"event": "finished", "score": 0.5}

    with pytest.raises(SweepFailed, match=r"^trial 1 failed \(no\), and sweep\.on_error is stop"):
        search(plan(rounds=((5, 1),), on_error="stop"), end, max_batch_size=2).run()
    assert events(search, "started") == [0, 1]
    with pytest.raises(SweepFailed):
        search(plan(rounds=((5, 1),), on_error="stop"), end, max_batch_size=2).run()
    assert events(search, "started") == [0, 1], "nothing more is begun"


# ---------------------------------------------------------------------------------------------------------------------
# Failures


@pytest.fixture
def ended(tmp_path):
    """`ended("failed", "finished")`: the journal of trials that ended so."""

    def make(*statuses, error="Traceback: no"):
        made = Journal(tmp_path / "journal.jsonl")
        for number, status in enumerate(statuses):
            trial = TrialRecord(number, 0, {}, None, 1, "")
            made.append([trial.event("queued"), trial.event(status, error=error)])
        made.refresh()
        return made

    return make


@pytest.mark.parametrize(
    ("statuses", "gives_up"),
    [
        (["failed"], False),
        (["failed", "failed"], True),
        (["failed", "failed", "failed"], True),
        (["failed", "diverged", "failed"], True),
        (["failed", "failed", "finished"], False),
        (["failed", "failed", "pruned"], False),
        (["failed", "failed", "waiting"], False),
        (["finished"], False),
        ([], False),
    ],
)
def test_a_sweep_is_given_up_when_so_many_have_failed_and_none_has_worked(ended, statuses, gives_up):
    why = why_give_up(ended(*statuses, error="no"), SweepSettings(max_failures=2))
    assert (why is not None) == gives_up
    if why:
        assert why == (
            f"{statuses.count('failed')} trials have failed and none has finished; the first: no; mend it, and begin "
            "anew or resume with a larger sweep.max_failures"
        )


@pytest.mark.parametrize(
    ("statuses", "error", "status"),
    [
        (["diverged", "diverged"], "", 3),
        (["diverged", "failed"], "data.root: no folder", 2),
        (["diverged", "failed"], "Traceback (most recent call last):\nValueError", 1),
        (["failed"], None, 2),
    ],
)
def test_the_exit_status_tells_divergence_from_mistakes_and_these_from_errors(ended, statuses, error, status):
    assert exit_status(ended(*statuses, error=error)) == status


@pytest.mark.parametrize(
    ("launcher", "num_workers", "jobs"),
    [
        ({"_target_": "a.BasicLauncher"}, 1, 1),
        ({"_target_": "a.BasicLauncher"}, 2, 2),
        ({"_target_": "a.BasicLauncher"}, 3, 3),
        ({"_target_": "a.JoblibLauncher", "n_jobs": 4}, 1, 4),
        ({"_target_": "a.WorkersLauncher", "num_workers": 5}, 1, 5),
        ({"_target_": "a.RayLauncher"}, 1, None),
    ],
)
def test_how_many_jobs_run_at_once_is_read_off_the_launcher(launcher, num_workers, jobs):
    assert num_parallel_jobs(OmegaConf.create(launcher), num_workers) == jobs


@pytest.mark.parametrize(("cpus", "jobs"), [(6, 6), (None, 1)])
def test_all_processors_are_as_many_as_there_are(monkeypatch, cpus, jobs):
    monkeypatch.setattr("os.cpu_count", lambda: cpus)
    assert num_parallel_jobs(OmegaConf.create({"_target_": "a.JoblibLauncher", "n_jobs": -1}), 1) == jobs


def test_a_job_that_raised_before_its_trial_started_ends_that_trial_alone(search, plan):
    def launch(jobs, first):
        return [returned(JobStatus.FAILED, ValueError("too big")) for _ in jobs]

    search(plan(rounds=((1, 1),)), launch=launch).run()
    assert events(search, "failed") == [0]
