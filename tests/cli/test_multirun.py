"""`runner train -m`: jobs that are checked first, survive one another, and are gone on with."""

import json
import shutil

import pytest
from omegaconf import OmegaConf

from runner import cli
from runner.store.multirun_folder import MultirunFolder

SMALL = ["model=linear", "engine.epochs=1", "log.progress=none", "log.tensorboard=false", "engine.limit_batches=4"]


def jobs_of(tmp_path):
    (path,) = tmp_path.glob("outputs/multirun/*")
    return path, MultirunFolder.open(path).jobs


def test_jobs_are_numbered_and_compared_at_the_end(runner, tmp_path):
    done = runner("train", "-m", *SMALL, "optimizer=sgd,adam", "seed=1,2")
    lines = done.stdout.splitlines()
    assert [line for line in lines if line.startswith("job ")] == [
        f"job {number}/4: {' '.join(SMALL)} optimizer={optimizer} seed={seed}"
        for number, (optimizer, seed) in enumerate([("sgd", 1), ("sgd", 2), ("adam", 1), ("adam", 2)], 1)
    ]
    assert "4 runs in 2 rows" in lines
    assert lines[-1].startswith("best run: outputs/digits-linear/")
    _, jobs = jobs_of(tmp_path)
    assert [job["status"] for job in jobs] == ["finished"] * 4
    assert [
        json.loads((tmp_path / job["folder"] / "run.json").read_text())["choices"]["optimizer"] for job in jobs
    ] == [
        *["sgd", "sgd"],
        *["adam", "adam"],
    ]


@pytest.mark.parametrize("words", [["optimizer=sgd,adm"], ["seed=1,-1"], ["optimizer.lr=0.1,fast"]])
def test_a_bad_value_is_refused_before_the_first_job(runner, tmp_path, words):
    done = runner("train", "-m", *SMALL, *words, status=2)
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "outputs").exists()


def test_a_job_that_fails_does_not_stop_the_others_and_says_why(runner, tmp_path, monkeypatch):
    from runner.engine.evaluate import Evaluate

    plain = Evaluate.__call__

    def fail_once(self, state):
        if len(list(tmp_path.glob("outputs/digits-linear/*"))) == 2:
            raise RuntimeError("broken on purpose")
        return plain(self, state)

    monkeypatch.setattr(Evaluate, "__call__", fail_once)
    done = runner("train", "-m", *SMALL, "seed=1,2,3", status=1)
    assert "runner: job 2/3: RuntimeError: broken on purpose" in done.stderr
    _, jobs = jobs_of(tmp_path)
    assert [job["status"] for job in jobs] == ["finished", "failed", "finished"]
    assert jobs[1]["error"] == "RuntimeError: broken on purpose"
    assert "3 runs in 1 row" in done.stdout


@pytest.mark.slow
def test_a_mistake_that_only_a_job_can_find_is_the_users(runner, tmp_path):
    done = runner("train", "-m", *SMALL, "reg=none,dropout", status=2)  # a linear network has no place for it
    assert done.stderr.startswith("runner: job 2/2: reg.dropout.layers: nothing to act on")
    assert done.stderr.count("\n") == 1
    assert [job["status"] for job in jobs_of(tmp_path)[1]] == ["finished", "failed"]


@pytest.mark.slow
def test_why_a_job_diverged_is_told_without_a_display(runner):
    done = runner(
        "train", "-m", *SMALL, "engine.limit_batches=null", "optimizer=sgd", "optimizer.lr=0.1,1e30", status=3
    )
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("diverged"))
    assert "the mean training loss of epoch 1 was" in line


