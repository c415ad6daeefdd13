"""Which weights of a run are used, and the mean of several."""

import pytest
import torch

import runner
from runner.errors import UserError
from runner.inference.classifier import Classifier
from runner.inference.scoring import score_run
from runner.inference.soup import average_weights
from runner.store import RunFolder

WORDS = ["model=mlp", "model.hidden=[16]", "model.norm=batch", "engine.epochs=4", "log.tensorboard=false"]
CYCLES = ["schedule=warm_restarts", "schedule.period_epochs=1", "schedule.period_factor=1"]


def saved(run, name="last"):
    return torch.load(run.folder / f"checkpoints/{name}.pt", weights_only=True)["state"]


def images(count=40):
    return torch.rand(count, 1, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def snapshots(train):
    return train(*WORDS, *CYCLES, "average=snapshots", "average.num_snapshots=3")


def test_snapshots_average_the_probabilities_of_the_copies(snapshots):
    kept = saved(snapshots)["average"]["snapshots"]
    assert len(kept) == 3
    network = snapshots.model()
    expected = []
    for state in kept:
        network[1].load_state_dict(state)
        with torch.no_grad():
            expected.append(network(images()).softmax(1))
    with torch.no_grad():
        found = snapshots.model("snapshots")(images()).softmax(1)
    assert torch.allclose(found, torch.stack(expected).mean(0), atol=1e-6)
    assert not torch.allclose(found, expected[-1], atol=1e-3)


def test_the_best_weights_of_a_run_with_snapshots_are_the_trained_ones(snapshots):
    network = snapshots.model("last")[1]
    for name, value in network.state_dict().items():
        assert torch.equal(value, saved(snapshots)["network"][name])


def test_scores_of_snapshots_stand_beside_those_of_the_best(snapshots):
    folder = RunFolder.open(snapshots.folder)
    score_run(folder)
    score_run(folder, weights="snapshots")
    assert [(test["checkpoint"], test["weights"]) for test in folder.tests] == [
        ("last", "snapshots"),
        ("best", "trained"),
    ]


@pytest.mark.parametrize("average", ["ema", "swa"])
def test_average_is_that_of_the_end(train, average):
    run = train(*WORDS, f"average={average}")
    for name, value in run.model("average")[1].state_dict().items():
        assert torch.equal(value, saved(run)["average"][name])


@pytest.mark.parametrize(("weights", "said"), [("average", "keeps no averaged weights"), ("snapshots", "no snapshots")])
def test_a_run_without_them_says_how_to_have_them(train, weights, said):
    run = train(*WORDS)
    with pytest.raises(UserError, match=said):
        run.model(weights)


class TestTheMeanOfWeights:
    @pytest.fixture
    def run(self, train):
        return train(*WORDS, "engine.snapshot_every_epochs=1")

    def members(self, run, *names):
        return [Classifier.load(RunFolder.open(run.folder), ["engine.device=cpu"], name) for name in names]

    def test_is_the_mean(self, run, tmp_path):
        names = ("epoch-0002", "epoch-0003", "epoch-0004")
        made = average_weights(self.members(run, *names), tmp_path / "soup.pt")
        states = [saved(run, name)["network"] for name in names]
        network = run.model(str(tmp_path / "soup.pt"))[1]
        for name, value in network.state_dict().items():
            if name.endswith(("weight", "bias")):
                expected = torch.stack([state[name].double() for state in states]).mean(0)
                torch.testing.assert_close(value.double(), expected, rtol=1e-6, atol=1e-7)
        assert made.accuracies == pytest.approx([record["val/accuracy"] for record in run.metrics[1:]])
        found = runner.test(run, weights=str(tmp_path / "soup.pt"))
        assert (found["weights"], found["epoch"]) == ("file", 0)
        assert self.members(run, str(tmp_path / "soup.pt"))[0].stored.step == 0
        assert made.accuracy == pytest.approx(sum(made.accuracies) / 3, abs=0.1)

    def test_has_the_statistics_of_its_own_activations(self, run, tmp_path):
        average_weights(self.members(run, "epoch-0001", "epoch-0004"), tmp_path / "soup.pt")
        network = run.model(str(tmp_path / "soup.pt"))
        source = runner.build.data(run.config).source("train")
        with torch.no_grad():
            flat = network[0](source.pixels / 255).flatten(1)
            linear = next(layer for layer in network.modules() if isinstance(layer, torch.nn.Linear))
            norm = next(layer for layer in network.modules() if isinstance(layer, torch.nn.BatchNorm1d))
            outputs = [linear(batch) for batch in flat.split(512)]
        torch.testing.assert_close(norm.running_mean, torch.stack([one.mean(0) for one in outputs]).mean(0))

    def test_other_architectures_are_refused(self, run, train, tmp_path):
        other = train(*WORDS, "model.hidden=[8]")
        with pytest.raises(UserError, match="its network differs from that of"):
            average_weights([*self.members(run, "best"), *self.members(other, "best")], tmp_path / "soup.pt")
        assert not (tmp_path / "soup.pt").exists()

    def test_one_member_is_no_mean(self, run, tmp_path):
        with pytest.raises(UserError, match="name several runs, or several checkpoints"):
            average_weights(self.members(run, "best"), tmp_path / "soup.pt")

    def test_a_file_that_is_none_is_one_line(self, run, tmp_path):
        (tmp_path / "x.pt").write_bytes(b"no")
        with pytest.raises(UserError, match=r"x\.pt: not a file of weights"):
            run.model(str(tmp_path / "x.pt"))
        torch.save({"a": 1}, tmp_path / "y.pt")
        with pytest.raises(UserError, match=r"y\.pt: not a file of weights by runner average"):
            run.model(str(tmp_path / "y.pt"))
