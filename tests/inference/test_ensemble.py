"""Several classifiers as one, against values by hand."""

from itertools import pairwise

import numpy as np
import pytest
import torch

import runner
from runner.errors import UserError
from runner.inference.ensemble import bootstrap, choose_greedily, combine, member_names
from runner.inference.ensemble_scoring import score_ensemble
from runner.store import RunFolder

TWO = torch.tensor([[[0.9, 0.1], [0.4, 0.6]], [[0.3, 0.7], [0.2, 0.8]]])  # [M, N, K]


def test_probabilities_are_averaged():
    assert torch.allclose(combine(TWO), torch.tensor([[0.6, 0.4], [0.3, 0.7]]))


def test_logits_are_averaged_whatever_constants_they_have():
    logits = np.random.default_rng(0).normal(size=(3, 5, 4))
    mean = torch.tensor(logits.mean(0)).softmax(1)
    shifted = torch.tensor(logits + np.array([1.0, -5.0, 3.0])[:, None, None])
    assert torch.allclose(combine(shifted.softmax(2), "logits"), mean)


def test_votes_are_counted_and_ties_go_to_the_larger_mean():
    three = torch.tensor([[[0.6, 0.4]], [[0.6, 0.4]], [[0.0, 1.0]]])  # two votes for 0, though the mean is for 1
    assert combine(three).argmax(1).tolist() == [1]
    assert combine(three, "votes").argmax(1).tolist() == [0]
    tie = torch.tensor([[[0.6, 0.4]], [[0.1, 0.9]]])
    assert combine(tie, "votes").argmax(1).tolist() == [1]
    assert torch.allclose(combine(three, "votes").sum(1), torch.ones(1))


def test_the_greedy_choice_takes_the_best_first_and_then_what_helps_it():
    labels = torch.tensor([0, 1])
    good = [[0.9, 0.1], [0.5, 0.5]]
    other = [[0.4, 0.6], [0.1, 0.9]]
    bad = [[0.1, 0.9], [0.9, 0.1]]
    picks = choose_greedily(torch.tensor([bad, good, other]), labels)
    assert picks[:2] == [1, 2]
    assert 0 not in picks
    means = [torch.tensor([[bad, good, other][p] for p in picks[:n]]).mean(0) for n in range(1, len(picks) + 1)]
    losses = [-np.log([mean[0, 0], mean[1, 1]]).mean() for mean in means]
    assert all(later < before for before, later in pairwise(losses))


def test_no_more_members_are_picked_than_asked_for():
    probabilities = torch.tensor([[[0.9, 0.1], [0.5, 0.5]], [[0.4, 0.6], [0.1, 0.9]]])
    picks = choose_greedily(probabilities, torch.tensor([0, 1]))
    assert len(picks) > 2
    assert choose_greedily(probabilities, torch.tensor([0, 1]), max_picks=2) == picks[:2]


def test_a_member_that_no_other_helps_is_alone():
    assert set(choose_greedily(torch.tensor([[[0.9, 0.1]], [[0.2, 0.8]]]), torch.tensor([0]))) == {0}


def test_the_bootstrap_interval_is_that_of_the_normal_approximation():
    values = torch.tensor([1.0] * 300 + [0.0] * 100)
    found = bootstrap(values)
    half = 1.96 * (0.75 * 0.25 / 400) ** 0.5
    assert found.mean == 0.75
    assert [found.ci_low, found.ci_high] == pytest.approx([0.75 - half, 0.75 + half], abs=0.006)
    assert bootstrap(values) == found


def test_names_of_members_tell_them_apart():
    assert member_names(["outputs/a/0001-x", "outputs/a/0002-y"]) == ["0001-x", "0002-y"]
    assert member_names(["outputs/a/0001", "outputs/b/0001"]) == ["a/0001", "b/0001"]


def test_votes_are_shares_of_each_image_that_sum_to_one():
    made = torch.rand(3, 5, 4, generator=torch.Generator().manual_seed(0))
    probabilities = made / made.sum(2, keepdim=True)
    found = combine(probabilities, "votes")
    assert found.shape == (5, 4)
    torch.testing.assert_close(found.sum(1), torch.ones(5))
    counts = torch.stack([(probabilities.argmax(2) == k).sum(0) for k in range(4)], 1)
    assert torch.equal(found.argmax(1)[counts.max(1).values > 1], counts.argmax(1)[counts.max(1).values > 1])


