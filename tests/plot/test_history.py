"""The picture of one training, by what its axes hold."""

import pytest

from runner.plot.history import draw_history
from tests.looks import figures_kept


@pytest.fixture
def panels():
    """`panels(records)`: the axes for the loss, the accuracy and the rate."""

    def draw(records):
        with figures_kept() as figures:
            draw_history(records, "digits-linear")
        assert figures[0].get_suptitle() == "digits-linear"
        return figures[0].axes

    return draw


def record(epoch, loss=1.0, rate=0.1, **more):
    metrics = {"train/loss": loss, "val/loss": 2 * loss, "train/accuracy": 0.9, "val/accuracy": 0.8}
    return {"epoch": epoch, **metrics, "lr": rate} | more


def test_each_metric_is_a_line_over_the_epochs(panels):
    loss, accuracy, rate = panels([record(1), record(2, 0.5, 0.05), record(3, 0.25, 0.01)])
    assert [line.get_xydata().tolist() for line in loss.lines] == [
        [[1, 1], [2, 0.5], [3, 0.25]],
        [[1, 2], [2, 1], [3, 0.5]],
    ]
    assert [line.get_ydata().tolist() for line in accuracy.lines] == [[0.9] * 3, [0.8] * 3]
    assert rate.lines[0].get_ydata().tolist() == [0.1, 0.05, 0.01]
    assert [axes.get_title("left") for axes in (loss, accuracy, rate)] == ["loss", "accuracy", "learning rate"]
    assert {axes.get_xlabel() for axes in (loss, accuracy, rate)} == {"epoch"}


def test_training_and_validation_are_told_apart_by_color_and_name(panels):
    loss, accuracy, rate = panels([record(1), record(2)])
    for axes in (loss, accuracy):
        assert [text.get_text() for text in axes.get_legend().get_texts()] == ["train", "val"]
        assert [line.get_color() for line in axes.lines] == ["#0072B2", "#D55E00"]
    assert rate.get_legend() is None


def test_one_or_two_epochs_have_markers_for_a_line_would_not_be_seen(panels):
    for count, marker in ((1, "o"), (2, "o"), (3, "None")):
        axes = panels([record(epoch) for epoch in range(1, count + 1)])
        assert {line.get_marker() for each in axes for line in each.lines} == {marker}


@pytest.mark.parametrize(("last", "scale"), [(0.11, "linear"), (0.09, "log"), (0.0, "linear")])
def test_losses_that_fall_to_less_than_a_twentieth_are_on_a_logarithmic_axis(panels, last, scale):
    loss, accuracy, rate = panels([record(1, 1.0), record(2, last)])  # of which val/loss is twice
    assert loss.get_yscale() == scale
    assert (accuracy.get_yscale(), rate.get_yscale()) == ("linear", "linear")


def test_small_rates_have_their_power_of_ten_once_above_the_axis(panels):
    *_, rate = panels([record(1, rate=2e-4), record(2, rate=1e-4)])
    rate.figure.canvas.draw()
    assert "10^{" in rate.yaxis.get_offset_text().get_text() or "e" in rate.yaxis.get_offset_text().get_text()
    *_, rate = panels([record(1, rate=0.2), record(2, rate=0.1)])
    rate.figure.canvas.draw()
    assert rate.yaxis.get_offset_text().get_text() == ""


def test_epochs_that_were_not_validated_leave_a_gap_and_no_metric_no_line(panels):
    loss, accuracy, _ = panels([record(1, **{"val/loss": None}), {"epoch": 2, "train/loss": 0.5, "lr": 0.1}])
    assert [line.get_xdata().tolist() for line in loss.lines] == [[1, 2]]
    assert [line.get_xdata().tolist() for line in accuracy.lines] == [[1], [1]]
    _, accuracy, _ = panels([{"epoch": 1, "train/loss": 0.5, "lr": 0.1}])
    assert accuracy.get_legend() is None


def test_ticks_are_whole_epochs(panels):
    for axes in panels([record(1), record(2)]):
        assert all(tick == int(tick) for tick in axes.get_xticks())
