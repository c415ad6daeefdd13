"""Observers of other programs, in their offline modes, and one's own."""

import sys
import warnings
from types import SimpleNamespace
from typing import ClassVar
from unittest import mock

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


class State:
    """That of two trials, of which the second has left."""

    present, step = (0,), 38
    trials = (SimpleNamespace(status="finished", reason=""), SimpleNamespace(status="diverged", reason="it rose"))


RECORDS = [{"epoch": 1, "step": 38, "train/loss": 0.5, "val/accuracy": 0.75}, {"epoch": 1, "step": 38}]


@pytest.fixture
def mlflow(monkeypatch):
    """MLflow's client, which notes what it is told."""
    pytest.importorskip("mlflow")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from runner.log import mlflow

    client = mock.MagicMock()
    client.get_experiment_by_name.return_value = None
    client.create_experiment.return_value = "7"
    client.search_runs.return_value = []
    client.create_run.return_value.info.run_id = "new"
    monkeypatch.setattr(mlflow, "MlflowClient", lambda uri: client)
    return mlflow, client


@pytest.mark.parametrize(
    ("trial", "error", "status"),
    [
        (0, None, "FINISHED"),
        (1, None, "FAILED"),
        (0, RuntimeError("x"), "FAILED"),
        (0, KeyboardInterrupt(), "FINISHED"),
    ],
)
def test_mlflow_is_told_of_its_own_trial_alone_and_how_it_ended(mlflow, tmp_path, trial, error, status):
    module, client = mlflow
    observer = module.MLflow(tmp_path / "it/0001's", {"optimizer": "adam", "optimizer.lr": 0.1}, trial)
    client.create_experiment.assert_called_once_with("it")
    tags = {"runner.folder": f"{tmp_path}/it/0001's"}
    client.create_run.assert_called_once_with("7", run_name="0001's", tags=tags)
    found = f"tags.`runner.folder` = '{tmp_path}/it/0001\\'s'"
    client.search_runs.assert_called_once_with(["7"], found, max_results=1)
    observer.started(State)
    observer.epoch_ended(State, RECORDS)
    observer.__exit__(type(error), error, None)
    given = [call for call in client.log_batch.call_args_list if "params" not in call.kwargs]
    metrics = [(metric.key, metric.value, metric.step) for call in given for metric in call.args[1]]
    assert metrics == [("train/loss", 0.5, 38), ("val/accuracy", 0.75, 38)] * (trial == 0)
    (params,) = [call.kwargs["params"] for call in client.log_batch.call_args_list if "params" in call.kwargs]
    assert [(param.key, param.value) for param in params] == [("optimizer", "adam"), ("optimizer.lr", "0.1")]
    client.set_terminated.assert_called_once_with("new", status)
    client.update_run.assert_not_called()


def test_mlflow_goes_on_with_the_run_of_the_folder(mlflow, tmp_path):
    module, client = mlflow
    client.get_experiment_by_name.return_value = SimpleNamespace(experiment_id="3")
    client.search_runs.return_value = [mock.MagicMock()]
    client.search_runs.return_value[0].info.run_id = "old"
    assert module.MLflow(tmp_path, {}).run_id == "old"
    client.update_run.assert_called_once_with("old", status="RUNNING")
    client.create_run.assert_not_called()
    client.create_experiment.assert_not_called()
    client.log_batch.assert_not_called()


def test_where_mlflow_cannot_be_used_its_first_line_and_the_key_are_told(mlflow, tmp_path):
    module, client = mlflow
    client.search_runs.side_effect = module.MlflowException("no such host\nand more")
    said = r"^log\.observers\.0\.tracking_uri: http://nowhere cannot be used \(no such host\)$"
    with pytest.raises(UserError, match=said):
        module.MLflow(tmp_path, {}, tracking_uri="http://nowhere")


@pytest.mark.parametrize(("trial", "error", "exit_code"), [(0, None, 0), (1, ValueError("x"), 1)])
def test_wandb_is_told_of_its_own_trial_alone_and_how_it_ended(tmp_path, monkeypatch, trial, error, exit_code):
    wandb = pytest.importorskip("wandb")
    from runner.log.wandb import WandB

    monkeypatch.setattr(wandb, "init", mock.MagicMock())
    observer = WandB(tmp_path / "it/0001", {"optimizer": "adam"}, trial)
    given = wandb.init.call_args.kwargs
    assert (given["project"], given["name"], given["config"]) == ("it", "0001", {"optimizer": "adam"})
    assert (given["mode"], given["resume"], given["reinit"]) == ("offline", "allow", "create_new")
    assert WandB(tmp_path / "it/0001", {}).run is observer.run
    assert wandb.init.call_args.kwargs["id"] == given["id"], "the same where the run goes on"
    WandB(tmp_path / "it/0002", {}, project="mine")
    other = wandb.init.call_args.kwargs
    assert other["project"] == "mine"
    assert other["id"] != given["id"]
    observer.epoch_ended(State, RECORDS)
    assert [call.args[0] for call in observer.run.log.call_args_list] == RECORDS[:1] * (trial == 0)
    observer.__exit__(type(error), error, None)
    observer.run.finish.assert_called_once_with(exit_code=exit_code)


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
