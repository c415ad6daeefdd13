"""Many jobs of one line: which there are, and how one that fails or goes on is noted."""

import errno
from types import SimpleNamespace

import pytest
from hydra.core.hydra_config import HydraConfig

import runner
from runner.command import multirun as module
from runner.errors import Interrupted, UserError


@pytest.mark.parametrize(
    ("said", "jobs"),
    [
        (["seed=1,2", "model=mlp"], [["seed=1", "model=mlp"], ["seed=2", "model=mlp"]]),
        (["seed=range(3)"], [["seed=0"], ["seed=1"], ["seed=2"]]),
        (["a=1,2", "b=x,y"], [["a=1", "b=x"], ["a=1", "b=y"], ["a=2", "b=x"], ["a=2", "b=y"]]),
        ([], [[]]),
    ],
)
def test_jobs_are_all_combinations_the_last_word_first(said, jobs):
    assert module.combinations(said) == jobs


def test_a_range_is_no_list_of_values():
    with pytest.raises(UserError, match=r"^config: a range is searched by runner sweep; runner train -m takes values"):
        module.combinations(["seed=interval(0,1)"])
    with pytest.raises(UserError):
        module.combinations(["seed=="])


def test_each_value_is_checked_with_the_first_of_the_others(monkeypatch):
    seen = []
    compose = module.config.compose_with_choices
    monkeypatch.setattr(module.config, "compose_with_choices", lambda words: seen.append(list(words)) or compose(words))
    cfg = module.check_values(["seed=1,2", "model=linear", "engine.epochs=3,4"])
    assert seen == [
        ["seed=1", "model=linear", "engine.epochs=3"],
        ["seed=2", "model=linear", "engine.epochs=3"],
        ["seed=1", "model=linear", "engine.epochs=3"],
        ["seed=1", "model=linear", "engine.epochs=4"],
        ["seed=1", "model=linear", "engine.epochs=3"],
    ]
    assert (cfg.seed, cfg.engine.epochs) == (1, 3)
    with pytest.raises(UserError, match=r"^engine\.epochs"):
        module.check_values(["engine.epochs=3,-4"])


class Folder:
    """A multirun's folder whose jobs lie in memory."""

    def __init__(self, *jobs, overrides=(), path="outputs/multirun/it"):
        self.jobs = [{"overrides": ["seed=1"], "status": "queued", "folder": None, "error": None} | job for job in jobs]
        self.record, self.path = {"overrides": list(overrides)}, path

    def note(self, number, **fields):
        self.jobs[number].update(fields)


@pytest.mark.parametrize(
    ("jobs", "status"),
    [
        ([{"status": "finished"}, {"status": "finished"}], 0),
        ([{"status": "finished"}, {"status": "diverged"}], 3),
        ([{"status": "diverged"}, {"status": "failed", "error": "mistake: data.root"}], 2),
        ([{"status": "failed", "error": "mistake: data.root"}, {"status": "failed", "error": "ValueError: x"}], 1),
    ],
)
def test_the_exit_status_is_that_of_the_worst_job(monkeypatch, jobs, status):
    seen = []
    monkeypatch.setattr(module, "run_hydra", lambda *given: seen.append(given))
    monkeypatch.setattr(module, "_compare", lambda jobs: seen.append(len(jobs)))
    folder = Folder(*jobs, path="it's")
    assert module._run(["-m", "seed=1,2"], folder, trust=True) == status
    (command, words, job), count = seen
    assert (command, words, count) == ("train", ["-m", "seed=1,2", r"hydra.sweep.dir='it\'s'"], 2)
    assert (job.folder, job.trust) == (folder, True)


@pytest.mark.parametrize("error", [Interrupted(2), KeyboardInterrupt()])
def test_many_jobs_that_are_interrupted_say_how_to_go_on(monkeypatch, capsys, error):
    def stop(*_):
        raise error

    monkeypatch.setattr(module, "run_hydra", stop)
    with pytest.raises(type(error)):
        module._run([], Folder(path="outputs/a b"), trust=True)
    assert capsys.readouterr().out == "interrupted; go on with: runner resume 'outputs/a b'\n"


@pytest.mark.parametrize(
    ("words", "trust", "refused"),
    [
        (["-m", "seed=1,2"], False, None),
        (["-m", "--config-dir=mine"], False, r"was begun with --config-dir=mine; pass --trust if you trust what that"),
        (["-m", "--config-dir=mine"], True, None),
    ],
)
def test_many_jobs_go_on_with_their_own_words(monkeypatch, words, trust, refused):
    folder, ran, checked = Folder(overrides=words), [], []
    monkeypatch.setattr(module.MultirunFolder, "open", lambda path: folder)
    monkeypatch.setattr(module, "_run", lambda *given: ran.append(given) or 3)
    monkeypatch.setattr(module.config, "check_stored_words", lambda words, path: checked.append(words))
    if refused:
        with pytest.raises(UserError, match=refused):
            module.go_on("it", trust)
        assert ran == []
        return
    assert module.go_on("it", trust) == 3
    assert ran == [(words, folder, trust)]
    assert checked == ([] if trust else [["seed=1,2"]])


