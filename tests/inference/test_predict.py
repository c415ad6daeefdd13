"""Labels for new images, against the run's own network and its scores on the test split."""

import shutil

import numpy as np
import pytest
import torch
from PIL import Image

import runner
from runner.command import predict as command
from runner.engine import process
from runner.errors import UserError
from runner.inference.classifier import Classifier
from runner.inference.predict import find_images, predict_files
from runner.inference.scoring import score_run
from runner.store import RunFolder

NAMES = ("cat", "dog", "owl")


@pytest.fixture
def photos(tmp_path):
    """Three classes of colored noise, wider than high, in splits."""
    numbers = np.random.default_rng(0)
    for split, count in (("train", 20), ("test", 7)):
        for place, name in enumerate(NAMES):
            folder = tmp_path / "photos" / split / name
            folder.mkdir(parents=True)
            for index in range(count):
                pixels = numbers.integers(0, 120, (12, 16, 3)).astype(np.uint8)
                pixels[..., place] += 80
                Image.fromarray(pixels).save(folder / f"{index}.png")
    return tmp_path / "photos"


@pytest.fixture
def run(train, photos):
    return train("model=linear", "data=folder", f"data.root={photos}", "data.image_size=8", "engine.epochs=2",
                 "data.val_fraction=0.2", "log.tensorboard=false")  # fmt: skip


@pytest.mark.parametrize("words", [[], ["tta=ten_crop"], ["tta=flip"]])
def test_the_test_split_is_predicted_as_runner_test_scores_it(run, photos, words):
    scored = score_run(RunFolder.open(run.folder), words)
    found = run.predict(photos / "test", *words)
    confusion = np.zeros((3, 3), dtype=int)
    for path, label in zip(found.paths, found.labels, strict=True):
        confusion[NAMES.index(path.parent.name), NAMES.index(label)] += 1
    assert confusion.tolist() == scored["confusion"]
    own = found.probabilities[range(21), [NAMES.index(path.parent.name) for path in found.paths]]
    if not words:
        assert -own.log().mean().item() == pytest.approx(scored["loss"], rel=1e-4)


@pytest.mark.parametrize("resize", ["squish", "pad"])
def test_a_photo_becomes_a_square_as_in_training(train, photos, resize):
    run = train("model=linear", "data=folder", f"data.root={photos}", "data.image_size=8", "engine.epochs=2",
                f"data.resize={resize}", "log.tensorboard=false")  # fmt: skip
    scored = score_run(RunFolder.open(run.folder))
    found = run.predict(photos / "test")
    right = [path.parent.name == label for path, label in zip(found.paths, found.labels, strict=True)]
    assert np.mean(right) == pytest.approx(scored["accuracy"])


