"""What TensorBoard reads from a run's folder."""

import json
import re
import subprocess
import sys
import threading
import time
import urllib.request
from contextlib import nullcontext
from importlib import metadata

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.hparams import api_pb2, plugin_data_pb2
from tensorboard.util import tensor_util

import runner
from runner.engine.checkpoint_files import read
from runner.log import tensorboard
from runner.log.event_files import rewind
from runner.log.settings import LogSettings
from runner.log.tensorboard import Subject, TensorBoard, _drawing
from runner.model.summary import parameter_names
from runner.plot.confusion import draw_confusion_matrix
from runner.plot.pictures import draw_images
from runner.store import RunFolder


def events_of(folder):
    events = EventAccumulator(str(folder), {"scalars": 0, "images": 0, "histograms": 0, "tensors": 0})
    events.Reload()
    return events


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    words = [
        "data.batch_size=64",
        "model=mlp",
        "optimizer=adam",
        "optimizer.lr=0.002",
        "augment=flip",
        "engine.epochs=3",
    ]
    log = ["log.progress=none", "log.every_steps=10", "log.histograms=true"]
    return runner.train([*words, *log, f"output_dir={tmp_path_factory.mktemp('runs')}"])


TAGS = {
    "train/accuracy": "accuracy/train",
    "val/accuracy": "accuracy/val",
    "train/loss": "loss/train",
    "val/loss": "loss/val",
    "lr": "lr",
    "images_per_second": "speed/images_per_second",
}


def test_scalars_have_the_values_of_the_metrics_file(run):
    events = events_of(run.folder)
    for record in run.metrics:
        for name, tag in TAGS.items():
            by_step = {event.step: event.value for event in events.Scalars(tag)}
            assert by_step[record["step"]] == pytest.approx(record[name], rel=1e-6)
    accuracies = [record["val/accuracy"] for record in run.metrics]
    best = [event.value for event in events.Scalars("accuracy/best")]
    assert best == [pytest.approx(max(accuracies[:count])) for count in (1, 2, 3)]
    assert set(events.Tags()["scalars"]) == {*TAGS.values(), "accuracy/best", "train/batch_loss", "norm/gradient"}
    assert [event.step for event in events.Scalars("train/batch_loss")] == [10, 20, 30, 40, 50]


def test_the_tab_custom_scalars_has_training_and_validation_in_one_chart(run):
    (event,) = events_of(run.folder).Tensors("custom_scalars__config__")
    layout = layout_pb2.Layout.FromString(event.tensor_proto.string_val[0])
    (category,) = layout.category
    known = [*TAGS.values(), "accuracy/best"]
    patterns = {chart.title: "|".join(chart.multiline.tag) for chart in category.chart}
    shown = {title: {tag for tag in known if re.search(pattern, tag)} for title, pattern in patterns.items()}
    assert shown == {"accuracy": {"accuracy/train", "accuracy/val"}, "loss": {"loss/train", "loss/val"}}


def text_of(events, tag):
    (event,) = events.Tensors(f"{tag}/text_summary")
    return event.tensor_proto.string_val[0].decode()


def test_the_text_tab_tells_how_the_run_was_made_and_how_it_ended(run):
    events = events_of(run.folder)
    assert text_of(events, "run/command").strip() == run.record["command"]
    assert "| optimizer | adam |" in text_of(events, "run/choices")
    assert f"| torch (package) | {metadata.version('torch')} |" in text_of(events, "run/environment")
    assert text_of(events, "run/end") == "**finished**"
    lines = text_of(events, "run/network").splitlines()
    assert lines[0] == "| layer | kind | output | parameters | multiply-adds |"
    # 64 pixels to 128 units, to 128, to 10 classes.
    assert "| linear1 | Linear | 128 | 8,320 | 8,192 |" in lines
    assert lines[-1] == "| **total** |  |  | **26,122** | **25,856** |"


