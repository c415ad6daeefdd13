"""`runner predict`, `runner export`, and `runner test` of several runs and of other images."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from runner.command.stored import split_words
from tests.looks import COLORS


@pytest.fixture
def digits(runner):
    """Image files of the embedded digits: a folder for each class, five files in each."""
    from sklearn.datasets import load_digits

    found = load_digits()
    counts = dict.fromkeys(range(10), 0)
    for pixels, label in zip(found.images, found.target, strict=True):
        if counts[label] < 5:
            path = runner.folder / f"digits/{label}/{counts[label]}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray((pixels * 255 / 16).round().astype(np.uint8)).save(path)
            counts[label] += 1
    return runner.folder / "digits"


@pytest.fixture
def run(runner):
    runner("train", "model=linear", "engine.epochs=3", "log.tensorboard=false")
    return "last"


def rows_of(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_a_table_of_files_with_label_and_probability(runner, run, digits):
    lines = runner("predict", run, "digits/3", "digits/0/1.png").stdout.splitlines()
    assert lines[0].split() == ["file", "label", "probability"]
    assert [line.split()[0] for line in lines[1:]] == [*(f"digits/3/{n}.png" for n in range(5)), "digits/0/1.png"]
    assert sum(line.split()[1] == "3" for line in lines[1:6]) >= 4


def test_on_a_terminal_progress_is_shown_beside_the_table(runner, run, digits):
    done = runner("predict", run, "digits", env=COLORS)
    assert "predicting 50 images" in done.stderr
    assert "predicting" not in done.stdout
    assert "predicting" not in runner("predict", run, "digits/3/0.png", env=COLORS).stderr


def test_the_formats_say_the_same(runner, run, digits):
    as_csv = rows_of(runner("predict", run, "digits", "--top", "3", "--format", "csv").stdout)
    as_json = json.loads(runner("predict", run, "digits", "--top=3", "--format=json").stdout)
    lines = runner("predict", run, "digits", "--top=3", "--format=jsonl").stdout.splitlines()
    assert list(as_csv[0]) == ["file", "label", "probability", "label_2", "probability_2", "label_3", "probability_3"]
    assert [json.loads(line) for line in lines] == as_json
    assert [{key: str(value) for key, value in row.items()} for row in as_json] == as_csv
    assert len(as_csv) == 50
    runner("predict", run, "digits", "--top=3", "--out", "made.csv")
    assert rows_of((runner.folder / "made.csv").read_text()) == as_csv


def test_below_the_threshold_a_label_is_unsure(runner, run, digits):
    certain = rows_of(runner("predict", run, "digits", "--format=csv").stdout)
    threshold = sorted(float(row["probability"]) for row in certain)[25]
    found = rows_of(runner("predict", run, "digits", "--format=csv", "--threshold", f"{threshold:.6f}").stdout)
    for row, sure in zip(found, certain, strict=True):
        assert row["label"] == (sure["label"] if float(sure["probability"]) >= threshold else "unsure")
    assert 20 <= sum(row["label"] == "unsure" for row in found) <= 26


def test_names_come_from_standard_input(runner, run, digits, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("digits/1/0.png\n\ndigits/1/1.png\n"))
    assert [row["file"] for row in rows_of(runner("predict", run, "-", "--format=csv").stdout)] == [
        "digits/1/0.png",
        "digits/1/1.png",
    ]


def test_a_file_that_is_no_image_is_named_and_the_exit_status_says_so(runner, run, digits):
    (digits / "3/bad.jpg").write_text("no")
    done = runner("predict", run, "digits/3", "--format=csv", status=1)
    assert done.stderr == "runner: digits/3/bad.jpg: not a readable image (no known image format); skipped\n"
    assert len(rows_of(done.stdout)) == 5


def test_lists_embeddings_and_pictures_are_written(runner, run, digits):
    made = runner.folder / "made"  # folders are made, and may be there
    for _ in range(2):
        runner("predict", run, "digits", "--lists=made/lists", "--embeddings=e.npz", "--pictures=made/pictures")
    listed = {path.stem: path.read_text().split() for path in (made / "lists").glob("*.txt")}
    assert sorted(listed) == [str(k) for k in range(10)]
    assert sum(map(len, listed.values())) == 50
    with np.load(runner.folder / "e.npz") as stored:
        assert stored["embeddings"].shape == (50, 64)  # what goes into the one layer of a linear network
        by_file = dict(zip(stored["files"].tolist(), stored["labels"].tolist(), strict=True))
    assert {name for name, label in by_file.items() if label == "3"} == set(listed["3"])
    pictures = sorted(path.name for path in (made / "pictures").iterdir())
    assert len(pictures) == 51
    assert "contact-sheet.png" in pictures
    assert sum(name[1] == "-" for name in pictures) == 45, "names that are there twice have a number too"
    with Image.open(made / "pictures/contact-sheet.png") as sheet:
        assert sheet.width > 500
    with Image.open(made / "pictures/0.png") as picture:
        assert picture.width == 160 + 2 * 6


def test_a_path_with_an_equals_sign_comes_after_dashes(runner, run, digits):
    (digits / "3").rename(runner.folder / "a=b")
    assert len(rows_of(runner("predict", run, "--format=csv", "--", "a=b").stdout)) == 5
    changed = rows_of(runner("predict", run, "tta=flip", "digits/4", "--format=csv", "--", "a=b").stdout)
    assert len(changed) == 10


def test_a_name_that_is_a_formula_is_none_in_csv(runner, run, digits):
    (digits / "3/0.png").rename(runner.folder / "=1+2.png")
    (row,) = rows_of(runner("predict", run, "--format=csv", "--", "=1+2.png").stdout)
    assert row["file"] == "'=1+2.png"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["predict"], "predict: name a run first, then image files or folders"),
        (["predict", "last"], "predict: name image files or folders after the run"),
        (["predict", "last", "nowhere"], "nowhere: no such file or folder"),
        (["predict", "last", "empty"], "empty: no image files in this folder; name another"),
        (["predict", "nowhere", "digits"], "nowhere: no such folder; expected a run's path"),
        (["predict", "last", "digits", "--top=0"], "predict: --top: must be a whole number of at least 1, not 0"),
        (["predict", "last", "digits", "--threshold=2"], "predict: --threshold: must be a number from 0 to 1, not 2"),
        (["predict", "last", "digits", "optimizer.lr=1"], "optimizer.lr: cannot change in test of a stored run"),
        (["predict", "last", "digits", "--weights=no"], "outputs/"),
        (["test", "last", "--greedy"], "--greedy: chooses among several runs"),
        (["test", "last", "--data=nowhere"], "--data: no folder or table nowhere"),
        (["test", "last", "--data=empty"], "--data: empty has no images"),
        (["test", "last", "--data=others"], "--data: others has a class 'cat' that the run does not know"),
        (["test", "last", "more"], "test: more: no such run"),
    ],
)
def test_mistakes_are_one_line(runner, run, digits, words, said):
    (runner.folder / "empty").mkdir()
    (runner.folder / "others/cat").mkdir(parents=True)
    (digits / "3/0.png").rename(runner.folder / "others/cat/0.png")
    done = runner(*words, status=2)
    assert done.stderr.startswith(f"runner: {said}")
    assert done.stderr.count("\n") == 1


def test_another_folder_is_scored_as_it_is_predicted_and_nothing_is_written(runner, run, digits):
    found = rows_of(runner("predict", run, "digits", "--format=csv").stdout)
    right = sum(row["file"].split("/")[1] == row["label"] for row in found)
    done = runner("test", run, "--data", "digits", "--out", "scores.json")
    assert f"accuracy {right / 50:.4f}" in done.stdout
    assert json.loads((runner.folder / "scores.json").read_text())["num_images"] == 50
    (folder,) = runner.runs()
    assert not (folder / "test.json").exists()


def test_a_table_of_other_images_is_scored_too(runner, run, digits):
    lines = ["path,label,split", "digits/3/0.png,3,train", *(f"digits/{k}/0.png,{k},test" for k in (1, 2, 4))]
    (runner.folder / "labels.csv").write_text("\n".join(lines))
    assert "on 3 images" in runner("test", run, "--data", "labels.csv").stdout


@pytest.mark.slow
def test_several_runs_are_tested_alone_and_together(runner, digits):
    for seed in (1, 2, 3):
        runner("train", "model=mlp", "engine.epochs=1", f"seed={seed}", "log.tensorboard=false")
    done = runner("test", "1", "2", "3", "--out", "together.json")
    found = json.loads((runner.folder / "together.json").read_text())
    alone = [json.loads((folder / "test.json").read_text()) for folder in runner.runs()]
    assert [one["accuracy"]["mean"] for one in found["members"]] == pytest.approx([one["accuracy"] for one in alone])
    assert [one["loss"] for one in found["members"]] == pytest.approx([one["loss"] for one in alone], rel=1e-4)
    assert found["gain"]["mean"] == pytest.approx(found["ensemble"]["accuracy"]["mean"]
                                                  - found["mean_member"]["accuracy"]["mean"])  # fmt: skip
    assert [line.split()[0] for line in done.stdout.splitlines()[1:6]] == [
        *(folder.name for folder in runner.runs()),
        "mean",
        "ensemble",
    ]
    chosen = runner("test", "1", "2", "3", "--greedy", "--average=logits").stdout
    weights = [float(line.split()[-1]) for line in chosen.splitlines()[1:4]]
    assert sum(weights) == pytest.approx(1, abs=0.02)
    predicted = rows_of(runner("predict", "1", "2", "3", "digits", "--format=csv").stdout)
    assert len(predicted) == 50


@pytest.mark.slow
def test_a_sweep_is_tested_by_the_finals_of_its_best(runner):
    runner("sweep", "optimizer.lr=loguniform(1e-3,1e-1)", "model=linear", "engine.epochs=1",
           "sweep.rounds=[{trials: 3, epochs: 1}]", "sweep.num_final_seeds=2", "log.progress=none")  # fmt: skip
    lines = runner("test", "last").stdout.splitlines()
    (folder,) = runner.folder.glob("outputs/*/*sweep*")
    best = json.loads((folder / "sweep.json").read_text())["best"]
    scores = {}
    for line in (folder / "journal.jsonl").read_text().splitlines():
        event = json.loads(line)
        if event["event"] == "finished" and event["seed"] is not None:
            scores[event["trial"]] = event["point"]
    alike = [f"{number:04d}" for number, point in scores.items() if point == scores[best["trial"]]]
    assert len(alike) == 2
    assert [line.split()[0] for line in lines[1:3]] == alike


@pytest.mark.slow
def test_export_says_how_the_file_does_beside_the_network(runner, run):
    pytest.importorskip("onnxruntime")
    lines = runner("export", run, "--out", "model.onnx").stdout.splitlines()
    assert lines[0].split() == ["val", "accuracy", "ms/image,", "batch", "1", "ms/image,", "batch", "32"]
    assert [line.split()[0] for line in lines[1:3]] == ["network", "file"]
    assert lines[1].split()[1] == lines[2].split()[1]
    assert lines[4].startswith("wrote model.onnx (")
    (folder,) = runner.runs()
    assert "wrote" in runner("export", folder.name, "--format=state_dict").stdout
    assert (folder / "model.pt").is_file()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["export", "nowhere"], "nowhere: no such folder"),
        (["export", "last", "what"], "export: what: no such run"),
        (["export", "last", "last"], "export: several runs in one file need its name"),
        (["export", "last", "--format=jpg"], "export: --format: invalid choice: 'jpg'"),
        (["export", "last", "--format=torch_export", "--quantize=int8"], "--quantize: is of --format onnx alone"),
    ],
)
def test_mistakes_of_export_are_one_line(runner, run, words, said):
    done = runner(*words, status=2)
    assert done.stderr.startswith(f"runner: {said}")
    assert done.stderr.count("\n") == 1


def test_average_writes_the_mean_of_checkpoints_which_test_reads(runner):
    runner("train", "model=mlp", "engine.epochs=2", "engine.snapshot_every_epochs=1", "log.tensorboard=false")
    done = runner("average", "last", "--weights=epoch-0001,epoch-0002", "--out", "soup.pt")
    lines = [line.split() for line in done.stdout.splitlines()]
    assert [line[-2] for line in lines[1:4]] == ["epoch-0001", "epoch-0002", "weights"]
    assert "accuracy" in runner("test", "last", "--weights", "soup.pt").stdout
    refused = runner("average", "last", "--out=soup.pt", status=2).stderr
    assert refused.startswith("runner: average: name several runs, or several checkpoints of one")


def test_of_words_those_that_name_runs_come_first_as_many_as_there_are(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in "abc":
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").touch()
    (tmp_path / "photo.png").touch()
    runs, changes, others = split_words(["a", "tta=flip", "b", "c", "photo.png", "a"])
    assert runs == [Path("a"), Path("b"), Path("c")]
    assert changes == ["tta=flip"]
    assert others == ["photo.png", "a"]
