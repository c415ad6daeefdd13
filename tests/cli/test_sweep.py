"""`runner sweep` as a user runs it, with real processes that are killed."""

import json
import os
import signal
import time
from collections import Counter

import pytest

from runner.command import sweep as command

# A user's augmentation that fails, dawdles, or kills its process, as the files beside it say.
SABOTEUR = """
import os, pathlib, signal, time
from runner.augment import Augmentation

class Saboteur(Augmentation):
    def draw(self, num_images, generator):
        return {}

    def apply(self, images, draws):
        if pathlib.Path("break").exists():
            raise RuntimeError("broken on purpose")
        dawdle = pathlib.Path("dawdle")
        if dawdle.exists():
            time.sleep(float(dawdle.read_text()))
        self.batches = getattr(self, "batches", 0) + 1
        if pathlib.Path("kill_at_epoch_3").exists() and self.batches == 25:
            pathlib.Path("kill_at_epoch_3").unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        order = pathlib.Path("kill_one")
        try:
            order.rename("killed")  # one process alone succeeds
        except FileNotFoundError:
            return images
        os.kill(os.getpid(), signal.SIGKILL)
"""
LR = "optimizer.lr=loguniform(1e-4,1e-1)"
SMALL = [
    "model=mlp",
    "model.hidden=[32]",
    "data.batch_size=128",
    "log.tensorboard=false",
    "engine.deterministic=true",
    "sweep.report=false",
]
ROUNDS = "sweep.rounds=[{trials: 4, epochs: 1},{trials: 3, epochs: 2}]"
SHORT = [
    *SMALL,
    LR,
    ROUNDS,
    "engine.epochs=2",
    "sweep.num_finalists=1",
    "sweep.num_final_seeds=2",
    "sweep.vectorize=off",
]
SABOTAGED = ["+augment.saboteur._target_=saboteur.Saboteur"]


def sweep(command, *words, **options):
    (command.folder / "saboteur.py").write_text(SABOTEUR)
    return command("sweep", *words, **options)


def folder(command, name):
    (found,) = (path.parent for path in command.folder.glob(f"outputs/{name}/*/sweep.json"))
    return found


def record(path):
    return json.loads((path / "sweep.json").read_text())


def journal(path):
    return [json.loads(line) for line in (path / "journal.jsonl").read_text().splitlines()]


def points(path):
    return {
        event["trial"]: (event["point"], event["seed"], event["epochs"])
        for event in journal(path)
        if event["event"] == "queued"
    }


def scores(path):
    return {event["trial"]: event["score"] for event in journal(path) if event["event"] == "finished"}


def ends(path):
    ended = ("finished", "failed", "diverged", "pruned")
    return Counter(event["trial"] for event in journal(path) if event["event"] in ended)


def comparable(path):
    best = record(path)["best"]
    return {key: value for key, value in best.items() if key != "folder"}


def test_a_sweep_leaves_the_folder_of_the_contract_and_names_the_best(runner):
    out = sweep(runner, *SHORT, "name=it", "log.tensorboard=true", "sweep.report=true").stdout
    path = folder(runner, "it")
    names = {"id", "name", "status", "seed", "objective", "rounds", "best"}
    about = record(path)
    assert names <= set(about)
    assert about["status"] == "finished"
    assert [(entry["index"], entry["num_trials"], entry["epochs"]) for entry in about["rounds"]] == [
        (0, 4, 1),
        (1, 3, 2),
        (2, 2, 2),
    ]
    assert set(about["rounds"][0]["ranges"]) == {"optimizer.lr"}
    assert {"trial", "overrides", "score", "folder"} <= set(about["best"])
    fields = {"time", "event", "trial", "round", "point", "seed", "folder", "epochs", "score"}
    assert all(fields <= set(event) for event in journal(path))
    assert sorted(entry.name for entry in (path / "trials").iterdir()) == [f"{number:04d}" for number in range(9)]
    run = json.loads((path / "trials/0000/run.json").read_text())
    assert (run["status"], run["objective"]["value"]) == ("finished", scores(path)[0])
    best_of_finals = path / "trials" / f"{about['best']['trial']:04d}" / "checkpoints/best.pt"
    assert best_of_finals.exists(), "trials that lost keep no checkpoints"
    assert list((path / "trials/0000").glob("events.out.tfevents.*"))
    assert (path / "report.html").exists()
    best = about["best"]
    assert "over 2 fresh seeds" in out
    command = next(line.strip() for line in out.splitlines() if line.strip().startswith("runner train"))
    assert best["overrides"][0] in command
    assert "engine.epochs=2" in command


