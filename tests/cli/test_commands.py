"""The commands as a user types them."""

import json
import re
import subprocess
import sys

import pytest

from runner.command.options import options
from tests.looks import COLORS

COMMANDS = ["board", "compare", "list", "note", "options", "remove", "resume", "stop", "sweep", "tag", "test", "train"]
HEAVY = {"torch", "hydra", "omegaconf", "numpy", "rich", "matplotlib", "yaml"}


def loaded_by(*words):
    """The outermost modules that a command has loaded at its end."""
    code = f"import sys\nfrom runner import cli\ntry: cli.main({list(words)!r})\nexcept SystemExit: pass\n"
    code += "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout, set(done.stdout.splitlines()[-1].split())


def test_help_is_there_at_once_for_it_loads_nothing_heavy():
    out, modules = loaded_by("--help")
    assert "usage: runner COMMAND" in out
    for command in ("train", "resume", "test", "options"):
        assert command in out
    assert out.count("runner train") >= 3
    assert not modules & HEAVY


@pytest.mark.parametrize(
    "words", [["train", "--help"], ["sweep", "--help"], ["options", "optimizer"], ["compare", "-h"]]
)
def test_what_only_explains_loads_no_torch(words):
    _, modules = loaded_by(*words)
    assert not modules & {"torch", "matplotlib"}


@pytest.mark.parametrize("words", [[], ["-h"], ["help"]])
def test_help_in_other_words(runner, words):
    assert "usage: runner COMMAND" in runner(*words).stdout


@pytest.mark.parametrize(("first", "key"), [("# Mine.", "model.seed"), ("# @package _global_", "seed")])
def test_keys_of_an_option_are_told_where_they_land(tmp_path, first, key):
    (tmp_path / "model").mkdir()
    (tmp_path / "model/mine.yaml").write_text(f"{first}\nseed: 5  # Seed.\n")
    (option,) = options([tmp_path], "model")
    assert option.keys == [(key, "5", "Seed.")]


@pytest.mark.parametrize("command", ["train", "sweep", "resume", "test", "compare", "options"])
def test_each_command_explains_itself(runner, command):
    done = runner(command, "--help")
    assert f"runner {command}" in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize("words", [("--help",), ("train", "--help"), ("options", "optimizer")])
def test_a_reader_that_has_gone_is_no_error_to_talk_about(process, words):
    command = process.start(*words)
    command.stdout.close()
    with command.stderr as said:
        assert said.read() == ""
    assert command.wait(timeout=60) == 1