def test_the_reason_of_an_end_is_told(train):
    run = train("model=linear", "optimizer=sgd", "optimizer.lr=1e30", "log.tensorboard=true", "engine.epochs=2")
    assert text_of(events_of(run.folder), "run/end") == f"**diverged**\n\n{run.record['error']}"


def test_the_end_is_that_of_the_latest_time(train):
    from runner.training.resume import resume

    run = train("model=linear", "engine.epochs=1", "log.tensorboard=true")
    run = resume(run.folder, ["engine.epochs=2"])
    (event,) = events_of(run.folder).Tensors("run/end/text_summary")
    assert event.step == 76
    assert text_of(events_of(run.folder), "run/network")


def test_pictures_and_curves_are_of_the_validation_split_at_each_epoch_that_is_due(run):
    events = events_of(run.folder)
    for tag in ("val/confusion", "val/surest_mistakes"):
        steps = [image.step for image in events.Images(tag)]
        assert steps[-1] == 57
        assert set(steps) <= {19, 38, 57}
    assert sorted(tag for tag in events.Tags()["tensors"] if tag.startswith("pr/")) == [f"pr/{k}" for k in range(10)]
    curve = tensor_util.make_ndarray(events.Tensors("pr/3")[-1].tensor_proto)
    tp, fp, tn, fn = curve[:4, 0]  # at the threshold 0 all are taken for a 3
    assert (tp + fp, tn, fn) == (299, 0, 0)


def test_the_confusions_add_up_and_the_mistakes_are_the_surest(monkeypatch, train):
    kept = {}

    def keep(counts, names, title):
        kept.update(counts=np.array(counts), title=title)
        return draw_confusion_matrix(counts, names, title)

    def keep_images(images, captions, **options):
        kept.update(images=images, captions=captions)
        return draw_images(images, captions, **options)

    monkeypatch.setattr("runner.log.tensorboard.draw_confusion_matrix", keep)
    monkeypatch.setattr("runner.log.tensorboard.draw_images", keep_images)
    run = train("model=linear", "engine.epochs=1", "log.tensorboard=true", "log.num_images=5")
    cfg = run.config
    pixels = runner_data(cfg).source("val").read(range(299)) / 255
    labels = runner_data(cfg).source("val").labels
    with torch.no_grad():
        probabilities = run.model("last")(pixels).softmax(1)
    predicted = probabilities.argmax(1)
    expected = np.zeros((10, 10), int)
    for true, said in zip(labels.tolist(), predicted.tolist(), strict=True):
        expected[true, said] += 1
    assert (kept["counts"] == expected).all()
    assert kept["title"] == "Confusion matrix (validation split, epoch 1)"
    wrong = [i for i in range(299) if predicted[i] != labels[i]]
    surest = sorted(wrong, key=lambda i: -probabilities[i].max().item())[:5]
    assert kept["captions"] == [f"{labels[i]}?\n{predicted[i]} {probabilities[i].max().item():.0%}" for i in surest]
    assert (kept["images"] == (pixels[surest] * 255).round().byte().permute(0, 2, 3, 1).numpy()).all()


def runner_data(cfg):
    import runner

    return runner.build.data(cfg)


def test_pictures_that_cannot_be_drawn_cost_no_run(monkeypatch, train, capsys):
    def broken(*args):
        raise RuntimeError("no font")

    monkeypatch.setattr("runner.log.tensorboard.draw_confusion_matrix", broken)
    run = train("model=linear", "engine.epochs=1", "log.tensorboard=true")
    assert run.status == "finished"
    assert "warning: pictures for TensorBoard could not be drawn (RuntimeError: no font)" in capsys.readouterr().err


def test_no_pictures_are_drawn_where_none_are_wanted(train):
    run = train("model=linear", "engine.epochs=1", "log.tensorboard=true", "log.num_images=0")
    assert not events_of(run.folder).Tags()["images"]