@pytest.mark.slow
def test_any_number_of_workers_gives_the_same_points_and_scores(process):
    sweep(process, *SHORT, "name=alone")
    sweep(process, *SHORT, "name=two", "sweep.num_workers=2")
    alone, two = folder(process, "alone"), folder(process, "two")
    assert points(alone) == points(two)
    assert scores(alone) == scores(two)
    assert comparable(alone) == comparable(two)


@pytest.mark.slow
@pytest.mark.parametrize("num_ended", [0, 6])
def test_a_killed_sweep_ends_with_the_same_winner_and_no_trial_twice(runner, process, num_ended):
    words = [*SHORT, *SABOTAGED]
    sweep(runner, *words, "name=whole")
    whole = folder(runner, "whole")
    (runner.folder / "dawdle").write_text("0.02")
    begun = process.start("sweep", *words, "name=killed", "sweep.num_workers=2")
    wait_for(lambda: started(runner, "killed"), num_ended, begun)
    os.killpg(begun.pid, signal.SIGKILL)
    begun.communicate()
    path = folder(runner, "killed")
    assert record(path)["status"] == "running"
    before = journal(path)
    (runner.folder / "dawdle").unlink()
    process("resume", path, "--trust")
    assert journal(path)[: len(before)] == before, "what had been journaled stays as it was"
    assert points(path) == points(whole)
    assert scores(path) == scores(whole)
    assert set(ends(path).values()) == {1}
    assert comparable(path) == comparable(whole)


@pytest.mark.slow
def test_a_killed_sweep_of_vectorized_trials_ends_as_one_that_went_through(process):
    words = [*SMALL, LR, "sweep.rounds=[{trials: 4, epochs: 4},{trials: 3, epochs: 4}]", "sweep.num_finalists=0"]
    words += [
        "reg=dropout",
        "model.hidden=[32,32]",
        "sweep.vectorize=8",
        "engine.checkpoint_every_seconds=0",
        "sweep.keep_checkpoints=all",
        *SABOTAGED,
    ]
    (process.folder / "dawdle").write_text("0.01")
    sweep(process, *words, "name=whole")
    whole = folder(process, "whole")
    (process.folder / "kill_at_epoch_3").touch()
    sweep(process, *words, "name=killed", status=-signal.SIGKILL)
    path = folder(process, "killed")
    assert (path / "trials/0002/checkpoints/last.pt").exists()
    assert not scores(path)
    process("resume", path, "--trust")
    assert (path / "vectorize.json").read_text() == (whole / "vectorize.json").read_text()
    assert scores(path) == scores(whole)
    assert comparable(path) == comparable(whole)
    notes = {event["note"] for event in journal(path) if event["event"] == "started"}
    assert notes == {"sweep.vectorize is 8"}
    run = process("resume", path / "trials/0001", "engine.epochs=5", "--trust")
    assert "finished" in run.stdout, "a vectorized trial is a run like any other"


@pytest.mark.slow
def test_a_vectorized_sweep_scores_as_one_by_one(runner):
    words = [*SMALL, LR, "sweep.rounds=[{trials: 6, epochs: 2}]", "sweep.num_finalists=0", "model.hidden=[8]"]
    sweep(runner, *words, "sweep.vectorize=off", "name=alone")
    sweep(runner, *words, "sweep.vectorize=6", "name=vectorized", "log.tensorboard=true")
    alone, vectorized = folder(runner, "alone"), folder(runner, "vectorized")
    for path, note in ((alone, "sweep.vectorize is off"), (vectorized, "sweep.vectorize is 6")):
        assert {event["note"] for event in journal(path) if event["event"] == "started"} == {note}
    assert points(alone) == points(vectorized)
    assert scores(vectorized) == pytest.approx(scores(alone), abs=0.01)
    for number in range(6):
        assert list((vectorized / f"trials/{number:04d}").glob("events.out.tfevents.*"))
    assert list(vectorized.glob("events.out.tfevents.*"))
    assert not list(alone.rglob("events.out.tfevents.*"))


