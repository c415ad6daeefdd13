"""Observers of other programs, in their offline modes, and one's own."""

import sys
from typing import ClassVar

import pytest

import runner
from runner.errors import UserError
from runner.training.resume import resume

SMALL = ["model=linear", "engine.epochs=2", "log.tensorboard=false", "log.every_steps=19"]


class Recorder:
    """Notes what it is told."""

    made: ClassVar[list] = []

    def __init__(self, folder, hparams, word="none"):
        self.about = (folder, hparams["optimizer"], word)
        self.told = []
        Recorder.made.append(self)

    def started(self, state):
        self.told.append("started")

    def reported(self, state, losses):
        self.told.append("reported")

    def epoch_ended(self, state, records):
        self.told.append(records[0]["epoch"])

    def __exit__(self, kind, error, traceback):
        self.told.append(error and str(error))


@pytest.fixture
def recorded(monkeypatch):
    monkeypatch.setattr(Recorder, "made", [])
    monkeypatch.setitem(sys.modules, "recorder", sys.modules[__name__])
    return Recorder.made


OWN = "log.observers=[{_target_: recorder.Recorder, word: mine}]"


def test_ones_own_observer_is_given_the_run_and_told_of_it(train, recorded):
    run = train(*SMALL, OWN)
    (observer,) = recorded
    assert observer.about == (run.folder, "adamw", "mine")
    assert observer.told == ["started", "reported", "reported", 1, "reported", "reported", 2, None]


def test_it_is_told_of_the_error_that_ends_the_run(train, recorded, monkeypatch):
    def crash(*args):
        raise RuntimeError("broken on purpose")

    monkeypatch.setattr("runner.engine.evaluate.Evaluate.__call__", crash)
    with pytest.raises(RuntimeError, match="on purpose"):
        train(*SMALL, OWN)
    assert recorded[0].told[-1] == "broken on purpose"


def test_a_key_that_it_does_not_have_is_named(train, recorded):
    with pytest.raises(
        UserError, match=r"log\.observers\.0\.wrod: no such key; did you mean 'log\.observers\.0\.word'"
    ):
        train(*SMALL, OWN.replace("word", "wrod"))


def test_a_stored_observer_is_built_on_trust_alone(train, recorded):
    run = train(*SMALL, OWN)
    with pytest.raises(UserError, match="--trust"):
        resume(run.folder, ["engine.epochs=3"])
    assert resume(run.folder, ["engine.epochs=3"], trust=True).status == "finished"


@pytest.mark.parametrize("name", ["mlflow", "wandb"])
def test_without_its_package_the_extra_is_named_and_no_folder_is_made(train, tmp_path, monkeypatch, name):
    for module in [module for module in sys.modules if module.startswith((f"{name}.", f"runner.log.{name}"))]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UserError, match=rf"log: {name} is not installed; pip install 'runner\[{name}\]'"):
        train(*SMALL, f"log={name}")
    assert not (tmp_path / "outputs").exists()


def test_where_wandb_cannot_be_used_its_first_line_and_the_other_mode_are_told(train, monkeypatch):
    wandb = pytest.importorskip("wandb")

    def init(**_):
        raise wandb.errors.UsageError("No API key configured.\nUse `wandb login`.")

    monkeypatch.setattr(wandb, "init", init)
    said = r"^log\.observers\.0\.mode: online cannot be used \(No API key configured\.\); use offline$"
    with pytest.raises(UserError, match=said):
        train(*SMALL, "log=wandb", "log.observers.0.mode=online")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # those of another program
def test_mlflow_has_the_hyperparameters_and_the_metrics_once(tmp_path):
    client = pytest.importorskip("mlflow.tracking").MlflowClient
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    words = [*SMALL, "log=mlflow", f"log.observers.0.tracking_uri={uri}", f"output_dir={tmp_path}/outputs"]
    run = runner.train([*words, "optimizer.lr=0.01", "log.progress=none"])
    run = resume(run.folder, ["engine.epochs=3"], trust=True)
    store = client(uri)
    (found,) = store.search_runs([store.get_experiment_by_name("digits-linear").experiment_id])
    assert (found.info.run_name, found.info.status) == (run.folder.name, "FINISHED")
    assert (found.data.params["optimizer"], found.data.params["optimizer.lr"]) == ("adamw", "0.01")
    history = store.get_metric_history(found.info.run_id, "val/accuracy")
    assert [(metric.step, metric.value) for metric in history] == [
        (38 * record["epoch"], pytest.approx(record["val/accuracy"])) for record in run.metrics
    ]


def chunks(content):
    """The records of a file in the format of LevelDB's logs: blocks of 32 KiB, each record in one piece or several."""
    place, whole = 7, b""  # after wandb's own head
    while place + 7 <= len(content):
        if 32768 - place % 32768 < 7:
            place += 32768 - place % 32768
        size, kind = int.from_bytes(content[place + 4 : place + 6], "little"), content[place + 6]
        whole += content[place + 7 : place + 7 + size]
        place += 7 + size
        if kind in (1, 4):  # whole, or the last piece
            yield whole
            whole = b""


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_wandb_has_the_hyperparameters_and_the_metrics(tmp_path):
    pytest.importorskip("wandb")
    from wandb.proto import wandb_internal_pb2

    run = runner.train([*SMALL, "log=wandb", f"output_dir={tmp_path}/outputs", "log.progress=none"])
    (file,) = run.folder.glob("wandb/offline-run-*/*.wandb")
    records = [wandb_internal_pb2.Record.FromString(data) for data in chunks(file.read_bytes())]
    updates = [item for record in records for item in (*record.run.config.update, *record.config.update)]
    config = {item.key or item.nested_key[0]: item.value_json for item in updates}
    assert config["optimizer"] == '"adamw"'
    (metric,) = [record.metric for record in records if record.HasField("metric") and record.metric.glob_name]
    assert (metric.glob_name, metric.step_metric) == ("*", "step")
    told = [
        {item.key or item.nested_key[0]: item.value_json for item in record.history.item}
        for record in records
        if record.HasField("history")
    ]
    accuracies = [float(item["val/accuracy"]) for item in told]
    assert accuracies == [pytest.approx(record["val/accuracy"]) for record in run.metrics]