@pytest.mark.slow
def test_what_was_stopped_is_gone_on_with(runner, tmp_path):
    runner("train", "-m", *SMALL, "seed=1,2,3")
    path, jobs = jobs_of(tmp_path)
    kept, begun = (tmp_path / jobs[place]["folder"] for place in (0, 1))
    before = (kept / "run.json").read_bytes()
    record = json.loads((begun / "run.json").read_text())
    (begun / "run.json").write_text(json.dumps(record | {"status": "running", "finished": None}))
    folder = MultirunFolder.open(path)
    folder.note(1, status="running")
    folder.note(2, status="queued", folder=None)
    done = runner("resume", path.relative_to(tmp_path))
    assert (kept / "run.json").read_bytes() == before
    assert json.loads((begun / "run.json").read_text())["status"] == "finished"
    jobs = folder.jobs
    assert [job["status"] for job in jobs] == ["finished"] * 3
    assert len(runner.runs()) == 4, "the third was begun anew"
    assert "3 runs in 1 row" in done.stdout


def test_a_job_whose_run_was_removed_trains_anew(runner, tmp_path):
    runner("train", "-m", *SMALL, "seed=1,2")
    path, jobs = jobs_of(tmp_path)
    shutil.rmtree(tmp_path / jobs[0]["folder"])
    runner("resume", path.relative_to(tmp_path))
    again = MultirunFolder.open(path).jobs
    assert [job["status"] for job in again] == ["finished"] * 2
    assert again[0]["folder"] != jobs[0]["folder"]
    assert again[1]["folder"] == jobs[1]["folder"]
    assert len(runner.runs()) == 2


@pytest.mark.slow
def test_stored_words_run_no_code(runner, tmp_path):
    runner("train", "-m", *SMALL, "seed=1,2")
    path, _ = jobs_of(tmp_path)
    record = json.loads((path / "jobs.json").read_text())
    for words, said in (
        (["hydra.run.dir=/tmp"], "is no override of a sweep; pass --trust"),
        (["loss._target_=os.system", "+loss.command=true"], "pass --trust"),
        (["--config-dir=/tmp"], "was begun with --config-dir=/tmp; pass --trust"),
    ):
        changed = record | {"overrides": ["-m", *SMALL, "seed=1,2", *words]}
        changed["jobs"] = [job | {"status": "queued", "folder": None} for job in record["jobs"]]
        (path / "jobs.json").write_text(json.dumps(changed))
        done = runner("resume", path, status=2)
        assert said in done.stderr
    for damaged in ("[", '{"overrides": 3, "jobs": []}', '{"overrides": [], "jobs": [{"status": 3}]}'):
        (path / "jobs.json").write_text(damaged)
        done = runner("resume", path, status=2)
        assert done.stderr.startswith(f"runner: {path}/jobs.json: cannot be read")
        assert done.stderr.count("\n") == 1


def test_another_sweeper_is_hydras_own(monkeypatch):
    from runner.command.multirun import is_multirun

    assert is_multirun(["-m", "seed=1,2"])
    assert not is_multirun(["seed=1"])
    assert not is_multirun(["-m", "hydra/sweeper=optuna", "seed=1,2"])
    assert not is_multirun(["-m", "seed=1,2", "--cfg", "job"])
    assert cli.COMMANDS["train"].module == "runner.command.train"


def test_an_error_of_a_file_that_is_no_full_disk_is_told_as_it_is(runner, tmp_path, monkeypatch):
    def fail(self, state):
        raise OSError("the cable is loose")

    monkeypatch.setattr("runner.engine.evaluate.Evaluate.__call__", fail)
    done = runner("train", "-m", *SMALL, "seed=1,2", status=1)
    assert "runner: job 2/2: OSError: the cable is loose" in done.stderr


def test_a_rate_that_is_to_be_found_is_found_for_each_job(runner, tmp_path):
    runner("train", "-m", *SMALL, "optimizer.lr=auto,0.25")
    _, jobs = jobs_of(tmp_path)
    assert [job["status"] for job in jobs] == ["finished", "finished"]
    found = [OmegaConf.load(tmp_path / job["folder"] / "config.yaml").optimizer.lr for job in jobs]
    assert 1e-6 < found[0] < 10
    assert found[1] == 0.25