def test_the_folder_of_ones_own_configs_is_told_in_either_form(tmp_path, monkeypatch):
    monkeypatch.setattr(command.config, "add_user_folder", (added := []).append)
    for words in (["-cd", str(tmp_path)], ["--config-dir", str(tmp_path)], [f"--config-dir={tmp_path}"]):
        assert command.as_multirun([*words, "seed=1"]) == ["--multirun", "seed=1"]
    assert added == [tmp_path] * 3


def started(runner, name):
    """How many trials have ended, once one more has started."""
    found = list(runner.folder.glob(f"outputs/{name}/*/journal.jsonl"))
    if not found:
        return -1
    counts = Counter(json.loads(line)["event"] for line in found[0].read_text().splitlines())
    return counts["finished"] if counts["started"] > counts["finished"] else -1


def wait_for(count, at_least, process):
    until = time.monotonic() + 60
    while count() < at_least:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.02)


@pytest.mark.slow
def test_a_worker_that_dies_costs_neither_the_sweep_nor_the_trial(process):
    (process.folder / "kill_one").touch()
    sweep(process, *SHORT, *SABOTAGED, "name=it", "sweep.num_workers=2")
    path = folder(process, "it")
    assert (process.folder / "killed").exists()
    starts = Counter(event["trial"] for event in journal(path) if event["event"] == "started")
    assert sorted(starts.values()) == [*[1] * 8, 2]
    assert len(scores(path)) == 9


@pytest.mark.slow
def test_ctrl_c_is_noted_and_the_sweep_goes_on(process):
    (process.folder / "saboteur.py").write_text(SABOTEUR)
    (process.folder / "dawdle").write_text("1")
    running = process.start("sweep", *SHORT, *SABOTAGED, "name=it", "sweep.num_workers=2")
    wait_for(lambda: started(process, "it"), 0, running)
    path = folder(process, "it")
    refused = process("resume", path, "--trust", status=2)
    assert "another process" in refused.stderr
    os.killpg(running.pid, signal.SIGINT)
    out, err = running.communicate(timeout=60)
    assert running.returncode == 130, err
    assert f"runner resume {path.relative_to(process.folder)} --trust" in out
    assert record(path)["status"] == "interrupted"
    (process.folder / "dawdle").unlink()
    process("resume", path, "--trust")
    assert record(path)["status"] == "finished"
    assert set(ends(path).values()) == {1}


def test_trials_that_diverge_or_fail_are_counted_and_never_chosen(runner):
    words = ["optimizer=sgd", "optimizer.lr=0.1,1e4", "sweep.rounds=[{trials: 2, epochs: 1}]", "sweep.num_finalists=0"]
    out = sweep(runner, *SMALL, *words, "name=it").stdout
    path = folder(runner, "it")
    assert Counter(event["event"] for event in journal(path))["diverged"] == 1
    assert record(path)["best"]["overrides"][0] == "optimizer.lr=0.1"
    assert "1 diverged, 1 finished" in out


def test_when_all_trials_fail_the_sweep_ends_and_shows_the_first_traceback_once(runner):
    (runner.folder / "break").touch()
    done = sweep(runner, *SHORT, *SABOTAGED, "name=it", "sweep.max_failures=3", status=1)
    path = folder(runner, "it")
    assert done.stdout.count("RuntimeError: broken on purpose") >= 1
    assert done.stdout.count("Traceback") == 1
    assert "3 trials have failed and none has finished" in done.stderr
    assert record(path)["status"] == "failed"
    assert json.loads((path / "trials/0000/run.json").read_text())["status"] == "failed"
    (runner.folder / "break").unlink()
    assert Counter(event["event"] for event in journal(path))["failed"] == 3


@pytest.mark.slow
def test_a_finished_sweep_takes_more_points_and_rounds(runner):
    sweep(runner, *SHORT, "name=it")
    path = folder(runner, "it")
    before = points(path)
    runner("resume", path, "sweep.rounds=[{trials: 5, epochs: 1},{trials: 3, epochs: 2},{trials: 2, epochs: 2}]")
    assert {number: words for number, words in points(path).items() if number in before} == before
    assert [entry["num_trials"] for entry in record(path)["rounds"] if entry["kind"] == "search"] == [5, 3, 2]
    said = runner("resume", path, "sweep.rounds=[{trials: 5, epochs: 1}]", status=2).stderr
    assert said == "runner: sweep.rounds: 3 have begun, asked for now are 1; put them back\n"
    said = runner("resume", path, "engine.epochs=3", status=2).stderr
    assert said.startswith("runner: engine.epochs: the finals trained for 2, asked for now are 3; put it back")


