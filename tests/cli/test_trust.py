"""Folders of somebody else: what is stored or lies in them is never run."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = str(Path(__file__).parents[2])


@pytest.fixture
def ran(tmp_path, monkeypatch):
    """The file that hostile code would leave."""
    return tmp_path / "ran"


@pytest.mark.slow
def test_plugins_of_the_working_folder_are_not_run(process, ran, tmp_path):
    for place in (tmp_path / "hydra_plugins", tmp_path / "hydra_plugins/hostile"):
        place.mkdir()
        (place / "__init__.py").write_text(f"open({str(ran)!r}, 'w')")
    process("train", "model=linear", "engine.max_steps=1")
    process("sweep", "model=linear", "engine.max_steps=1", "optimizer.lr=0.1,0.2", "sweep.num_workers=2")
    done = process("sweep", "model=linear", "optimizer.lr=0.1,0.2", "hydra/launcher=joblib", status=2)
    assert "hydra_plugins: the launcher's processes would run this folder" in done.stderr
    assert not ran.exists()


@pytest.mark.parametrize("call", ["sweep.plugin import register; register()", "config import compose; compose()"])
def test_plugins_beside_a_python_program_are_not_run(ran, tmp_path, call):
    (tmp_path / "hydra_plugins").mkdir()
    (tmp_path / "hydra_plugins/__init__.py").write_text("")
    (tmp_path / "hydra_plugins/hostile.py").write_text(f"open({str(ran)!r}, 'w')")
    (tmp_path / "program.py").write_text(f"from runner.{call}\n")
    subprocess.run([sys.executable, "program.py"], cwd=tmp_path, check=True, env={**os.environ, "PYTHONPATH": ROOT})
    assert not ran.exists()


@pytest.mark.slow
def test_programs_that_a_repositorys_settings_name_are_not_run(process, ran, tmp_path):
    def git(*words):
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", *words], cwd=tmp_path, check=True)

    git("init", "-q")
    (tmp_path / "followed.txt").write_text("one")
    (tmp_path / ".gitattributes").write_text("*.txt filter=hostile\n")
    git("add", ".")
    git("commit", "-qm", "one")
    (tmp_path / "followed.txt").write_text("two")
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch {ran}\ncat\n")
    program.chmod(0o755)
    hook = tmp_path / ".git/hooks/post-index-change"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(program.read_text())
    hook.chmod(0o755)
    for key in ("core.fsmonitor", "filter.hostile.clean", "filter.hostile.process", "diff.external"):
        git("config", key, str(program))
    git("config", "filter.hostile.required", "true")
    process("train", "model=linear", "engine.max_steps=1")
    assert not ran.exists()
    (environment,) = tmp_path.glob("outputs/*/*/environment.json")
    written = json.loads(environment.read_text())
    assert len(written["commit"]) == 40
    assert written["uncommitted_changes"] is True


HOSTILE = "{_target_: hostile.run}"
SWEEP = ["model=linear", "engine.epochs=1", "optimizer.lr=0.1,0.2", "sweep.num_finalists=0"]
SWEEP += ["sweep.rounds=[{trials: 2, epochs: 1}]", "log.tensorboard=false", "sweep.report=false"]


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """Where the sweep lies that the first test makes and the others copy."""
    return tmp_path_factory.mktemp("swept") / "outputs"


@pytest.fixture
def finished_sweep(runner, ran, swept):
    """A sweep in a folder that brings a module which leaves `ran` when it is imported."""
    code = f"import traceback\nwith open({str(ran)!r}, 'w') as file:\n    traceback.print_stack(file=file)\n"
    (runner.folder / "hostile.py").write_text(code)
    if not swept.exists():
        runner("sweep", *SWEEP, "name=it", "sweep.keep_checkpoints=all")
        shutil.copytree(runner.folder / "outputs", swept)
    else:
        shutil.copytree(swept, runner.folder / "outputs")
    (path,) = (runner.folder / "outputs/it").iterdir()
    return path


def reopen(path, config=None):
    """Make the last trial of a sweep open again, with another config."""
    lines = (path / "journal.jsonl").read_text().splitlines(keepends=True)
    last = max(json.loads(line)["trial"] for line in lines)
    kept = [line for line in lines if json.loads(line)["trial"] != last or json.loads(line)["event"] == "queued"]
    (path / "journal.jsonl").write_text("".join(kept))
    folder = path / f"trials/{last:04d}"
    if config is not None:
        (folder / "config.yaml").write_text(config((folder / "config.yaml").read_text()))
        (folder / "config.json").unlink()
    return folder


def change_record(path, **fields):
    record = json.loads((path / "sweep.json").read_text())
    (path / "sweep.json").write_text(json.dumps(record | fields))


def with_loss(text, loss):
    return re.sub(r"^loss:\n(  .*\n)+", f"loss: {loss}\n", text, flags=re.MULTILINE)


def refused(runner, path, ran, *words):
    done = runner("resume", path, *words, status=2)
    assert done.stderr.count("\n") == 1, done.stderr
    assert not ran.exists(), ran.read_text()
    return done.stderr


@pytest.mark.parametrize(
    "loss",
    [HOSTILE, f"{{_target_: torch.nn.CrossEntropyLoss, weight: [{HOSTILE}]}}", "{_target_: os.system, command: date}"],
)
def test_a_trials_config_of_a_sweep_that_goes_on_builds_no_foreign_class(runner, finished_sweep, ran, loss):
    reopen(finished_sweep, lambda text: with_loss(text, loss))
    assert "is not one of runner's own classes; pass --trust" in refused(runner, finished_sweep, ran)


@pytest.mark.parametrize(
    "word",
    [
        "loss._target_=hostile.run",
        "+loss.weight=[{_target_:hostile.run}]",
        "sweep._target_=hostile.run",
        "+hydra.callbacks.x._target_=hostile.run",
        "hydra/launcher=joblib",
        "+job.trust=true",
        "--config-dir=.",
        "loss@hydra.callbacks=hinge",
        "optimizer._target_=hostile.run,runner.optimizer.sgd",
    ],
)
def test_the_overrides_of_a_sweep_that_goes_on_run_no_code(runner, finished_sweep, ran, word):
    reopen(finished_sweep)
    record = json.loads((finished_sweep / "sweep.json").read_text())
    change_record(finished_sweep, overrides=[*record["overrides"], word])
    assert "sweep.json" in (line := refused(runner, finished_sweep, ran)) or "pass --trust" in line


def test_folders_of_configs_that_a_sweep_names_are_not_read_unless_one_trusts_it(runner, finished_sweep, ran, tmp_path):
    folder = tmp_path / "configs/loss"
    folder.mkdir(parents=True)
    (folder / "evil.yaml").write_text("# @package hydra.callbacks.x\n_target_: hostile.run\n")
    reopen(finished_sweep)
    record = json.loads((finished_sweep / "sweep.json").read_text())
    words = [*record["overrides"], "loss=evil"]
    change_record(finished_sweep, overrides=words, config_folders=[str(folder.parent)])
    assert f"reads configs from {folder.parent}; pass --trust" in refused(runner, finished_sweep, ran)


def test_a_sweep_goes_on_with_a_trial_whose_config_is_gone_as_it_was(runner, finished_sweep):
    config = reopen(finished_sweep) / "config.yaml"
    before = config.read_text()
    config.unlink()
    done = runner("resume", finished_sweep)
    assert f"{config.relative_to(runner.folder)}: cannot be read" in done.stderr
    assert "written again" in done.stderr
    assert config.read_text() == before


@pytest.mark.parametrize("name", ["config.yaml", "run.json", "metrics.jsonl", "figures", "checkpoints", ".lock"])
def test_nothing_is_written_through_a_link(runner, tmp_path, name):
    runner("train", "model=linear", "engine.epochs=1")
    (folder,) = runner.runs()
    target = tmp_path / "precious"
    if (folder / name).exists():
        (folder / name).rename(target)
    else:
        target.mkdir()
    (folder / name).symlink_to(target)
    for command in ("resume", "test"):
        done = runner(command, folder, *(["engine.epochs=2"] if command == "resume" else []), status=2)
        assert (
            done.stderr
            == f"runner: {folder / name}: is a link, and runner writes none of its files through one; remove the link\n"
        )


@pytest.mark.parametrize("name", [".run.json.tmp", ".config.yaml.tmp", "checkpoints/last.pt.tmp"])
def test_a_link_that_guesses_the_name_of_a_temporary_file_is_refused(runner, tmp_path, name):
    runner("train", "model=linear", "engine.epochs=1")
    (folder,) = runner.runs()
    (tmp_path / "precious").write_text("as it was")
    (folder / name).symlink_to(tmp_path / "precious")
    assert "is a link" in runner("resume", folder, "engine.epochs=2", status=2).stderr
    assert (tmp_path / "precious").read_text() == "as it was"


def test_a_trial_whose_only_checkpoint_is_damaged_begins_anew(runner, finished_sweep):
    folder = reopen(finished_sweep)
    before = json.loads((folder / "run.json").read_text())["objective"]["value"]
    for path in (folder / "checkpoints").glob("*.pt"):
        path.write_bytes(b"rubbish")
    done = runner("resume", finished_sweep)
    assert "the checkpoint is damaged" in done.stderr
    assert "the training begins anew" in done.stderr
    record = json.loads((folder / "run.json").read_text())
    assert (record["status"], record["objective"]["value"]) == ("finished", before)


@pytest.mark.slow
def test_a_trial_that_cannot_be_read_costs_its_job_mates_nothing(runner, finished_sweep, monkeypatch):
    from runner.sweep.execution.task import TrainingTask

    folder = reopen(finished_sweep)
    monkeypatch.setattr(TrainingTask, "mend", lambda self, trial: None)  # as if it broke after the sweep had looked
    (folder / "config.yaml").write_text("[")
    runner("resume", finished_sweep)
    events = [json.loads(line) for line in (finished_sweep / "journal.jsonl").read_text().splitlines()]
    failed = [event for event in events if event["event"] == "failed"]
    assert [event["trial"] for event in failed] == [int(folder.name)]
    assert "config.yaml: cannot be read" in failed[0]["error"]


def test_a_lock_stays_whatever_else_opens_the_folders_files(finished_sweep):
    from runner.errors import UserError
    from runner.store import SweepFolder

    first, second = SweepFolder.open(finished_sweep), SweepFolder.open(finished_sweep)
    first.lock()
    for path in finished_sweep.iterdir():
        if path.is_file():
            path.read_bytes()  # a POSIX lock would be dropped where its file is closed
    with pytest.raises(UserError, match="another process is training in this folder"):
        second.lock()
    first.unlock()
    second.lock()
    second.unlock()


@pytest.mark.slow
def test_the_line_that_trains_trains_on_a_machine_without_fcntl(tmp_path, process):
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['fcntl'] = None\n")
    hidden = {"PYTHONPATH": f"{tmp_path}:{process.environment.get('PYTHONPATH', '')}"}
    process("train", "model=linear", "engine.epochs=1", env=hidden)
    (folder,) = process.runs()
    process("resume", folder, "engine.epochs=2", env=hidden)
    process("sweep", *SWEEP, env=hidden)
