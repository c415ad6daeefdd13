"""Splits, folds and shares: of every class alike, groups kept together, the same for a seed."""

import pytest
import torch

from runner.data import Synthetic
from runner.data.cut import fold_numbers, share_of_class, stratified

LABELS = torch.tensor([0] * 100 + [1] * 40 + [2] * 7)
# 30 patients of ten images: those of the first 20 are of class 0, of the next five of class 1, of the last of both.
GROUPS = torch.arange(300) // 10
MIXED = torch.cat([torch.zeros(200), torch.ones(50), torch.arange(50) % 2]).long()


def counts(labels, indices):
    return torch.bincount(labels[indices], minlength=int(labels.max()) + 1).tolist()


def test_folds_hold_every_image_once_and_every_class_alike():
    folds = fold_numbers(LABELS, 5, seed=0)
    tables = [counts(LABELS, folds == fold) for fold in range(5)]
    assert [sum(column) for column in zip(*tables, strict=True)] == [100, 40, 7]
    for column in zip(*tables, strict=True):
        assert max(column) - min(column) <= 1
    sizes = [sum(table) for table in tables]
    assert max(sizes) - min(sizes) <= 1


def test_folds_are_those_of_their_seed():
    assert torch.equal(fold_numbers(LABELS, 5, seed=3), fold_numbers(LABELS, 5, seed=3))
    assert not torch.equal(fold_numbers(LABELS, 5, seed=3), fold_numbers(LABELS, 5, seed=4))


def test_many_small_classes_do_not_all_leave_their_remainder_to_the_first_fold():
    labels = torch.arange(12) // 3  # four classes of three, in two folds
    sizes = torch.bincount(fold_numbers(labels, 2, seed=0))
    assert sizes.tolist() == [6, 6]


@pytest.mark.parametrize("seed", range(5))
def test_no_group_is_in_two_splits_and_classes_keep_their_share(seed):
    held = stratified(MIXED, 0.2, seed, GROUPS)
    rest = torch.ones(300, dtype=torch.bool)
    rest[held] = False
    assert not set(GROUPS[held].tolist()) & set(GROUPS[rest].tolist())
    zeros, ones = counts(MIXED, held)
    assert 30 <= zeros <= 60  # a fifth of 225, by groups of ten
    assert 10 <= ones <= 25  # a fifth of 75


@pytest.mark.parametrize("seed", range(5))
def test_no_group_is_in_two_folds(seed):
    folds = fold_numbers(MIXED, 5, seed, GROUPS)
    for group in range(30):
        assert len(folds[group == GROUPS].unique()) == 1
    for fold in range(5):
        zeros, ones = counts(MIXED, folds == fold)
        assert 35 <= zeros <= 55
        assert 10 <= ones <= 20


def test_a_class_of_two_groups_has_one_on_either_side_however_small_the_share():
    labels, groups = torch.tensor([0] * 50 + [1] * 4), torch.cat([torch.arange(50), torch.tensor([60, 60, 61, 61])])
    assert counts(labels, stratified(labels, 0.02, 0, groups))[1] == 2


def test_a_class_of_one_group_is_never_held_out_whole():
    labels, groups = torch.tensor([0] * 50 + [1] * 4), torch.cat([torch.arange(50), torch.full((4,), 60)])
    for seed in range(5):
        assert counts(labels, stratified(labels, 0.5, seed, groups)) == [25, 0]
    one = torch.tensor([0] * 50 + [1])
    for seed in range(5):
        assert counts(one, stratified(one, 0.5, seed, torch.arange(51))) == [25, 0]
        assert counts(one, stratified(one, 0.02, seed, torch.arange(51))) == [1, 0]


def test_groups_of_one_image_are_cut_as_images_are():
    held = stratified(LABELS, 0.1, 0, torch.arange(len(LABELS)))
    assert counts(LABELS, held) == [10, 4, 1]


def test_a_share_is_of_every_class_and_at_least_one():
    assert counts(LABELS, share_of_class(LABELS, 0.1, None, seed=0)) == [10, 4, 1]
    assert counts(LABELS, share_of_class(LABELS, 0.01, None, seed=0)) == [1, 1, 1]
    assert counts(LABELS, share_of_class(LABELS, 1.0, 10, seed=0)) == [10, 10, 7]


def test_a_smaller_share_is_part_of_a_larger_one():
    small, large = (set(share_of_class(LABELS, share, None, seed=1).tolist()) for share in (0.2, 0.5))
    assert small < large


def test_as_many_folds_as_images_leave_one_out():
    splits = [Synthetic(num_images=5, image_size=8, folds=5, fold=fold) for fold in range(5)]
    assert [(len(data.source("train")), len(data.source("val"))) for data in splits] == [(4, 1)] * 5