def test_a_tensor_is_classified_as_the_network_does(run):
    images = torch.rand(5, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    images = (images * 255).round() / 255  # as pixels are
    found = run.predict(images)
    with torch.no_grad():
        expected = run.model()(images).softmax(1)
    assert torch.allclose(found.probabilities, expected, atol=1e-6)
    assert found.labels == [NAMES[k] for k in expected.argmax(1)]
    assert torch.equal(run.predict((images * 255).round().to(torch.uint8)).probabilities, found.probabilities)
    assert torch.allclose(run.predict(images, "data.eval_batch_size=2").probabilities, expected, atol=1e-6)
    for named in (run, [run], run.folder, str(run.folder), [str(run.folder), run]):
        assert torch.allclose(runner.predict(named, images).probabilities, expected, atol=1e-6)
    with pytest.raises(UserError, match=r"images: must be \[B, 3, 8, 8\], not \[3, 8, 8\]"):
        run.predict(images[0])


def test_the_images_of_the_training_need_not_be_there(run, photos, tmp_path):
    before = run.predict(photos / "test").probabilities
    shutil.move(photos / "test", tmp_path / "new")
    shutil.rmtree(photos)
    assert torch.equal(run.predict(tmp_path / "new").probabilities, before)
    assert run.classes == list(NAMES)


def test_a_run_of_before_that_noted_no_classes_is_read_by_its_data(run, photos):
    expected = run.predict(photos / "test").probabilities
    folder = RunFolder.open(run.folder)
    folder.update(classes=[], image_shape=[])
    assert torch.equal(runner.load(run.folder).predict(photos / "test").probabilities, expected)


def test_several_runs_are_averaged(train, run, photos):
    other = train("model=mlp", "data=folder", f"data.root={photos}", "data.image_size=8", "engine.epochs=2",
                  "log.tensorboard=false")  # fmt: skip
    apart = [one.predict(photos / "test").probabilities for one in (run, other)]
    together = runner.predict([run, other], photos / "test").probabilities
    assert torch.allclose(together, (apart[0] + apart[1]) / 2)


def test_runs_of_other_classes_are_refused(train, run, photos):
    other = train("model=linear", "engine.epochs=1", "log.tensorboard=false")
    with pytest.raises(UserError, match="its classes are not those of"):
        runner.predict([run, other], photos / "test")


def test_a_calibrated_run_is_predicted_at_its_temperature(run, photos):
    before = run.predict(photos / "test").probabilities
    scored = score_run(RunFolder.open(run.folder), calibrate=True)
    temperature = scored["calibration"]["temperature"]
    assert temperature != pytest.approx(1, abs=1e-3)
    after = run.predict(photos / "test").probabilities
    expected = (before.log() / temperature).softmax(1)
    assert torch.allclose(after, expected, atol=1e-5)
    assert torch.equal(before.argmax(1), after.argmax(1))


def test_broken_files_are_named_and_the_others_keep_their_places(run, photos):
    good = run.predict(photos / "test").probabilities
    (photos / "test/cat/05.png").write_bytes(b"no image")
    (photos / "test/owl/x.jpg").write_bytes((photos / "test/owl/1.png").read_bytes()[:60])
    found = run.predict(photos / "test")
    assert [path.name for path, _ in found.unreadable] == ["05.png", "x.jpg"]
    assert torch.equal(found.probabilities, good)
    assert len(found.paths) == 21


@pytest.mark.parametrize(("words", "number"), [(["engine.num_threads=2"], 2), ([], 1)])
def test_a_network_is_loaded_with_its_own_number_of_threads(run, monkeypatch, words, number):
    monkeypatch.setattr(process, "ALL", 3)
    torch.set_num_threads(3)
    Classifier.load(RunFolder.open(run.folder), words)  # a network so small that one thread would do
    assert torch.get_num_threads() == number


@pytest.mark.parametrize("sizes", [(8,), (8, 6)])
def test_the_progress_counts_each_file_once_whether_it_can_be_read_or_not(train, run, photos, sizes):
    words = ["model=linear", "data=folder", f"data.root={photos}", "engine.epochs=1", "log.tensorboard=false"]
    others = [train(*words, f"data.image_size={size}") for size in sizes[1:]]
    folders = [RunFolder.open(one.folder) for one in (run, *others)]
    members = [Classifier.load(folder, ["data.eval_batch_size=8"]) for folder in folders]
    (photos / "test/cat/05.png").write_bytes(b"no image")
    told = []
    found = predict_files(members, find_images([str(photos / "test")]), told=told.append)
    assert told == [8, 8, 6]  # of 22 files, one of which is no image
    assert (len(found.paths), len(found.unreadable)) == (21, 1)


def test_where_no_file_is_an_image_there_is_no_prediction(run, photos):
    (photos / "test/cat/05.png").write_bytes(b"no image")
    told = []
    members = [Classifier.load(RunFolder.open(run.folder))]
    found = predict_files(members, [photos / "test/cat/05.png"], embed=True, told=told.append)
    assert (found.paths, found.labels, told) == ([], [], [1])
    assert (found.probabilities.shape, found.embeddings.shape) == ((0, 3), (0, 3 * 8 * 8))
    assert [path.name for path, _ in found.unreadable] == ["05.png"]


def test_embeddings_are_looked_at_while_they_are_asked_for_alone(run, photos):
    member = Classifier.load(RunFolder.open(run.folder))
    predict_files([member], find_images([str(photos / "test/cat")]), embed=True)
    assert not any(layer._forward_pre_hooks for layer in member.network.modules())


def test_top_gives_the_most_probable_first(run, photos):
    found = run.predict(photos / "test")
    for row, best in zip(found.probabilities, found.top(2), strict=True):
        order = row.argsort(descending=True)
        assert [name for name, _ in best] == [NAMES[k] for k in order[:2]]
        assert [p for _, p in best] == pytest.approx(row[order[:2]].tolist())
    assert len(found.top(9)[0]) == 3


class TestFilesAreFound:
    def test_by_folder_pattern_and_name(self, photos, monkeypatch):
        monkeypatch.chdir(photos)
        assert len(find_images(["test"])) == 21
        assert [str(path) for path in find_images(["test/*/1.png"])] == [f"test/{name}/1.png" for name in NAMES]
        assert len(find_images(["**/1.png"])) == 6
        assert [str(path) for path in find_images(["test/cat/2.png", "test/dog"])][:2] == [
            "test/cat/2.png",
            "test/dog/0.png",
        ]

    @pytest.mark.parametrize(
        ("word", "said"),
        [("nowhere", "no such file or folder"), ("*.bmp", "no file is of this pattern"), ("empty", "no image files")],
    )
    def test_what_names_nothing_is_refused(self, photos, monkeypatch, word, said):
        monkeypatch.chdir(photos)
        (photos / "empty").mkdir()
        with pytest.raises(UserError, match=said) as raised:
            find_images([word])
        assert str(raised.value).startswith(f"{word}: ")


def test_lines_of_a_table_end_as_those_of_all_files_here():
    rows = [("a.png", [("cat", 0.75), ("dog", 0.25)]), ("b.png", [("dog", 1.0)])]
    named = "file,label,probability,label_2,probability_2\n"
    assert command._as_csv(rows, 2) == named + "a.png,cat,0.75,dog,0.25\nb.png,dog,1.0\n"


def test_a_table_has_no_more_columns_than_there_are_classes(capsys):
    command._print([("a.png", [("cat", 0.75), ("dog", 0.25)])], top=5)
    heading, row = (line.split() for line in capsys.readouterr().out.splitlines())
    assert heading == ["file", "label", "probability", "label_2", "probability_2"]
    assert row == ["a.png", "cat", "0.7500", "dog", "0.2500"]
