"""The scores of a stored run, against the run's own network on the images of the test split."""

import json

import pytest
import torch

import runner
from runner.errors import UserError
from runner.inference.scoring import score_run
from runner.store import RunFolder

CPU = torch.device("cpu")


@pytest.fixture
def run(train):
    return train("model=linear", "engine.epochs=2", "data.eval_batch_size=100", "average=ema")


@pytest.mark.parametrize("words", [[], ["tta=flip"]])
def test_a_run_is_scored_on_every_image_of_the_test_split(run, words):
    result = score_run(RunFolder.open(run.folder), words, "last")
    source = runner.build.data(run.config).loaded("test", CPU)
    images, labels = source.pixels / 255, source.labels
    network = run.model("last")
    with torch.no_grad():
        scores = network(images)
        if words:
            scores = (scores.softmax(1) + network(images.flip(3)).softmax(1)).log() - torch.tensor(2.0).log()
    assert result["num_images"] == len(labels) == 299
    assert result["loss"] == pytest.approx(torch.nn.functional.cross_entropy(scores, labels).item(), rel=1e-4)
    assert result["accuracy"] == pytest.approx((scores.argmax(1) == labels).double().mean().item())
    assert (result["checkpoint"], result["epoch"], result["format"]) == ("last", 2, 2)
    text = (run.folder / "test.json").read_text()
    assert json.loads(text) == result
    assert text.startswith('{\n "format": 2,\n "checkpoint": "last",\n "epoch": 2,\n'), "people read it too"
    assert (run.folder / "figures/confusion.png").is_file()


def test_a_picture_of_what_there_is_no_more_is_removed(run, monkeypatch):
    folder = RunFolder.open(run.folder)
    score_run(folder)
    pictures = [folder.figures / name for name in ("test_mistakes.png", "test_unsure.png")]
    assert all(picture.is_file() for picture in pictures)
    none = torch.zeros(0, dtype=torch.long)
    monkeypatch.setattr("runner.inference.scoring.surest_mistakes", lambda *_: none)  # as of a network without any
    score_run(folder)
    assert [picture.is_file() for picture in pictures] == [False, True]


def test_the_best_checkpoint_is_scored_unless_another_is_named(run):
    saved = torch.load(run.folder / "checkpoints/best.pt", weights_only=True)["state"]
    saved["position"]["epoch"] = 1  # told apart by it
    result = score_run(RunFolder.open(run.folder))
    assert (result["checkpoint"], result["epoch"]) == ("best", run.record["objective"]["epoch"])
    with pytest.raises(UserError, match=r"epoch-0009\.pt: no checkpoint"):
        score_run(RunFolder.open(run.folder), weights="epoch-0009")


def test_a_config_that_names_foreign_classes_is_refused_unless_trusted(run):
    text = (run.folder / "config.yaml").read_text()
    (run.folder / "config.yaml").write_text(text.replace("runner.loss.CrossEntropy", "collections.OrderedDict"))
    with pytest.raises(UserError, match="pass --trust"):
        score_run(RunFolder.open(run.folder))


class TestScoresOfOneRunStandBesideEachOther:
    def score(self, run, *words, weights="best"):
        return score_run(RunFolder.open(run.folder), words, weights)

    def entries(self, run):
        return [(test["checkpoint"], test["tta"]["_target_"], test["accuracy"]) for test in run.tests]

    def test_another_tta_or_checkpoint_adds_an_entry_and_the_same_replaces_its_own(self, run):
        one = self.score(run)
        flipped = self.score(run, "tta=flip")
        last = self.score(run, weights="last")
        assert self.entries(run) == [
            ("last", "runner.tta.Single", last["accuracy"]),
            ("best", "runner.tta.Flip", flipped["accuracy"]),
            ("best", "runner.tta.Single", one["accuracy"]),
        ]
        self.score(run, "tta=flip")
        assert [test[:2] for test in self.entries(run)] == [
            ("best", "runner.tta.Flip"),
            ("last", "runner.tta.Single"),
            ("best", "runner.tta.Single"),
        ]
        written = json.loads((run.folder / "test.json").read_text())
        assert written["tta"] == {"_target_": "runner.tta.Flip"}, "the newest is at the top"
        assert [test["checkpoint"] for test in written["earlier"]] == ["last", "best"]

    def test_other_keys_of_one_tta_are_another_entry(self, run):
        for scale in ("1.25", "1.5", "1.25"):
            self.score(run, "tta=ten_crop", f"tta.scale={scale}")
        assert [test["tta"]["scale"] for test in run.tests] == [1.25, 1.5]

    def test_an_entry_says_which_weights_were_scored(self, run, train):
        assert self.score(run)["weights"] == "averaged"
        assert self.score(train("model=linear", "engine.epochs=1"))["weights"] == "trained"

    def test_a_file_of_the_form_before_is_read_and_kept(self, run):
        old = {"format": 2, "checkpoint": "best", "epoch": 1, "tta": {"_target_": "runner.tta.Flip"}, "accuracy": 0.5}
        (run.folder / "test.json").write_text(json.dumps(old))
        assert run.tests == [old]
        self.score(run)
        assert run.tests[1:] == [old]
        self.score(run, "tta=flip")
        assert [test["tta"]["_target_"] for test in run.tests] == ["runner.tta.Flip", "runner.tta.Single"]
        assert run.tests[0]["accuracy"] != 0.5

    @pytest.mark.parametrize("text", ["", "[]", "{", '{"earlier": 3}', '{"earlier": [1, {}], "accuracy": "1"}'])
    def test_a_damaged_file_holds_no_scores_and_is_written_anew(self, run, text):
        (run.folder / "test.json").write_text(text)
        assert run.tests == []
        self.score(run)
        assert len(run.tests) == 1
