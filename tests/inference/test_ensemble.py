"""Several classifiers as one, against values by hand."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from runner.inference.ensemble import bootstrap, choose_greedily, combine, member_names

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
