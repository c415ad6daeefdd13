"""What scores say of a classifier, against counts by hand."""

import pytest
import torch

from runner.inference.measure import measure

NAMES = ["cat", "dog", "owl"]


def scores_of(predicted, num_classes=3):
    return torch.eye(num_classes)[predicted]


def test_counts_by_hand():
    labels = torch.tensor([0, 0, 0, 1, 1, 2])
    found = measure(scores_of([0, 0, 1, 1, 0, 0]), labels, NAMES)
    assert found["confusion"] == [[2, 1, 0], [1, 1, 0], [1, 0, 0]]  # a row is a true class
    assert found["accuracy"] == pytest.approx(3 / 6)
    assert found["classes"]["cat"] == {
        "num_images": 3,
        "recall": pytest.approx(2 / 3),
        "precision": pytest.approx(2 / 4),
    }
    assert found["classes"]["dog"] == {"num_images": 2, "recall": 0.5, "precision": 0.5}
    assert found["classes"]["owl"] == {"num_images": 1, "recall": 0.0, "precision": None}  # never predicted


def test_a_class_without_images_has_no_recall():
    found = measure(scores_of([0, 2]), torch.tensor([0, 0]), NAMES)
    assert found["classes"]["owl"] == {"num_images": 0, "recall": None, "precision": 0.0}
    assert [len(row) for row in found["confusion"]] == [3, 3, 3]


def test_the_label_is_looked_for_among_the_five_best_scores():
    scores = torch.tensor([[7.0, 6, 5, 4, 3, 2, 1]]).repeat(7, 1)
    found = measure(scores, torch.arange(7), [str(k) for k in range(7)])
    assert found["top5_accuracy"] == pytest.approx(5 / 7)
    assert found["accuracy"] == pytest.approx(1 / 7)


def test_of_fewer_than_five_classes_all_are_looked_at():
    assert measure(scores_of([0, 1]), torch.tensor([2, 2]), NAMES)["top5_accuracy"] == 1.0
