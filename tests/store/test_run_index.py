"""Runs under folders: all of them, each once, damaged ones named, and what is read of each."""

import json
import subprocess
import sys

import pytest

from runner.config import flatten
from runner.errors import UserError
from runner.objective import Objective
from runner.store.run_index import RunSummary, find_runs, without_searches


def names(runs):
    return [run.path.name for run in runs]


def test_runs_are_found_at_any_depth_and_once(write_run, tmp_path):
    write_run("outputs/digits/one")
    write_run("outputs/sweep/id/trials/0")
    write_run("outputs/sweep/id/trials/0/inner")  # belongs to the run
    (tmp_path / "outputs/empty").mkdir()
    runs, damaged = find_runs([tmp_path / "outputs"])
    assert (names(runs), damaged) == (["one", "0"], [])
    again, _ = find_runs([tmp_path / "outputs/digits/one", tmp_path / "outputs"])
    assert names(again) == ["one", "0"]
    inner, _ = find_runs([tmp_path / "outputs/sweep/id/trials/0/inner"])
    assert names(inner) == ["inner"]


def test_a_path_without_runs_is_named(tmp_path):
    with pytest.raises(UserError, match=r"nowhere: no such folder; name"):
        find_runs([tmp_path / "nowhere"])
    with pytest.raises(UserError, match=rf"^{tmp_path}: no runs here"):
        find_runs([tmp_path])


@pytest.mark.parametrize(
    ("file", "content", "reason"),
    [
        ("run.json", "{", "cannot be read"),
        ("run.json", "[1]", "not the record of a run"),
        ("run.json", '{"id": 1}', "not the record of a run"),
        ("config.yaml", "seed: [", "cannot be read"),
        ("config.yaml", "only text", "not a config"),
        ("config.yaml", None, "No such file"),
        ("config.yaml", "model: !!python/object/apply:os.getcwd []", "could not determine a constructor"),
    ],
)
def test_a_damaged_run_is_named_in_one_line_and_the_others_are_read(write_run, tmp_path, file, content, reason):
    write_run("good")
    path = write_run("bad") / file
    path.unlink() if content is None else path.write_text(content)
    runs, (line,) = find_runs([tmp_path])
    assert names(runs) == ["good"]
    assert line.startswith(f"{path}: ")
    assert reason in line
    assert "\n" not in line


def test_the_objectives_value_is_the_recorded_one_and_others_come_from_the_epochs(write_run):
    path = write_run("a", [0.7, 0.9, None, 0.8])
    run = RunSummary.read(path)
    assert run.best(Objective("val/loss", "min")) == pytest.approx(0.1)
    assert run.best(Objective("val/accuracy", "min")) == 0.7  # not the direction of the objective
    (path / "metrics.jsonl").unlink()
    run = RunSummary.read(path)
    assert run.best(Objective("val/accuracy", "max")) == 0.9  # without the file
    assert run.best(Objective("val/loss", "min")) is None
    assert run.images_per_second is None


def test_a_record_is_read_as_far_as_it_makes_sense(write_run):
    path = write_run("a", [0.7], seed=4)
    record = json.loads((path / "run.json").read_text())

    def read(**changed):
        (path / "run.json").write_text(json.dumps(record | changed))
        return RunSummary.read(path)

    assert read().metric_names == {"epoch", "lr", "val/accuracy", "val/loss", "images_per_second"}
    assert read(metrics=None, objective={"name": "val/loss"}).metric_names == {"val/loss"}
    assert read(metrics=None, objective={}).metric_names == set()
    assert read(metrics=None, objective=None).metric_names == set()
    assert (read(metrics=None).epochs, read(metrics={"epoch": True}).epochs, read().epochs) == (None, None, 1)
    assert read(seconds="long").seconds is None
    assert read(choices=3).choices == {}
    assert (read(round=None).round, read(round={"kind": {}}).round) == (None, None)
    assert read(round={"kind": "search"}).config["round"] == "search"
    assert [read(status=status).finished for status in ("finished", "running", "failed")] == [True, False, False]
    (path / "metrics.jsonl").write_text('{"epoch": 1, "a": 0.5}\n[3]\n{"epoch": 2, "a": null}\n{"epoch": 3, "a": 1}\n')
    assert read().curve("a") == [(1, 0.5), (3, 1)]


@pytest.fixture
def swept(write_run, tmp_path):
    """`swept("sweep/trials/0000", "search")` writes a trial of that kind of round."""

    def write(folder, kind, **options):
        path = write_run(folder, **options)
        record = json.loads((path / "run.json").read_text())
        (path / "run.json").write_text(json.dumps(record | {"round": {"kind": kind}}))

    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep/sweep.json").touch()
    return write


def kept(tmp_path):
    runs, _ = find_runs([tmp_path])
    return [str(run.path.relative_to(tmp_path)) for run in without_searches(runs)]


def test_search_trials_are_left_out_where_their_own_sweeps_finals_have_finished(swept, write_run, tmp_path):
    write_run("plain")
    swept("sweep/trials/0000", "search")
    swept("sweep/trials/0001", "finals", status="running")
    assert kept(tmp_path) == ["plain", "sweep/trials/0000", "sweep/trials/0001"]
    swept("sweep/trials/0002", "finals")
    swept("other/trials/0000", "search")  # of a sweep whose finals are not among these
    assert kept(tmp_path) == ["other/trials/0000", "plain", "sweep/trials/0001", "sweep/trials/0002"]


def test_trials_outside_their_sweeps_folder_are_runs_like_others(swept, tmp_path):
    swept("elsewhere/0000", "search")
    swept("elsewhere/0001", "finals")
    swept("gone/trials/0000", "search")  # without its sweep.json
    swept("gone/trials/0001", "finals")
    assert len(kept(tmp_path)) == 4


def test_a_cut_line_of_metrics_ends_them(write_run):
    path = write_run("a", [0.7, 0.8])
    with (path / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 3, "val/acc')
    run = RunSummary.read(path)
    assert run.curve("val/accuracy") == [(1, 0.7), (2, 0.8)]
    assert (run.images_per_second, run.epochs, run.seconds) == (1500.0, 2, 2.0)


def test_a_real_run_is_read_as_the_run_says(train):
    real = train("model=linear", "engine.epochs=2")
    ((found,), damaged) = find_runs([real.folder.parent.parent])
    assert damaged == []
    assert found.best(Objective("val/accuracy", "max")) == real.objective
    assert found.metrics == real.metrics
    assert found.config == {key: value for key, value in flatten(real.config).items() if value != {}}


def test_finding_runs_imports_no_torch():
    code = "import sys, runner.store.run_index, runner.compare.format, runner.plot.curves, runner.plot.html; "
    code += "print({'torch', 'hydra', 'matplotlib'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