class TestOfStoredRuns:
    @pytest.fixture
    def runs(self, train):
        words = ["model=linear", "data.images_per_class=5", "optimizer=sgd", "schedule=constant"]
        lrs = ("1e-6", "1e-2", "3e-2")
        return [train(*words, "engine.epochs=1", f"optimizer.lr={lr}", f"seed={n}") for n, lr in enumerate(lrs)]

    def folders(self, runs):
        return [RunFolder.open(run.folder) for run in runs]

    def test_each_their_mean_and_all_together_are_scored(self, runs):
        source = runner.build.data(runs[0].config).source("test")
        images, labels = source.pixels / 255, source.labels.numpy()
        with torch.no_grad():
            each = np.stack([run.model()(images).double().softmax(1).numpy() for run in runs])
        together = each.mean(0)
        right = each.argmax(2) == labels
        losses = [-np.log(one[np.arange(len(labels)), labels]).mean() for one in each]
        found = score_ensemble(self.folders(runs))
        assert found.names == [run.folder.name for run in runs]
        assert [one.accuracy.mean for one in found.members] == pytest.approx(right.mean(1).tolist())
        assert [one.loss for one in found.members] == pytest.approx(losses, rel=1e-5)
        assert found.mean_member.accuracy.mean == pytest.approx(right.mean())
        assert found.mean_member.loss == pytest.approx(np.mean(losses), rel=1e-5)
        joint = together.argmax(1) == labels
        assert found.ensemble.accuracy.mean == pytest.approx(joint.mean())
        loss = -np.log(together[np.arange(len(labels)), labels]).mean()
        assert found.ensemble.loss == pytest.approx(loss, rel=1e-5)
        assert loss < np.mean(losses), "as Jensen has it"
        gain = joint - right.mean(0)
        assert found.gain.mean == pytest.approx(gain.mean())
        half = 1.96 * gain.std() / np.sqrt(len(gain))
        assert (found.gain.ci_high - found.gain.ci_low) / 2 == pytest.approx(half, rel=0.1)
        assert (found.weights, found.averaging, found.num_images) == ([], "probabilities", len(labels))

    def test_of_the_greedy_choice_the_weights_are_told(self, runs):
        found = score_ensemble(self.folders(runs), greedy=True, averaging="logits")
        assert sum(found.weights) == pytest.approx(1)
        assert found.weights[0] == 0, "it has learned nothing"
        assert found.averaging == "logits"

    def test_another_validation_split_is_no_ground_for_a_greedy_choice(self, runs, train):
        other = train("model=linear", "data.images_per_class=5", "engine.epochs=1", "data.split_seed=5")
        folders = self.folders([runs[0], other])
        with pytest.raises(UserError, match=r"^--greedy: .* has another validation split than .*; name runs with the"):
            score_ensemble(folders, greedy=True)
        assert len(score_ensemble(folders).members) == 2, "without a choice it does not matter"

    def test_foreign_classes_are_built_on_trust_alone(self, runs):
        config = runs[1].folder / "config.yaml"
        config.write_text(config.read_text().replace("runner.loss.CrossEntropy", "collections.OrderedDict"))
        with pytest.raises(UserError, match="pass --trust"):
            score_ensemble(self.folders(runs))

    def test_other_classes_are_refused(self, runs, train):
        other = train("model=linear", "data.classes=[3,1,2]", "engine.epochs=1")
        with pytest.raises(UserError, match="classes"):
            score_ensemble(self.folders([runs[0], other]))

    def test_other_test_images_are_refused(self, train):
        words = ["data=synthetic", "model=linear", "engine.epochs=1"]
        folders = self.folders([train(*words, f"data.num_images={number}") for number in (100, 110)])
        with pytest.raises(UserError, match=r"its test images are not those of .*; name runs on the same data"):
            score_ensemble(folders)