def test_train_then_test_then_resume(runner):
    done = runner("train", "engine.epochs=2")
    (folder,) = runner.runs()
    shown = str(folder.relative_to(runner.folder))
    for wanted in ("finished", "best val/accuracy", shown, "tensorboard --logdir outputs", f"runner test {shown}"):
        assert wanted in done.stdout
    done = runner("test", shown)
    rows = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines() if line.split()[:1] != []}
    result = json.loads((folder / "test.json").read_text())
    assert f"accuracy {result['accuracy']:.4f}" in done.stdout
    assert result["num_images"] == 299
    assert 0.5 < result["accuracy"] <= result["top5_accuracy"] <= 1
    assert sum(map(sum, result["confusion"])) == 299
    correct = sum(result["confusion"][k][k] for k in range(10))
    assert result["accuracy"] == pytest.approx(correct / 299)
    assert result["classes"]["3"]["recall"] == pytest.approx(result["confusion"][3][3] / sum(result["confusion"][3]))
    three = result["classes"]["3"]
    low, high = (f"{bound:.4f}" for bound in three["recall_ci"])
    figures = [f"{three[key]:.4f}" for key in ("recall", "precision", "f1")]
    assert rows["3"] == [str(three["num_images"]), figures[0], low, "to", high, *figures[1:]]
    assert (folder / "figures/confusion.png").read_bytes().startswith(b"\x89PNG")
    done = runner("resume", shown)
    assert "finished after epoch 2; to train on, raise engine.epochs above 2" in done.stdout
    runner("resume", shown, "engine.epochs=3")
    epochs = [json.loads(line)["epoch"] for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert epochs == [1, 2, 3]
    assert "epochs: 3" in (folder / "config.yaml").read_text()
    flipped = runner("test", shown, "tta=flip", "--weights", "last")
    assert "last (epoch 3)" in flipped.stdout
    assert f"before: best (epoch {result['epoch']}) by Single: accuracy {result['accuracy']:.4f}\n" in flipped.stdout
    assert json.loads((folder / "test.json").read_text())["tta"] == {"_target_": "runner.tta.Flip"}


def test_multirun_makes_an_ordinary_folder_for_each_job(runner):
    runner("train", "-m", "optimizer=sgd,adam", "seed=1,2", "engine.epochs=1", "model=linear")
    records = [json.loads((folder / "run.json").read_text()) for folder in runner.runs()]
    assert [record["overrides"][:2] for record in records] == [
        ["optimizer=sgd", "seed=1"],
        ["optimizer=sgd", "seed=2"],
        ["optimizer=adam", "seed=1"],
        ["optimizer=adam", "seed=2"],
    ]
    assert all(record["status"] == "finished" for record in records)


@pytest.mark.slow
def test_multirun_goes_on_after_a_job_that_fails(runner):
    done = runner("train", "-m", "reg=dropout,none", "model=linear", "engine.epochs=1", status=2)
    (folder,) = runner.runs()
    assert json.loads((folder / "run.json").read_text())["choices"]["reg"] == "none"
    assert "runner: job 1/2: reg.dropout" in done.stderr


def test_a_diverged_run_says_what_to_try_and_exits_with_3(runner):
    done = runner("train", "optimizer=sgd", "optimizer.lr=1e30", "model=mlp", status=3)
    assert "what to try: a lower learning rate (optimizer.lr)" in done.stdout
    assert json.loads((runner.runs()[0] / "run.json").read_text())["status"] == "diverged"
    done = runner("train", "-m", "optimizer=sgd", "optimizer.lr=1e30,0.1", "model=mlp", "engine.epochs=1", status=3)
    assert "best val/accuracy none" in done.stdout
    assert [json.loads((folder / "run.json").read_text())["status"] for folder in runner.runs()[1:]] == [
        "diverged",
        "finished",
    ]


def test_hydras_flags_work_on_either_side_of_the_overrides(runner):
    for words in (["--cfg", "job", "optimizer=sgd", "seed=7"], ["optimizer=sgd", "--cfg", "job", "seed=7"]):
        done = runner("train", *words)
        assert "_target_: runner.optimizer.sgd" in done.stdout
        assert "seed: 7" in done.stdout
    assert "reg/l2" in runner("train", "reg=l2", "--info").stdout
    assert runner.runs() == []


def test_options_lists_groups_and_the_keys_of_one(runner):
    everything = runner("options").stdout
    for wanted in ("optimizer", "momentum", "Nesterov momentum", "cifar10_resnet"):
        assert wanted in everything
    keys = runner("options", "reg").stdout
    assert "reg.dropout.p=0.5" in keys
    assert "reg.l2.strength=5e-4" in keys
    wrong = runner("options", "optimiser", status=2)
    assert wrong.stderr == "runner: optimiser: no such group; did you mean 'optimizer'?\n"


@pytest.mark.slow
def test_paths_and_commands_can_be_copied_from_a_terminal_with_colors(runner):
    quick = ["model=linear", "engine.limit_batches=1", "log.tensorboard=false", "log.progress=lines"]
    out = runner("train", *quick, "engine.epochs=1", env=COLORS).stdout
    (folder,) = runner.runs()
    shown = folder.relative_to(runner.folder)
    assert "\x1b[32mfinished" in out
    for line in ("tensorboard --logdir outputs", f"runner test {shown}", f"runner resume {shown} engine.epochs=2"):
        assert f"\n  {line}\n" in out
    out = runner("test", shown, env=COLORS).stdout
    assert out.startswith(f"{shown}: best (epoch 1)\n")
    assert " on 299 images\ncalibration error " in out
    assert out.endswith(f"\nwrote {shown}/test.json and figures in {shown}/figures\n")
    search = ["sweep=lr", "sweep.rounds=[{trials: 1, epochs: 1}]", "sweep.num_finalists=0", "sweep.report=false"]
    out = runner("sweep", *quick, *search, "name=it", env=COLORS).stdout
    (path,) = (path.parent.relative_to(runner.folder) for path in runner.folder.glob("outputs/it/*/sweep.json"))
    assert f"\nfolder  {path}\n" in out
    assert f"\n  runner compare {path}\n" in out


def test_the_row_of_the_best_run_is_green_at_a_terminal_with_colors(runner, write_run):
    write_run("outputs/a", (0.9, 0.9), **{"optimizer.lr": 0.5})
    write_run("outputs/b", (0.5, 0.5), **{"optimizer.lr": 0.25})
    out = runner("compare", env=COLORS).stdout
    best, other = (next(line for line in out.splitlines() if value in line) for value in ("0.9000", "0.5000"))
    assert "\x1b[1;32m" in best
    assert "32m" not in other


def test_a_dry_run_shows_the_network_makes_one_update_and_leaves_no_folder(runner, tmp_path, looks):
    text = runner("train", "model=mlp", "--dry-run", "optimizer=sgd").stdout
    looks("cli/dry_run", re.sub(r"loss .* s;", "loss .., .. s;", text))
    lines = text.splitlines()
    assert lines[0].startswith("data     1,199 train, 299 val, 299 test images")
    assert any(line.split() == ["total", "26,122", "25,856"] for line in lines)
    assert lines[-1].startswith("one batch forward and backward: loss ")
    assert lines[-1].endswith("nothing was written")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_new_run_may_begin_from_what_was_said_for_an_old_one(runner):
    runner("train", "model=linear", "engine.epochs=1", "optimizer.lr=0.1")
    done = runner("train", "optimizer.lr=0.2", "--like", "last", "seed=3")
    assert done.stdout.splitlines()[0] == (
        "like outputs/digits-linear/0001-epochs=1-lr=0.1, but optimizer.lr=0.1 -> 0.2, seed=3"
    )
    record = json.loads((runner.runs()[-1] / "run.json").read_text())
    assert record["overrides"] == ["model=linear", "engine.epochs=1", "optimizer.lr=0.2", "seed=3"]
    assert runner("train", "--like=1").stdout.splitlines()[0] == "like outputs/digits-linear/0001-epochs=1-lr=0.1"
    for words in (["--like"], ["--like", "nowhere"]):
        done = runner("train", *words, status=2)
        assert done.stderr.count("\n") == 1


def test_an_option_is_asked_for_as_it_is_said_to_train(runner):
    lines = runner("options", "optimizer=adam").stdout.splitlines()
    assert [line.split()[0] for line in lines if line.startswith("  ") and not line.startswith("   ")] == ["adam"]
    assert any("optimizer.lr=" in line for line in lines)
    done = runner("options", "optimizer=adm", status=2)
    assert (done.stdout, done.stderr) == ("", "runner: optimizer=adm: no such option; did you mean 'adam'?\n")


@pytest.mark.parametrize(
    ("option", "line"),
    [
        ("folder", "photos/train/cat/1.jpg"),
        ("table", "labels.csv "),
        ("files", "photos/cat_1.jpg"),
        ("arrays", "x.npz "),
        ("torchvision", "data/flowers-102/setid.mat"),
        ("huggingface", "pets/dataset_dict.json"),
    ],
)
def test_options_show_an_example_of_the_files_of_each_way_of_reading(runner, option, line):
    for words in (["data"], [f"data={option}"]):
        lines = [shown.strip() for shown in runner("options", *words).stdout.splitlines()]
        assert any(shown.startswith(line.strip()) for shown in lines)
    assert line.strip() not in runner("options").stdout


def test_a_regular_expression_is_taken_as_the_shell_leaves_it(runner, tmp_path):
    from PIL import Image

    for index in range(12):
        for name, color in {"great_cat": 0, "dog": 200}.items():
            (tmp_path / "photos").mkdir(exist_ok=True)
            Image.new("L", (8, 8), color + index).save(tmp_path / "photos" / f"{name}_{index}.png")
    words = ["data=files", f"data.root={tmp_path}/photos", "model=linear", "engine.epochs=1"]
    told = runner("train", *words, r"data.label_regex=^(.+)_\d+").stdout
    assert "great_cat: 12 images (great_cat_0.png, great_cat_1.png, great_cat_10.png)" in told
    wrong = runner("train", *words, r"data.label_regex=^.+_\d+", status=2)
    assert wrong.stderr.startswith("runner: data.label_regex: ")
    assert len(wrong.stderr.splitlines()) == 1
    like = runner("train", "--like", "last", "seed=1").stdout
    assert "great_cat: 12 images" in like