@pytest.mark.slow
def test_halving_stops_the_worse_half_at_half_its_epochs(runner):
    words = [LR, "sweep.rounds=[{trials: 4, epochs: 4}]", "sweep.pruner=halving", "sweep.num_finalists=0"]
    sweep(runner, *SMALL, *words, "name=it")
    path = folder(runner, "it")
    counts = Counter(event["event"] for event in journal(path))
    assert (counts["waiting"], counts["pruned"], counts["finished"]) == (4, 2, 2)
    for event in journal(path):
        if event["event"] in ("pruned", "finished"):
            lines = (path / event["folder"] / "metrics.jsonl").read_text().splitlines()
            assert len(lines) == (2 if event["event"] == "pruned" else 4)


@pytest.mark.slow
def test_thirty_two_points_on_two_workers(process):
    words = [
        "reg=l2",
        LR,
        "reg.l2.strength=tag(log,interval(1e-6,1e-1))",
        "sweep.num_workers=2",
        "sweep.num_finalists=0",
    ]
    rounds = "sweep.rounds=[{trials: 20, epochs: 1},{trials: 12, epochs: 2}]"
    sweep(process, *SMALL, *words, rounds, "name=it")
    path = folder(process, "it")
    assert sum(ends(path).values()) == 32
    assert record(path)["best"]["score"] == max(scores(path)[trial] for trial in range(20, 32))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "sweep.space: nothing to search; choose one, as in sweep=lr, or give a range"),
        (["optimizer.lr=tag(log,interval(0,1))"], "optimizer.lr: a log range needs bounds above zero"),
        (["optimizer.lrr=interval(0.1,1)"], "optimizer.lrr: no such key; did you mean 'optimizer.lr'"),
        (["reg.l2.strength=interval(0.1,1)"], "reg.l2.strength: no such key while l2 is not chosen"),
        (["sweep=lr", "sweep.round=[]"], "sweep.round: no such key; did you mean 'sweep.rounds'"),
        (["sweep=lr", "sweep.rounds=[]"], "sweep.rounds: must have at least one round"),
        (["sweep=lr", "sweep.rounds=[{trials: 3}]"], "sweep.rounds[0].epochs: must be set"),
        (["sweep=lr", "sweep.rounds=[{trials: 3, epochs: 0.5}]"], "sweep.rounds[0].epochs: must be a whole number"),
        (["sweep=lr", "sweep.sampler=sobel"], "sweep.sampler: must be one of 'sobol', 'random', 'grid', not 'sobel'"),
        (["sweep=lr", "optimizer.momentum=0.9"], "optimizer.momentum: momentum is a key of optimizer=momentum, muon,"),
        (["sweep=lr", "sweep.max_shrink=0.5"], "sweep.max_shrink: must be at least 1, not 0.5"),
        (["sweep=nothing"], "sweep=nothing: no such option"),
        ([LR, "model=lineer"], "model=lineer: no such option; did you mean 'linear'"),
        ([LR, "modle=linear"], "modle: no such key; did you mean 'model'"),
        ([LR, "sweep.wrkers=2"], "sweep.wrkers: no such key; did you mean 'sweep.num_workers'"),
        (["optimizer=sgd,adam", "optimizer.lrr=3"], "optimizer.lrr: no such key; did you mean 'optimizer.lr'"),
        (["sweep=lr", "hydra/launcher=ray"], "hydra/launcher=ray: needs an extra; install it with: pip install"),
        (["engine.epochs=interval(1,3)"], "engine.epochs: a sweep sets it itself and cannot search it"),
        (["sweep=lr", "seed=range(1,4)"], "seed: a sweep sets it itself and cannot search it"),
        (
            ["sweep=optimizers", "sweep.conditional={optimizer: {sgdd: ['optimizer.lr=interval(1,2)']}}"],
            "optimizer=sgdd: no such option",
        ),
        (["sweep=lr", "sweep.rounds=[{trials: 3, epochs: 0%}]"], "sweep.rounds[0].epochs: must be a whole number"),
        (["-cd", "nowhere", "sweep=lr"], "--config-dir: no folder nowhere; correct it"),
        (["optimizer.lr=interval(-2.0,-1.0)"], "optimizer.lr: must be above 0"),
        (["optimizer.lr=interval(-2.0,1.0)"], "optimizer.lr: must be above 0, not -2"),
        (["reg=dropout", "reg.dropout.p=interval(0.1,1.5)"], "reg.dropout.p: must be at least 0 and below 1, not 1.5"),
        (
            ["optimizer=sgd,adam", "optimizer.momentum=interval(0.1,0.9)"],
            "optimizer.momentum: no such key; did you mean",
        ),
        (["reg.l3.strength=interval(0.1,1)"], "reg.l3.strength: no such key; see runner options"),
        (
            ["sweep=lr", "sweep.conditional={model: {mlp: ['model.hidden=[8],[16]']}}"],
            "sweep.conditional: model.hidden[model=mlp] never applies; name a group that is searched",
        ),
    ],
)
def test_a_mistake_is_one_line_and_leaves_no_folder(runner, words, message):
    said = runner("sweep", *words, status=2).stderr
    assert message in said
    assert len(said.strip().splitlines()) == 1
    assert not list(runner.folder.iterdir())