def test_the_gradient_has_the_norm_of_all_parameters(train):
    # Frozen weights: after the last step the gradient is that of the last batch at the weights that the run ends with.
    words = ["model=linear", "optimizer=sgd", "optimizer.lr=1e-30", "data.batch_size=1199", "engine.epochs=1"]
    run = train(*words, "log.tensorboard=true", "log.every_steps=1")
    cfg = run.config
    network = run.model("last")
    source = runner_data(cfg).source("train")
    loss = torch.nn.functional.cross_entropy(network(source.read(range(1199)) / 255), source.labels)
    squares = sum(g.square().sum() for g in torch.autograd.grad(loss, list(network[1].parameters())))
    (event,) = events_of(run.folder).Scalars("norm/gradient")
    assert event.value == pytest.approx(squares.sqrt().item(), rel=1e-4)


def test_train_and_val_share_a_chart(run):
    from tensorboard.plugins.custom_scalar import layout_pb2

    (event,) = events_of(run.folder).Tensors("custom_scalars__config__")
    layout = layout_pb2.Layout.FromString(event.tensor_proto.string_val[0])
    charts = {chart.title: list(chart.multiline.tag) for chart in layout.category[0].chart}
    assert charts == {"accuracy": ["accuracy/(train|val)$"], "loss": ["loss/(train|val)$"]}


def test_the_accuracy_on_the_test_split_is_beside_the_curves_at_the_step_of_its_weights(train):
    from runner.inference.scoring import score_run

    run = train("model=linear", "engine.epochs=2", "log.tensorboard=true")
    for checkpoint in ("last", "best"):  # twice: the later one counts
        accuracy = score_run(RunFolder.open(run.folder), weights=checkpoint)["accuracy"]
        (event,) = events_of(run.folder).Scalars("accuracy/test")
        assert event.value == pytest.approx(accuracy)
    assert event.step == 38 * run.record["objective"]["epoch"]


def test_a_run_without_curves_gets_none_from_the_test_split(train):
    from runner.inference.scoring import score_run

    run = train("model=linear", "engine.epochs=1", "log.tensorboard=false")
    score_run(RunFolder.open(run.folder))
    assert not list(run.folder.glob("events*"))


def test_images_and_histograms_are_there(run):
    events = events_of(run.folder)
    (image,) = events.Images("train/images")
    assert image.encoded_image_string.startswith(b"\x89PNG")
    tags = events.Tags()["histograms"]
    for name in ("weights/linear1.weight", "weights_gradients/linear1.weight", "weights/linear3.bias"):
        assert name in tags
        assert [event.step for event in events.Histograms(name)] == [19, 38, 57]


def test_histograms_that_would_take_too_long_are_left_out_but_for_the_last(train, monkeypatch):
    monkeypatch.setattr("runner.log.tensorboard.SHARE", 1e-9)
    run = train("model=linear", "engine.epochs=4", "log.histograms=auto", "log.tensorboard=true")
    assert [event.step for event in events_of(run.folder).Histograms("weights/linear1.weight")] == [152]


def test_pictures_of_a_short_run_are_drawn_at_its_end(train, monkeypatch):
    """Drawing them beside a training of seconds takes a fifth of its time."""
    order = []
    for name in ("_write_sample", "_write_pictures", "_epoch"):
        write = getattr(TensorBoard, name)

        def noted(self, *args, write=write, name=name):
            order.append(name)
            write(self, *args)

        monkeypatch.setattr(TensorBoard, name, noted)
    train("model=linear", "engine.epochs=3", "log.num_images=4", "log.tensorboard=true")
    assert order == [*["_epoch"] * 3, "_write_sample", "_write_pictures"]