@pytest.fixture
def job(monkeypatch):
    """`job(folder, outcome)`: calls the second of two jobs, whose training gives or raises that."""
    done = []

    def call(folder, outcome, trust=True):
        hydra = SimpleNamespace(job=SimpleNamespace(num=1), runtime=SimpleNamespace(choices={"model": "linear"}))
        monkeypatch.setattr(HydraConfig, "get", lambda: hydra)

        def train(cfg, overrides, choices, with_header, begun):
            done.append(("train", overrides, choices["model"], with_header))
            begun("runs/new")
            if isinstance(outcome, BaseException):
                raise outcome
            return outcome

        fakes = {
            "runner.training.train": SimpleNamespace(train=train),
            "runner.training.resume": SimpleNamespace(
                resume=lambda path, trust: done.append(("resume", path, trust)) or outcome
            ),
            "runner.training.run": SimpleNamespace(Run=lambda path: done.append(("as it is", path)) or outcome),
            "runner.engine.device": SimpleNamespace(set_job_number=lambda number: done.append(number)),
        }
        monkeypatch.setattr(module, "import_quickly", fakes.__getitem__)
        call.done = done
        return module.JobOfMany(folder, trust)(runner.compose([]))

    return call


def run(status="finished", objective=0.5, error=None):
    told = []
    made = SimpleNamespace(status=status, objective=objective, folder="runs/it", record={"error": error})
    made.print_summary, made.told = (lambda brief: told.append(brief)), told
    return made


def test_a_job_is_told_by_its_number_trained_and_noted(job, capsys):
    folder, ended = Folder({}, {"overrides": ["seed=1", "lr=2"]}), run("diverged", error="it rose")
    assert job(folder, ended) == 0.5
    assert job.done == [1, ("train", ["seed=1", "lr=2"], "linear", False)]
    assert ended.told == [True]
    assert capsys.readouterr().out == "job 2/2: seed=1 lr=2\n"
    assert {key: folder.jobs[1][key] for key in ("status", "folder", "error")} == {
        "status": "diverged",
        "folder": "runs/it",
        "error": "it rose",
    }
    assert folder.jobs[0]["status"] == "queued"


@pytest.mark.parametrize(
    ("error", "noted", "traceback"),
    [
        (UserError("data.root: gone"), "mistake: data.root: gone", False),
        (ValueError("odd"), "ValueError: odd", True),
        (OSError(errno.ENOSPC, "No space left"), "mistake: disk: No space left; free some space, then go on", False),
    ],
)
def test_a_job_that_fails_is_noted_and_the_others_go_on(job, capsys, error, noted, traceback):
    folder = Folder({}, {})
    assert job(folder, error) is None
    assert folder.jobs[1]["status"] == "failed"
    assert folder.jobs[1]["error"] == noted
    said = capsys.readouterr().err
    assert said.splitlines()[-1] == f"runner: job 2/2: {noted.removeprefix('mistake: ')}"
    assert ("Traceback" in said) is traceback
    assert folder.jobs[1]["folder"] == "runs/new", "where it has begun"


@pytest.mark.parametrize("error", [Interrupted(2), KeyboardInterrupt()])
def test_a_job_that_is_interrupted_ends_all(job, error):
    folder = Folder({}, {})
    with pytest.raises(type(error)):
        job(folder, error)
    assert folder.jobs[1]["status"] == "interrupted"


@pytest.mark.parametrize(
    ("status", "how"), [("finished", "as it is"), ("interrupted", "resume"), ("running", "resume")]
)
def test_a_job_that_was_begun_is_kept_or_goes_on(job, tmp_path, status, how):
    (tmp_path / "run.json").touch()
    job(Folder({}, {"status": status, "folder": str(tmp_path)}), run())
    assert job.done[1] == ((how, tmp_path) if how == "as it is" else (how, tmp_path, True))


def test_a_job_whose_folder_is_gone_begins_anew(job, tmp_path):
    job(Folder({}, {"status": "finished", "folder": str(tmp_path)}), run())
    assert job.done[1][0] == "train"


def test_foreign_classes_are_built_on_trust_alone(job, monkeypatch):
    def refuse(cfg):
        raise UserError("not one of runner's own classes")

    monkeypatch.setattr(module.config, "check_trusted", refuse)
    folder = Folder({}, {})
    assert job(folder, run(), trust=False) is None
    assert folder.jobs[1]["error"] == "mistake: not one of runner's own classes"
    assert job(folder, run()) == 0.5
