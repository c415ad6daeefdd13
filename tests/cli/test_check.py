"""`runner check`, and `optimizer.lr=auto`."""

import errno
import json

import pytest
from PIL import Image

FAST = ["model=linear", "engine.epochs=1"]


def written(runner):
    (path,) = runner.folder.glob("outputs/*/*/check.json")
    return path.parent, json.loads(path.read_text())


def test_the_names_of_the_checks_are_listed(runner):
    lines = runner("check", "--list").stdout.splitlines()
    names = ["data", "loss", "overfit", "layers", "gradients", "updates", "lr", "cost", "reproducibility"]
    assert [line.split()[0] for line in lines] == names


def test_a_sane_training_leaves_a_table_a_record_and_figures(runner):
    told = runner("check", "model=mlp", "--skip", "cost").stdout
    folder, record = written(runner)
    assert (folder.parent.name, folder.name) == ("digits-mlp", "0001-check")
    assert (record["verdict"], record["status"], record["command"]) == ("ok", "finished", "runner check model=mlp")
    assert all({"name", "verdict", "measured", "expected", "advice"} <= set(check) for check in record["checks"])
    names = {check["name"].partition(".")[0] for check in record["checks"]}
    assert names == {"data", "loss", "overfit", "layers", "gradients", "updates", "lr", "reproducibility"}
    assert all(check["name"] in told for check in record["checks"])
    assert {path.name for path in folder.iterdir()} >= {"config.yaml", "overrides.yaml", "environment.json"}
    assert not (folder / "checkpoints").exists()
    for name in ("batch.png", "layers.png", "lr.png"):
        with Image.open(folder / "figures" / name) as picture:
            assert picture.width > 100


def test_what_is_wrong_gives_exit_status_4_and_what_to_do(runner):
    told = runner("check", "--only=lr", *FAST, "optimizer.lr=1e-9", status=4).stdout
    _, record = written(runner)
    assert record["verdict"] == "wrong"
    (check,) = record["checks"]
    assert check["advice"] in told
    assert "runner sweep optimizer.lr='loguniform(" in check["advice"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--only", "grads"], "--only: grads: no such check; did you mean 'gradients'?"),
        (["--skip=costs"], "--skip: costs: no such check; did you mean 'cost'?"),
        (["--only"], "--only: expected names after it, as in --only data,loss; runner check --list shows them"),
        (["--only", "lr", "--skip", "lr"], "--only, --skip: no check is left; runner check --list names them"),
        (["-m", "seed=1,2"], "-m: runner check looks at one training"),
        (["optimizer.lr=-1"], "optimizer.lr: must be above 0"),
        (["data=folder", "data.root=nowhere"], "nowhere"),
    ],
)
def test_a_mistake_is_one_line(runner, words, told):
    done = runner("check", *words, status=2)
    assert told in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list(runner.folder.glob("outputs/*/*"))


def test_a_profile_opens_and_names_the_costliest_operations(runner):
    runner("check", "--only", "cost", "--profile", *FAST)
    folder, record = written(runner)
    trace = json.loads((folder / "trace.json").read_text())
    assert any(event.get("name", "").startswith("aten::") for event in trace["traceEvents"])
    costliest = record["checks"][-1]["values"]["costliest"]
    assert 1 <= len(costliest) <= 10
    assert record["checks"][-1]["measured"].count("%") == min(3, len(costliest))
    assert sorted((row["share"] for row in costliest), reverse=True) == [row["share"] for row in costliest]


@pytest.mark.slow
def test_a_check_is_no_run(runner):
    runner("train", *FAST)
    runner("check", "--only", "loss", *FAST)
    (run,) = runner.runs()
    assert str(run.name) in runner("test", "last").stdout
    assert "check" not in runner("-sc", "complete", "test", "").stdout


def test_a_rate_that_is_found_is_noted_and_kept(runner):
    runner("train", *FAST, "optimizer.lr=auto")
    (run,) = runner.runs()
    record = json.loads((run / "run.json").read_text())
    found = record["lr_range"]
    assert found["low"] <= found["lr"] <= found["high"]
    assert f"lr: {found['lr']}" in (run / "config.yaml").read_text()
    assert "optimizer.lr=auto" in record["overrides"]
    runner("resume", run, "engine.epochs=2")
    after = json.loads((run / "run.json").read_text())
    assert (after["lr_range"], after["metrics"]["epoch"], after["status"]) == (found, 2, "finished")


def test_the_same_rate_said_by_hand_trains_the_same(runner):
    runner("train", *FAST, "optimizer.lr=auto")
    (run,) = runner.runs()
    lr = json.loads((run / "run.json").read_text())["lr_range"]["lr"]
    runner("train", *FAST, f"optimizer.lr={lr}")
    losses = [json.loads((path / "metrics.jsonl").read_text())["train/loss"] for path in runner.runs()]
    assert losses[0] == losses[1]


def test_a_rate_is_found_for_a_training_alone(runner):
    words = [*FAST, "reg=l2", "reg.l2.strength=loguniform(1e-5,1e-1)", "optimizer.lr=auto"]
    told = runner("sweep", *words, status=2).stderr
    assert "optimizer.lr: auto is found by runner train alone; give a number" in told
    lbfgs = ["optimizer=lbfgs", "data.batch_size=2000", "schedule=constant", "optimizer.lr=auto"]
    assert "optimizer.lr: auto: L-BFGS" in runner("train", *FAST, *lbfgs, status=2).stderr


def test_a_full_disk_is_one_line(runner, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device", "outputs/it")

    monkeypatch.setattr("runner.check.run.check", full)
    done = runner("check", *FAST, status=2)
    assert done.stderr == "runner: outputs/it: No space left on device; free some space, then go on\n"