def test_pictures_of_a_long_run_are_drawn_on_the_way(train, monkeypatch):
    monkeypatch.setattr("runner.log.tensorboard.PICTURE_SECONDS", 0.0)
    run = train("model=linear", "engine.epochs=3", "log.num_images=4", "log.tensorboard=true", "log.every_steps=10")
    steps = [event.step for event in events_of(run.folder).Images("val/confusion")]
    assert steps[0] == 38
    assert steps[-1] == 114
    assert [event.step for event in events_of(run.folder).Images("train/images")] == [0]


def test_a_histogram_counts_every_weight(run):
    saved = torch.load(run.folder / "checkpoints/last.pt", weights_only=True)["state"]["network"]["1.weight"]
    histogram = events_of(run.folder).Histograms("weights/linear1.weight")[-1].histogram_value
    assert histogram.num == saved.numel() == sum(histogram.bucket)
    counts, limits = np.histogram(saved.numpy(), bins=60)
    assert (histogram.bucket, histogram.bucket_limit) == (counts.tolist(), pytest.approx(limits[1:].tolist()))
    assert histogram.max == pytest.approx(saved.max().item())
    assert histogram.min == pytest.approx(saved.min().item())
    assert histogram.sum == pytest.approx(saved.sum().item(), rel=1e-4)
    assert histogram.sum_squares == pytest.approx(saved.square().sum().item(), rel=1e-4)


def test_hyper_parameters_are_in_the_runs_own_event_file(run):
    assert len(list(run.folder.glob("events.out.tfevents.*"))) == 1
    about = events_of(run.folder).summary_metadata["_hparams_/session_start_info"]
    content = plugin_data_pb2.HParamsPluginData.FromString(about.plugin_data.content)
    values = content.session_start_info.hparams.items()
    shown = {key: getattr(value, value.WhichOneof("kind")) for key, value in values}
    assert shown["optimizer"] == "adam"
    assert shown["optimizer.lr"] == pytest.approx(0.002)
    assert (shown["augment"], shown["reg"]) == ("flip", "none")
    assert not any(key.startswith("log.") for key in shown)
    assert shown["engine.epochs"] == 3
    assert shown["optimizer.betas"] == "[0.9, 0.999]", "TensorBoard makes no column of a list"
    assert (shown["optimizer.eps"], shown["seed"]) == ("1e-07", 0.0), "it would show 0.00000010000"
    assert "name" not in shown
    assert all(value != "" for value in shown.values())
    assert "_hparams_/experiment" not in events_of(run.folder).summary_metadata, "it would hide keys of other runs"


def test_a_diverged_run_is_shown_as_a_failure(run, train):
    diverged = train("model=linear", "optimizer=sgd", "optimizer.lr=1e30", "log.tensorboard=true", "engine.epochs=2")
    assert diverged.status == "diverged"
    for made, status in ((run, api_pb2.STATUS_SUCCESS), (diverged, api_pb2.STATUS_FAILURE)):
        about = events_of(made.folder).summary_metadata["_hparams_/session_end_info"]
        content = plugin_data_pb2.HParamsPluginData.FromString(about.plugin_data.content)
        assert content.session_end_info.status == status


def test_a_run_that_crashed_is_shown_as_a_failure(run, train, tmp_path, monkeypatch):
    def crash(*args):
        raise RuntimeError("broken on purpose")

    monkeypatch.setattr("runner.engine.evaluate.Evaluate.__call__", crash)
    with pytest.raises(RuntimeError, match="on purpose"):
        train("model=linear", "log.tensorboard=true")
    (path,) = tmp_path.glob("outputs/*/*/run.json")
    about = events_of(path.parent).summary_metadata["_hparams_/session_end_info"]
    content = plugin_data_pb2.HParamsPluginData.FromString(about.plugin_data.content)
    assert content.session_end_info.status == api_pb2.STATUS_FAILURE


