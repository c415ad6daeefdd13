"""Curves with their bands."""

import io

import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from runner.plot.curves import Curve, band, draw_curves
from runner.statistics import interval
from tests.looks import figures_kept


def test_a_band_is_the_interval_of_three_runs_and_the_range_of_two():
    runs = [[(1, 0.5), (2, 0.8)], [(1, 0.6), (2, 0.9)], [(1, 0.7), (2, 0.85)]]
    three, two, one = band(runs), band(runs[:2]), band(runs[:1])
    estimate = interval([0.8, 0.9, 0.85])
    assert (three.low[1], three.mean[1], three.high[1]) == (estimate.ci_low, estimate.mean, estimate.ci_high)
    assert (two.low, two.high) == ([0.5, 0.8], [0.6, 0.9])
    assert one.low == one.mean == one.high == [0.5, 0.8]


def test_a_band_ends_where_the_shortest_run_does():
    assert band([[(1, 0.5), (2, 0.8), (3, 0.9)], [(1, 0.6), (2, 0.7)], []]).epochs == [1, 2]
    assert band([[], []]).epochs == []


@pytest.fixture
def drawn():
    """Draws, and gives the figure."""

    def draw(curves, metric="val/loss"):
        with figures_kept() as figures:
            draw_curves(curves, metric, io.BytesIO())
        return figures[0]

    return draw


def words(figure):
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def test_losses_are_drawn_on_a_logarithmic_axis_and_accuracies_not(drawn):
    curves = [Curve("a", [[(1, 0.5), (2, 0.01)], [(1, 0.5), (2, 0.9)], [(1, 0.4), (2, 0.02)]])]  # interval below 0
    assert drawn(curves).axes[0].get_yscale() == "log"
    assert drawn(curves, "val/accuracy").axes[0].get_yscale() == "linear"
    assert drawn([Curve("a", [[(1, 0.0), (2, 0.1)]])]).axes[0].get_yscale() == "linear"


def test_an_interval_down_to_almost_zero_does_not_stretch_the_axis(drawn):
    spread = 0.4025  # of three values, which puts the lower bound at 0.0001
    axes = drawn([Curve("a", [[(1, 1 - spread), (2, 1)], [(1, 1), (2, 1)], [(1, 1 + spread), (2, 1)]])]).axes[0]
    assert 0.05 < axes.get_ylim()[0] < 1


def test_curves_of_one_or_two_epochs_have_markers_for_a_line_would_not_be_seen(drawn):
    curves = [Curve(str(n), [[(epoch, 0.5) for epoch in range(1, n + 1)]]) for n in (1, 2, 3)]
    assert [line.get_marker() for line in drawn(curves).axes[0].lines] == ["o", "o", "None"]


def test_each_curve_has_a_color_and_its_band_the_same(drawn):
    axes = drawn([Curve(name, [[(1, 0.5), (2, 0.6), (3, 0.7)]]) for name in "ab"], "val/accuracy").axes[0]
    assert [line.get_color() for line in axes.lines] == ["#0072B2", "#D55E00"]
    assert [tuple(band.get_facecolor()[0][:3]) for band in axes.collections] == [to_rgb("#0072B2"), to_rgb("#D55E00")]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("epoch", "val/accuracy")


def test_ten_curves_are_drawn_and_the_figure_says_of_how_many(drawn):
    figure = drawn([Curve(f"lr={i}", [[(1, 1 + i), (2, 1 + i)]]) for i in range(12)])
    assert len(figure.axes[0].lines) == 10
    assert words(figure)[0] == "lr=0"
    assert figure.axes[0].get_title("left") == "the first 10 of 12 rows"


def test_the_figure_says_what_its_bands_and_dashes_are(drawn):
    two, three = [[(1, 0.5)], [(1, 0.6)]], [[(1, 0.5)], [(1, 0.6)], [(1, 0.7)]]
    running = Curve("c", [[(1, 0.5)]], finished=False)
    figure = drawn([Curve("a", two), Curve("b", three), running, Curve("d", [], finished=False)])
    title = figure.axes[0].get_title("left")
    assert title == "line: mean, band: 95% interval over runs, least and most of two runs; dotted: no run has finished"
    assert words(figure)[-1] == "d (no values)"
    assert [line.get_linestyle() for line in figure.axes[0].lines] == ["-", "--", ":", ":"]
    assert words(figure)[2:] == ["c (not finished)", "d (no values)"]


def test_a_band_is_cut_at_what_is_possible(drawn):
    runs = [[(1, 0.99)], [(1, 0.999)], [(1, 0.9)]]  # whose interval reaches above 1
    assert band(runs).high[0] > 1
    (area,) = drawn([Curve("a", runs)], "val/accuracy").axes[0].collections
    assert area.get_paths()[0].vertices[:, 1].max() == 1
    losses = [[(1, 0.0)], [(1, 0.1)], [(1, 0.5)]]
    assert band(losses).low[0] < 0
    (area,) = drawn([Curve("a", losses), Curve("b", [[(1, 0.0)]])]).axes[0].collections[:1]
    assert area.get_paths()[0].vertices[:, 1].min() == 0


def test_the_last_epochs_are_drawn_again_enlarged(drawn):
    long = [(epoch, 1 - 1 / epoch) for epoch in range(1, 31)]
    half = [(epoch, value / 2) for epoch, value in long]
    whole, end = drawn([Curve("a", [long]), Curve("b", [half])], "val/accuracy").axes
    assert whole.get_xlim()[0] < 1
    assert 19 < end.get_xlim()[0] < 25
    low, high = end.get_ylim()
    assert low < 0.48 < 0.967 < high < 1.05
    assert len(drawn([Curve("a", [long[:5]])], "val/accuracy").axes) == 1


def test_an_outlier_does_not_spoil_the_enlargement(drawn):
    curves = [Curve(str(i), [[(epoch, 0.9 + i / 1000) for epoch in range(1, 10)]]) for i in range(5)]
    outlier = Curve("bad", [[(epoch, 0.1) for epoch in range(1, 10)]])
    low, high = drawn([*curves, outlier], "val/accuracy").axes[1].get_ylim()
    assert 0.89 < low < 0.9 < 0.904 < high < 0.91


def test_ticks_are_whole_epochs(drawn):
    for axes in drawn([Curve("a", [[(epoch, 0.5) for epoch in range(1, 8)]])], "val/accuracy").axes:
        assert all(tick == int(tick) for tick in axes.get_xticks())


def test_a_dark_page_has_a_dark_picture_and_a_phone_a_narrow_one():
    curves = [Curve("a", [[(epoch, 0.5) for epoch in range(1, 8)]])]

    def picture(**how):
        file = io.BytesIO()
        draw_curves(curves, "val/accuracy", file, **how)
        return Image.open(file).convert("RGB")

    assert picture().getpixel((1, 1)) == (255, 255, 255)
    assert picture(dark=True).getpixel((1, 1)) == (0x16, 0x19, 0x1D)
    narrow = picture(narrow=True)
    assert narrow.width < 0.5 * picture().width
    assert narrow.height > narrow.width


def test_the_last_epochs_are_shown_from_their_first_on(drawn):
    values = [(1, 0.1), (2, 0.2), (3, 0.3), (4, 0.3), (5, 0.9), (6, 0.6), (7, 0.5)]
    end = drawn([Curve("a", [values])], "val/accuracy").axes[1]
    assert end.get_xlim()[0] == 5
    assert end.get_ylim()[1] > 0.9