@pytest.mark.slow
def test_going_on_with_another_space_is_refused_by_name(runner):
    sweep(runner, *SMALL, LR, "sweep.rounds=[{trials: 2, epochs: 1}]", "sweep.num_finalists=0", "name=it")
    path = folder(runner, "it")
    done = runner("resume", path, "optimizer.lr=loguniform(1e-6,1e-1)", status=2)
    assert "optimizer.lr: the sweep searches low 0.0001, high 0.1, scale log" in done.stderr
    done = runner("resume", path, "sweep.rounds=[{trials: 2, epochs: 2}]", status=2)
    assert "sweep.rounds: round 1 has 1 epochs, asked for now are 2" in done.stderr
    done = runner("resume", path, "sweep.rounds=[{trials: 1, epochs: 1}]", status=2)
    assert "sweep.rounds: round 1 has 2 trials, asked for now are 1" in done.stderr
    done = runner("resume", path, "data.batch_size=64", status=2)
    assert "data.batch_size: the sweep was begun with 128, the configs now say 64" in done.stderr
    (path / "journal.jsonl").rename(path / "elsewhere")
    assert "journal.jsonl: is missing" in runner("resume", path, status=2).stderr


@pytest.mark.slow
def test_going_on_warns_of_what_is_no_longer_as_it_was(runner):
    sweep(
        runner,
        *SMALL,
        LR,
        "data.eval_batch_size=${data.batch_size}",
        "sweep.rounds=[{trials: 1, epochs: 1}]",
        "sweep.num_finalists=0",
        "name=it",
    )
    path = folder(runner, "it")
    assert "warning" not in runner("resume", path).stderr
    about = json.loads((path / "environment.json").read_text())
    about["packages"]["torch"] = "1.0"
    (path / "environment.json").write_text(json.dumps(about))
    said = runner("resume", path).stderr
    assert said.startswith("warning: torch was 1.0 when the sweep began and is ")
    assert said.endswith("; trials from before and after may not compare\n")
    assert said.count("\n") == 1