def test_events_that_cannot_be_written_are_an_error_of_the_run_and_written_when_it_goes_on(
    train, tmp_path, monkeypatch
):
    from runner.log import event_files
    from runner.training.resume import resume

    def full(folder):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(event_files, "EventWriter", full)
        with pytest.raises(OSError, match="No space left"):
            train("model=linear", "engine.epochs=2", "log.tensorboard=true")
    (path,) = tmp_path.glob("outputs/*/*/run.json")
    run = resume(path.parent)
    assert [event.step for event in events_of(run.folder).Scalars("accuracy/val")] == [38, 76]


def ask(url, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url + path, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)


@pytest.mark.slow
def test_tensorboard_itself_opens_on_accuracy_and_loss_and_shows_them_first_in_its_table(run, tmp_path):
    address = re.compile(r"http://localhost:[0-9]+/")
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", run.folder.parents[1], "--port", "0"]
    with (tmp_path / "said").open("w+") as said:
        server = subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT)
        try:
            text = url = ""
            for _ in range(600):
                text = (tmp_path / "said").read_text()
                url = found[0] if (found := address.search(text)) else ""
                if url and len(ask(url, "data/plugin/timeseries/tags")["scalars"]["runTagInfo"]):
                    break
                time.sleep(0.1)
            (tags,) = ask(url, "data/plugin/timeseries/tags")["scalars"]["runTagInfo"].values()
            groups = list(dict.fromkeys(tag.partition("/")[0] for tag in sorted(tags)))
            assert groups[:2] == ["accuracy", "loss"], text
            table = ask(url, "data/plugin/hparams/experiment", {})
            first = [metric["name"]["tag"] for metric in table["metricInfos"]][:5]
            assert first == ["accuracy/best", "accuracy/train", "accuracy/val", "loss/train", "loss/val"]
        finally:
            server.terminate()
            server.wait()


def test_layers_without_a_name_are_called_by_their_kind():
    network = torch.nn.Sequential(
        torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2), torch.nn.Conv2d(2, 2, 3, bias=False)
    )
    whole = torch.nn.ModuleDict({"features": network, "head": torch.nn.Linear(2, 2)})
    assert parameter_names(whole) == {
        "features.0.weight": "features.conv1.weight",
        "features.0.bias": "features.conv1.bias",
        "features.1.weight": "features.norm1.weight",
        "features.1.bias": "features.norm1.bias",
        "features.2.weight": "features.conv2.weight",
        "head.weight": "head.weight",
        "head.bias": "head.bias",
    }


def test_events_after_a_step_can_be_forgotten(run, tmp_path):
    import shutil

    copy = tmp_path / "copy"
    copy.mkdir()
    for path in run.folder.glob("events.out.tfevents.*"):
        shutil.copy(path, copy)
        with (copy / path.name).open("ab") as file:
            file.write(b"\x20\x00\x00\x00cut short")
    rewind(copy, last_step=38)
    events = events_of(copy)
    assert [event.step for event in events.Scalars("accuracy/val")] == [19, 38]
    assert len(events.Images("train/images")) == 1
    assert "_hparams_/session_start_info" in events.summary_metadata
    assert len(list(copy.iterdir())) == 1


def test_a_run_that_goes_on_from_an_epochs_last_step_shows_its_figures_once(train):
    from runner.training.resume import resume

    # Saved at an epoch's last step, and killed before the save at its end.
    words = ["model=linear", "engine.epochs=2", "log.tensorboard=true", "log.every_steps=19", "log.histograms=true"]
    run = train(*words, "engine.checkpoint_every_steps=38", "engine.checkpoint_every_seconds=1000", "engine.keep=all")
    last, previous = (run.folder / f"checkpoints/{name}.pt" for name in ("last", "previous"))
    for name in (last, run.folder / "checkpoints/best.pt"):
        name.unlink()
    assert read(previous)["state"]["position"] == {"epoch": 1, "batch": 38, "step": 76}
    RunFolder.open(run.folder).update(status="running")
    run = resume(run.folder)
    events = events_of(run.folder)
    for tag in ("accuracy/val", "train/batch_loss"):
        steps = [event.step for event in events.Scalars(tag)]
        assert len(steps) == len(set(steps)), tag
    assert [event.step for event in events.Scalars("accuracy/val")] == [38, 76]
    assert [event.step for event in events.Histograms("weights/linear1.weight")] == [38, 76]


