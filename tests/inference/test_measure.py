"""What scores say of a classifier, against counts by hand."""

import pytest
import torch

from runner.inference.measure import measure

NAMES = ["cat", "dog", "owl"]
KEYS = ("num_images", "recall", "precision", "f1")


def scores_of(predicted, num_classes=3):
    return torch.eye(num_classes)[predicted]


def test_counts_by_hand():
    labels = torch.tensor([0, 0, 0, 1, 1, 2])
    found = measure(scores_of([0, 0, 1, 1, 0, 0]), labels, NAMES)
    assert found["confusion"] == [[2, 1, 0], [1, 1, 0], [1, 0, 0]]  # a row is a true class
    assert found["accuracy"] == pytest.approx(3 / 6)
    figures = {name: [row[key] for key in KEYS] for name, row in found["classes"].items()}
    assert figures["cat"] == pytest.approx([3, 2 / 3, 2 / 4, 4 / 7])  # F1 = 2 * 2 / (3 images + 4 predicted)
    assert figures["dog"] == [2, 0.5, 0.5, 0.5]
    assert figures["owl"] == [1, 0.0, None, 0.0]  # never predicted


def test_a_class_without_images_has_no_recall():
    found = measure(scores_of([0, 2]), torch.tensor([0, 0]), NAMES)
    assert [found["classes"]["owl"][key] for key in KEYS] == [0, None, 0.0, None]
    assert found["classes"]["owl"]["recall_ci"] is None
    assert [len(row) for row in found["confusion"]] == [3, 3, 3]


def test_the_label_is_looked_for_among_the_five_best_scores():
    scores = torch.tensor([[7.0, 6, 5, 4, 3, 2, 1]]).repeat(7, 1)
    found = measure(scores, torch.arange(7), [str(k) for k in range(7)])
    assert found["top5_accuracy"] == pytest.approx(5 / 7)
    assert found["accuracy"] == pytest.approx(1 / 7)


def test_of_five_classes_or_fewer_top_5_says_nothing():
    assert measure(scores_of([0, 1]), torch.tensor([2, 2]), NAMES)["top5_accuracy"] is None
    five = [str(k) for k in range(5)]
    assert measure(scores_of([0, 1], 5), torch.tensor([2, 2]), five)["top5_accuracy"] is None


def test_means_over_classes_are_those_of_scikit_learn():
    from sklearn.metrics import precision_recall_fscore_support

    draws = torch.Generator().manual_seed(0)
    labels, predicted = (torch.randint(7, (90,), generator=draws) for _ in range(2))
    predicted[predicted == 6] = 5  # a class that is never predicted
    found = measure(scores_of(predicted, 7), labels, [str(k) for k in range(7)])
    precision, recall, f1, _ = precision_recall_fscore_support(labels, predicted, average="macro", zero_division=0)
    expected = {"precision": precision, "recall": recall, "f1": f1}
    assert found["macro"] == pytest.approx(expected)


def test_intervals_are_wilsons():
    """Of 9 in 10: 0.596 to 0.982, by Brown, Cai and DasGupta 2001's formula worked out by hand."""
    labels = torch.zeros(10, dtype=torch.long)
    found = measure(scores_of([0] * 9 + [1]), labels, NAMES)
    assert found["accuracy_ci"] == pytest.approx([0.5958, 0.9821], abs=1e-4)
    assert found["classes"]["cat"]["recall_ci"] == found["accuracy_ci"]
    assert found["classes"]["cat"]["precision_ci"] == pytest.approx([9 / (9 + 1.959964**2), 1.0])  # of 9 in 9