@pytest.mark.slow
def test_configs_of_ones_own_are_found_again_when_a_sweep_goes_on(runner):
    own = runner.folder / "own/sweep"
    own.mkdir(parents=True)
    (own / "mine.yaml").write_text(
        "defaults: [default, _self_]\nspace: ['optimizer=momentum,sgd']\n"
        "conditional: {optimizer: {momentum: ['optimizer.momentum=uniform(0.8,0.99)']}}\n"
    )
    words = [
        "--config-dir",
        "own",
        "sweep=mine",
        "model=linear",
        "optimizer.lr=0.005",
        "sweep.num_finalists=0",
        "name=it",
    ]
    sweep(runner, *SMALL[2:], *words, "sweep.rounds=[{trials: 8, epochs: 1},{trials: 8, epochs: 1}]")
    path = folder(runner, "it")
    assert all(about.get("high", 0) < 1 for about in record(path)["rounds"][1]["ranges"].values()), "a momentum above 1"
    more = "sweep.rounds=[{trials: 8, epochs: 1},{trials: 9, epochs: 1}]"
    assert "reads configs from" in runner("resume", path, more, status=2).stderr
    runner("resume", path, more, "--trust")
    assert sum(ends(path).values()) == 17


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "searched"),
    [
        (["optimizer=adamw"], ["optimizer.lr"]),
        (["optimizer=momentum"], ["optimizer.momentum", "optimizer.lr[optimizer=momentum]"]),
        (
            ["optimizer=momentum,adamw", "optimizer.lr=tag(log,interval(1e-3,1e-2))"],
            ["optimizer.momentum", "optimizer", "optimizer.lr"],
        ),
        (
            [
                "optimizer=momentum,adamw",
                "sweep.conditional={optimizer: {adamw: ['optimizer.eps=interval(1e-8,1e-7)']}}",
            ],
            [
                "optimizer.lr",
                "optimizer.momentum",
                "optimizer",
                "optimizer.lr[optimizer=momentum]",
                "optimizer.eps[optimizer=adamw]",
            ],
        ),
    ],
)
def test_the_command_line_wins_over_the_file(runner, words, searched):
    short = ["sweep.rounds=[{trials: 1, epochs: 1}]", "engine.limit_batches=1", "sweep.num_finalists=0"]
    quiet = ["log.tensorboard=false", "sweep.report=false", "name=it"]
    runner("sweep", "sweep=optimizers", "model=linear", *words, *short, *quiet)
    (path,) = runner.folder.glob("outputs/it/*/sweep.json")
    assert list(json.loads(path.read_text())["space"]) == searched


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (
            ["data=folder", "data.root=nowhere"],
            2,
            "the first failed: data.root: no folder nowhere",
        ),
        (["optimizer=sgd", "optimizer.lr=tag(log,interval(1e20,1e22))"], 3, "the first diverged: "),
    ],
)
def test_a_sweep_of_which_nothing_came_says_so_and_why(runner, words, status, said):
    rounds = "sweep.rounds=[{trials: 2, epochs: 1}]"
    done = sweep(runner, *SMALL, LR, *words, rounds, "sweep.num_finalists=0", "name=it", status=status)
    assert done.stderr.strip().splitlines()[-1].startswith("runner: ")
    assert said in done.stderr
    assert "no trial has finished" not in done.stdout  # said once
    assert record(folder(runner, "it"))["status"] == "failed"


@pytest.mark.slow
def test_a_sweep_that_stopped_at_a_failure_says_how_to_go_on_without_the_trial(runner):
    (runner.folder / "break").touch()
    words = [*SMALL, LR, *SABOTAGED, "sweep.rounds=[{trials: 3, epochs: 1}]", "sweep.num_finalists=0", "name=it"]
    sweep(runner, *words, "sweep.on_error=stop", status=1)
    (runner.folder / "break").unlink()
    path = folder(runner, "it")
    (path / "trials/0001/config.yaml").unlink()
    (path / "trials/0002/config.yaml").write_text("engine: [")
    done = runner("resume", path, "--trust", status=1)
    assert done.stderr.count("; written again\n") == 2
    assert "trial 0 failed (RuntimeError: broken on purpose), and sweep.on_error is stop" in done.stderr
    assert "resume with sweep.on_error=continue" in done.stderr
    runner("resume", path, "sweep.on_error=continue", "--trust")
    assert ends(path) == Counter(range(3))


def test_a_sweep_whose_overrides_refer_to_other_keys_goes_on_without_being_trusted(runner):
    words = ["optimizer.lr=0.1,0.2", "optimizer.weight_decay=${optimizer.lr}", "sweep.num_finalists=0", "name=it"]
    quiet = ["model=linear", "engine.limit_batches=1", "log.tensorboard=false", "sweep.report=false"]
    runner("sweep", *words, *quiet, "sweep.rounds=[{trials: 2, epochs: 1}]")
    path = folder(runner, "it")
    runner("resume", path, "sweep.rounds=[{trials: 2, epochs: 1},{trials: 2, epochs: 1}]")
    assert ends(path) == Counter(range(4))


def test_less_of_a_loss_is_better_unless_said_otherwise(runner):
    words = [*SMALL, LR, "sweep.rounds=[{trials: 4, epochs: 1}]", "sweep.num_finalists=0", "objective.name=val/loss"]
    sweep(runner, *words, "name=it")
    path = folder(runner, "it")
    assert record(path)["objective"] == {"name": "val/loss", "mode": "min"}
    assert record(path)["best"]["score"] == min(scores(path).values())
