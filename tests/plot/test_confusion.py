"""The confusion matrix as a picture."""

import numpy as np
import pytest

from runner.plot.confusion import draw_confusion_matrix


@pytest.fixture
def drawn(monkeypatch, tmp_path):
    """Draws, and gives the figure instead of a file."""
    from matplotlib.figure import Figure

    kept = []
    monkeypatch.setattr(Figure, "savefig", lambda self, *_, **__: kept.append(self))

    def draw(counts, names):
        draw_confusion_matrix(counts, names, tmp_path / "confusion.png")
        return kept[-1].axes[0]

    return draw


def test_colors_are_shares_of_the_true_class_and_numbers_are_counts(drawn):
    axes = drawn([[8, 2, 0], [0, 5, 5], [0, 0, 0]], ["a", "b", "c"])
    (image,) = axes.images
    assert image.get_array().tolist() == [[0.8, 0.2, 0], [0, 0.5, 0.5], [0, 0, 0]]
    assert image.get_clim() == (0, 1)
    assert [(text.get_position(), text.get_text()) for text in axes.texts] == [
        *[((0, 0), "8"), ((1, 0), "2")],
        *[((1, 1), "5"), ((2, 1), "5")],
    ]
    assert [text.get_color() for text in axes.texts] == ["black", "white", "white", "white"]  # as the ground asks
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted class", "true class")


def test_long_names_are_turned(drawn):
    for names, turned in ((["0", "1"], 0), (["10", "11"], 0), (["cat", "dog"], 45)):
        axes = drawn(np.eye(2, dtype=int).tolist(), names)
        assert [label.get_text() for label in axes.get_xticklabels()] == names
        assert {label.get_rotation() for label in axes.get_xticklabels()} == {turned}
        assert [label.get_text() for label in axes.get_yticklabels()] == names


def test_many_classes_leave_numbers_then_names_out(drawn):
    def what(K):
        axes = drawn(np.eye(K, dtype=int).tolist(), [str(k) for k in range(K)])
        return len(axes.texts), [label.get_text() for label in axes.get_yticklabels()] == [str(k) for k in range(K)]

    assert [what(K) for K in (20, 21, 40, 41)] == [(20, True), (0, True), (0, True), (0, False)]


def test_the_picture_grows_with_the_classes_within_bounds(drawn):
    sides = [drawn(np.eye(K, dtype=int).tolist(), ["x"] * K).figure.get_size_inches().tolist() for K in (2, 10, 40)]
    assert sides == [[5.5, 4.5], [8, 7], [17, 16]]
