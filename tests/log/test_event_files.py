"""Event files where TensorBoard lacks a piece, and what is in them where it has all."""

import io
import sys
import time

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader
from tensorboard.plugins.hparams import plugin_data_pb2
from tensorboard.util import tensor_util

from runner.log.event_files import OF_TEST, EventWriter, png_size, remove_event_files, rewind

RGB = bytes([8, 2])  # bits of a channel, kind of the colors
PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + (300).to_bytes(4, "big") + (70000).to_bytes(4, "big") + RGB


@pytest.fixture
def writer(tmp_path):
    made = EventWriter(tmp_path)
    yield made
    made.close()


def events_of(folder):
    events = EventAccumulator(str(folder), {"scalars": 0, "images": 0, "tensors": 0})
    events.Reload()
    return events


def session_start(folder):
    metadata = events_of(folder).summary_metadata["_hparams_/session_start_info"]
    return plugin_data_pb2.HParamsPluginData.FromString(metadata.plugin_data.content).session_start_info


def test_a_hyperparameter_keeps_its_kind(writer, tmp_path):
    writer.add_session_start({"lr": 0.5, "epochs": 3, "flag": True, "off": False, "name": "adam", "list": [1, 2]})
    writer.flush()
    found = {key: (value.WhichOneof("kind"), value) for key, value in session_start(tmp_path).hparams.items()}
    kinds = {key: kind for key, (kind, _) in found.items()}
    number, text, truth = "number_value", "string_value", "bool_value"
    assert kinds == {"lr": number, "epochs": number, "flag": truth, "off": truth, "name": text, "list": text}
    assert (found["lr"][1].number_value, found["epochs"][1].number_value) == (0.5, 3)
    assert (found["flag"][1].bool_value, found["off"][1].bool_value) == (True, False)
    assert (found["name"][1].string_value, found["list"][1].string_value) == ("adam", "[1, 2]")


def test_a_scalar_has_its_step_and_the_moment_it_was_measured_or_is_written(writer, tmp_path):
    before = time.time()
    writer.add_scalar("loss", 0.5, 3)
    writer.add_scalar("loss", 0.25, 4, walltime=1000.5)
    writer.flush()
    first, second = events_of(tmp_path).Scalars("loss")
    assert (first.step, first.value) == (3, 0.5)
    assert before <= first.wall_time <= time.time()
    assert (second.step, second.value, second.wall_time) == (4, 0.25, 1000.5)


@pytest.mark.parametrize("status", ["interrupted", "running"])
def test_a_run_that_did_not_end_has_no_end(writer, tmp_path, status):
    writer.add_session_end(status)
    writer.flush()
    assert "_hparams_/session_end_info" not in events_of(tmp_path).summary_metadata


def test_a_picture_is_kept_byte_for_byte_with_its_size_at_its_step(writer, tmp_path):
    writer.add_png("sweep/slice", PNG, 7)
    writer.flush()
    (image,) = events_of(tmp_path).Images("sweep/slice")
    assert (image.encoded_image_string, image.width, image.height, image.step) == (PNG, 300, 70000, 7)
    assert png_size(PNG) == (300, 70000)


@pytest.mark.parametrize(("kind", "colorspace"), [(0, 1), (2, 3), (6, 4)], ids=["gray", "RGB", "RGBA"])
def test_a_picture_has_the_color_space_of_its_file(writer, tmp_path, kind, colorspace):
    writer.add_png("a", PNG[:25] + bytes([kind]) + PNG[26:], 0)
    writer.flush()
    (path,) = tmp_path.glob("events*")
    events = LegacyEventFileLoader(str(path)).Load()
    assert [value.image.colorspace for event in events for value in event.summary.value] == [colorspace]


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (
            lambda writer: writer.add_session_start({"lr": 0.5}),
            "warning: this TensorBoard cannot take the hyperparameters (import of",
        ),
        (
            lambda writer: writer.add_session_end("finished"),
            "warning: this TensorBoard cannot take the hyperparameters (import of",
        ),
        (lambda writer: writer.add_png("a/b", PNG, 0), "warning: this TensorBoard cannot take the image a/b ("),
        (lambda writer: writer.add_text("a", "b"), "warning: this TensorBoard cannot take the text a ("),
        (lambda writer: writer.add_charts({}), "warning: this TensorBoard cannot take the layout of Custom Scalars ("),
    ],
)
def test_what_this_tensorboard_lacks_is_left_out_with_a_warning(writer, tmp_path, monkeypatch, capsys, write, said):
    for module in ("tensorboard.compat.proto.summary_pb2", "torch.utils.tensorboard"):
        monkeypatch.setitem(sys.modules, module, None)
    write(writer)
    monkeypatch.undo()
    printed = capsys.readouterr().err
    assert printed.startswith(said)
    assert printed.count("\n") == 1
    writer.add_scalar("still/there", 1.0, 0)
    writer.flush()
    events = events_of(tmp_path)
    assert [event.value for event in events.Scalars("still/there")] == [1.0]
    assert events.Tags()["images"] == []
    assert not [tag for tag in events.summary_metadata if tag.startswith("_hparams_")]