@pytest.mark.parametrize("left", ["nothing", "no epoch", "an epoch twice"])
def test_what_a_killed_run_had_no_time_to_write_is_written_when_it_goes_on(train, left):
    from runner.training.resume import resume

    run = train("model=linear", "engine.epochs=2", "log.tensorboard=true")
    (path,) = run.folder.glob("events.out.tfevents.*")
    path = path.rename(path.with_name("events.out.tfevents.1.host.1.0"))  # of an earlier second, as a killed run's is
    if left == "nothing":
        path.unlink()
    elif left == "no epoch":
        rewind(run.folder, last_step=37)
    else:
        path.with_name(path.name + ".0").write_bytes(path.read_bytes())
    run = resume(run.folder, ["engine.epochs=3"])
    events = events_of(run.folder)
    assert [event.step for event in events.Scalars("accuracy/val")] == [38, 76, 114]
    expected = [pytest.approx(record["val/accuracy"]) for record in run.metrics]
    assert [event.value for event in events.Scalars("accuracy/val")] == expected
    assert "_hparams_/session_start_info" in events.summary_metadata


def test_nothing_is_written_when_nothing_is_asked_for(train):
    run = train("model=linear", "engine.epochs=1", "log.tensorboard=false")
    assert not list(run.folder.glob("events*"))


def test_histograms_are_of_the_weights_as_they_were_though_training_goes_on(tmp_path):
    made = runner.build.training(runner.compose(["model=linear"]))
    weight = dict(made.state.of(0).network.named_parameters())["1.weight"]
    before = (weight.min().item(), weight.max().item())
    board = TensorBoard(tmp_path, LogSettings(histograms=True), made, Subject())
    held = threading.Event()
    board.thread.submit(held.wait)  # the writing lags behind
    board.started(made.state)
    board.epoch_ended(made.state, [{"epoch": 1, "step": 5, "train/loss": 0.5}])
    with torch.no_grad():
        weight.fill_(1000.0)
    held.set()
    board.__exit__(None, None, None)
    histogram = events_of(tmp_path).Histograms("weights/linear1.weight")[-1].histogram_value
    assert (histogram.min, histogram.max) == pytest.approx(before)


@pytest.mark.parametrize(
    ("error", "raised"), [(OSError(28, "No space left on device"), True), (ValueError("odd"), False)]
)
def test_a_full_disk_is_told_where_a_picture_that_fails_is_a_warning(capsys, error, raised):
    with pytest.raises(OSError, match="No space") if raised else nullcontext(), _drawing():
        raise error
    assert ("could not be drawn (ValueError: odd)" in capsys.readouterr().err) is not raised


# ---------------------------------------------------------------------------------------------------------------------
# Its pieces


@pytest.fixture
def board(tmp_path):
    """`board(num_images=0)`: an observer of a small training, whose files are below `tmp_path`."""

    def make(trial=0, subject=None, data="data=digits", **settings):
        training = runner.build.training(runner.compose(["model=linear", data]))
        settings = LogSettings(**{"num_images": 0, "histograms": False} | settings)
        return TensorBoard(tmp_path, settings, training, subject or Subject(), trial)

    return make


def close(made, error=None):
    made.__exit__(type(error) if error else None, error, None)


def test_a_trial_that_has_left_writes_nothing_more(board, tmp_path):
    made = board(trial=1)
    made.started(made.training.state)
    made.reported(made.training.state, [0.5, 0.5])
    made.epoch_ended(made.training.state, [{}, {"epoch": 1, "step": 38, "train/loss": 0.5}])
    made.thread.shutdown()
    made.writer.close()
    assert events_of(tmp_path).Tags()["scalars"] == []


def test_a_report_has_the_loss_and_the_gradients_norm_where_there_is_one(board, tmp_path):
    made = board()
    state = made.training.state
    made.started(state)
    state.step = 10
    made.reported(state, [0.5])
    for parameter in state.network.parameters():
        parameter.grad = torch.ones_like(parameter)
    state.step = 20
    made.reported(state, [0.25])
    close(made)
    events = events_of(tmp_path)
    assert [(event.step, event.value) for event in events.Scalars("train/batch_loss")] == [(10, 0.5), (20, 0.25)]
    (norm,) = events.Scalars("norm/gradient")
    assert (norm.step, norm.value) == (20, pytest.approx(650**0.5, rel=1e-4))


def test_the_best_accuracy_so_far_is_beside_each_epochs(board, tmp_path):
    made = board()
    made.started(made.training.state)
    for step, accuracy in enumerate([None, 0.5, 0.25, 0.75], 1):
        made.training.state.step = step
        record = {"epoch": step, "step": step, "val/accuracy": accuracy}
        made.epoch_ended(made.training.state, [record if accuracy else {"epoch": 1, "step": 1, "lr": 0.1}])
    close(made)
    assert [event.value for event in events_of(tmp_path).Scalars("accuracy/best")] == [0.5, 0.5, 0.75]


def test_figures_that_are_no_numbers_are_shown_as_that(board, tmp_path):
    made = board()
    made.started(made.training.state)
    made.epoch_ended(made.training.state, [{"epoch": 1, "step": 5, "train/loss": None}])
    close(made)
    (event,) = events_of(tmp_path).Scalars("loss/train")
    assert np.isnan(event.value)