def test_event_files_that_cannot_be_rewritten_stay_as_they_are_with_a_warning(writer, tmp_path, monkeypatch, capsys):
    writer.add_scalar("a", 1.0, 5)
    writer.flush()
    (path,) = tmp_path.iterdir()
    before = path.read_bytes()
    monkeypatch.setitem(sys.modules, "tensorboard.summary.writer.record_writer", None)
    assert rewind(tmp_path, 2) == set()
    assert "warning: this TensorBoard cannot rewrite event files (" in capsys.readouterr().err
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == {path: before}


def test_rewinding_keeps_the_step_itself_and_tells_what_it_kept(writer, tmp_path):
    for step in (1, 2, 3):
        writer.add_scalar("a", float(step), step)
        writer.add_scalar("b", float(step), step)
    writer.close()
    assert rewind(tmp_path, 2) == {("a", 1), ("b", 1), ("a", 2), ("b", 2)}
    assert [event.step for event in events_of(tmp_path).Scalars("a")] == [1, 2]
    (file,) = tmp_path.iterdir()
    assert file.name.startswith("events.out.tfevents.")


def test_rewinding_forgets_that_the_run_had_ended(writer, tmp_path):
    writer.add_session_start({"lr": 0.5})
    writer.add_session_end("finished")
    writer.close()
    assert rewind(tmp_path, 0) == {("_hparams_/session_start_info", 0)}
    assert list(events_of(tmp_path).summary_metadata) == ["_hparams_/session_start_info"]


def test_without_event_files_nothing_is_rewound(tmp_path):
    assert rewind(tmp_path, 5) == set()
    assert list(tmp_path.iterdir()) == []


def test_event_files_of_the_folder_alone_are_removed(writer, tmp_path):
    (tmp_path / "trials").mkdir()
    below = tmp_path / "trials/events.out.tfevents.1"
    below.touch()
    (tmp_path / "run.json").touch()
    remove_event_files(tmp_path)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["events.out.tfevents.1", "run.json", "trials"]


def test_the_file_of_the_test_split_outlives_a_rewriting(writer, tmp_path):
    writer.add_scalar("a", 1.0, 5)
    writer.close()
    other = EventWriter(tmp_path, OF_TEST)
    other.add_scalar("accuracy/test", 0.5, 5)
    other.close()
    rewind(tmp_path, 2)
    assert sorted(path.suffix == OF_TEST for path in tmp_path.iterdir()) == [False, True]
    assert events_of(tmp_path).Tags()["scalars"] == ["accuracy/test"]


def test_a_full_disk_is_the_callers_error_and_nothing_is_printed(tmp_path, monkeypatch, capfd):
    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.open", lambda path, mode: io.BufferedWriter(io.FileIO("/dev/full", "w")))
        writer = EventWriter(tmp_path)
    writer.add_scalar("a", 1.0, 0)
    with pytest.raises(OSError, match="No space left"):
        writer.flush()
    with pytest.raises(OSError, match="No space left"):
        writer.close()
    assert capfd.readouterr().err == ""


def test_a_curve_of_precision_and_recall_is_that_of_the_scores(writer, tmp_path):
    # Above one half: 0.9 (of the class), 0.6 (not); of the class are 0.9 and 0.2.
    writer.add_pr_curve("pr/cat", np.array([1, 0, 1, 0]), np.array([0.9, 0.6, 0.2, 0.1]), 3)
    writer.flush()
    (event,) = events_of(tmp_path).Tensors("pr/cat")
    tp, fp, tn, fn, precision, recall = tensor_util.make_ndarray(event.tensor_proto)
    middle = len(tp) // 2
    assert (tp[middle], fp[middle], tn[middle], fn[middle]) == (1, 1, 1, 1)
    assert (precision[middle], recall[middle]) == (0.5, 0.5)


def test_a_run_ended_when_its_end_was_written(writer, tmp_path):
    before = time.time()
    writer.add_session_end("finished")
    writer.flush()
    content = events_of(tmp_path).summary_metadata["_hparams_/session_end_info"].plugin_data.content
    end = plugin_data_pb2.HParamsPluginData.FromString(content).session_end_info
    assert before - 1 <= end.end_time_secs <= time.time()