@pytest.mark.parametrize("raised", [None, ValueError("odd")])
def test_a_write_that_fails_ends_the_run_at_the_next_one_or_its_end(board, monkeypatch, raised):
    made = board()
    made.started(made.training.state)
    monkeypatch.setattr(made, "_scalars", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left")))
    made.reported(made.training.state, [0.5])
    made.thread.submit(int).result()
    with pytest.raises(OSError, match="No space left"):
        made.reported(made.training.state, [0.5])
    if raised is None:
        with pytest.raises(OSError, match="No space left"):
            close(made)
    else:
        close(made, raised)  # which is the one to tell
    made.writer.close()


def test_after_a_write_that_failed_nothing_is_written(board, monkeypatch):
    made, done = board(), []
    made.failure = OSError("full")
    made._write(done.append, 1)
    assert done == []
    made.failure = None
    made._write(done.append, 1)
    assert done == [1]
    made.thread.shutdown()


def test_histograms_are_of_finite_weights_and_their_gradients_alone(board, tmp_path):
    made = board(histograms=True)
    state = made.training.state
    made.started(state)
    first, second = state.network.parameters()
    first.grad, second.grad = torch.full_like(first, 2.0), torch.full_like(second, float("nan"))
    state.step = 7
    made.epoch_ended(state, [{"epoch": 1, "step": 7, "train/loss": 0.5}])
    close(made)
    events = events_of(tmp_path)
    assert set(events.Tags()["histograms"]) == {
        "weights/linear1.weight",
        "weights/linear1.bias",
        "weights_gradients/linear1.weight",
    }
    (event,) = events.Histograms("weights_gradients/linear1.weight")
    assert (event.step, event.histogram_value.num, event.histogram_value.max) == (7, first.numel(), 2.0)


@pytest.mark.parametrize(("setting", "count"), [(True, 2), ("auto", 1), (False, 0)])
def test_histograms_of_a_short_run_are_written_at_its_end_unless_asked_for(board, tmp_path, setting, count):
    made = board(histograms=setting)
    made.histograms.queued()  # not again for a while
    made.started(made.training.state)
    for step in (7, 14):
        made.training.state.step = step
        made.epoch_ended(made.training.state, [{"epoch": step // 7, "step": step, "train/loss": 0.5}])
    close(made)
    events = events_of(tmp_path)
    steps = [event.step for event in events.Histograms("weights/linear1.bias")] if count else []
    assert steps == [7, 14][2 - count :]


@pytest.mark.parametrize("num_classes", [10, 11])
def test_up_to_ten_classes_have_a_curve_each(board, tmp_path, num_classes):
    made = board(num_images=2)
    made.training.class_names = [f"class {k}" for k in range(num_classes)]
    made.started(made.training.state)
    labels = np.arange(num_classes)
    pictures = tensorboard._Pictures(
        5, "title", np.eye(num_classes, dtype=int).tolist(), None, [], labels, np.eye(num_classes)
    )
    made._later(made._write_pictures, pictures, 0.0)
    made.sample = None
    close(made)
    tags = events_of(tmp_path).Tags()
    assert len([tag for tag in tags["tensors"] if tag.startswith("pr/")]) == (10 if num_classes == 10 else 0)
    assert tags["images"] == ["val/confusion"], "without mistakes they have no picture"


def test_what_is_said_of_a_run_is_written_once(board, tmp_path):
    subject = Subject({"lr": 0.5}, {"run/command": "runner train"}, [])
    for _ in range(2):
        made = board(subject=subject)
        made.training.state.step = 5
        made.started(made.training.state)
        close(made, ValueError("odd"))
    events = events_of(tmp_path)
    assert len(events.Tensors("run/command/text_summary")) == 1
    (end,) = events.Tensors("run/end/text_summary")
    assert end.step == 5
    assert end.tensor_proto.string_val == [b"**failed**\n\nValueError: odd"]
    about = events.summary_metadata["_hparams_/session_start_info"]
    content = plugin_data_pb2.HParamsPluginData.FromString(about.plugin_data.content)
    assert content.session_start_info.hparams["lr"].number_value == 0.5


def test_figures_of_epochs_before_are_written_where_they_lack(board, tmp_path):
    past = [{"epoch": n, "step": 10 * n, "val/accuracy": 0.1 * n} for n in (1, 2, 3)] + [{"epoch": 2}]
    made = board(subject=Subject(past=past))
    made.training.state.step, made.training.state.epoch = 20, 2
    made.started(made.training.state)
    close(made)
    found = [(event.step, round(event.value, 3)) for event in events_of(tmp_path).Scalars("accuracy/val")]
    assert found == [(10, 0.1), (20, 0.2)]


def test_training_images_are_shown_once_also_where_a_run_goes_on(board, tmp_path):
    made = board(num_images=2)
    made.started(made.training.state)
    assert made.sample is not None
    made.thread.submit(int).result()  # the file is open by then
    made.has_sample = True
    close(made)
    assert events_of(tmp_path).Tags()["images"] == []
    later = board(num_images=2)
    later.training.state.step = 5
    later.started(later.training.state)
    assert later.sample is None
    close(later)


def test_without_a_validation_there_is_nothing_to_picture(board, tmp_path):
    made = board(num_images=2)
    made.pictures.free_at = 0.0
    made.started(made.training.state)
    made.sample = None
    made.epoch_ended(made.training.state, [{"epoch": 1, "step": 5, "val/accuracy": 0.5}])
    assert made.pictures.due, "nothing was queued"
    close(made)
    assert events_of(tmp_path).Tags()["images"] == []


def test_predictions_are_kept_where_pictures_are_wanted(board):
    for number in (0, 2):
        made = board(num_images=number)
        assert made.training.evaluate.keeps is (number > 0)
        made.thread.shutdown()


def test_a_run_that_could_not_be_begun_has_no_end(board, tmp_path):
    made = board()
    close(made)
    assert not list(tmp_path.glob("events*"))
