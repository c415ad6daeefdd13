"""The reliability diagram, by what its axes hold."""

import io

import pytest
from PIL import Image

from runner.plot.reliability import Points, draw_reliability
from tests.looks import figures_kept

CURVES = [Points("as trained", [0.5, 0.9], [0.4, 0.7], [1, 3]), Points("calibrated", [0.45, 0.75], [0.5, 0.7], [2, 2])]


@pytest.fixture
def axes():
    """The two panels of what is drawn, and the picture."""
    with figures_kept() as figures:
        picture = Image.open(io.BytesIO(draw_reliability(CURVES, "digits")))
    assert picture.format == "PNG"
    return figures[0].axes


def test_accuracy_stands_over_confidence_beside_the_diagonal(axes):
    diagonal, *drawn = axes[0].lines
    assert diagonal.get_xydata().tolist() == [[0, 0], [1, 1]]
    for line, curve in zip(drawn, CURVES, strict=True):
        assert line.get_xydata().tolist() == [list(pair) for pair in zip(curve.confidence, curve.accuracy, strict=True)]
    assert (axes[0].get_xlim(), axes[0].get_ylim()) == ((0, 1.01), (0, 1.02))  # all of 0 to 1


def test_below_is_the_share_of_the_images(axes):
    shares = [[[[0.5, 0], [0.5, 0.25]], [[0.9, 0], [0.9, 0.75]]], [[[0.45, 0], [0.45, 0.5]], [[0.75, 0], [0.75, 0.5]]]]
    assert [[part.tolist() for part in bars.get_segments()] for bars in axes[1].collections] == shares
    assert axes[1].get_ylim()[0] == 0


def test_the_diagram_says_what_it_shows(axes):
    texts = [text.get_text() for text in axes[0].get_legend().get_texts()]
    assert texts == ["accuracy = confidence", "as trained", "calibrated"]
    assert axes[0].get_title("left") == "digits"
    assert axes[0].get_ylabel() == "accuracy"
    assert axes[1].get_xlabel() == "confidence (probability of the predicted class)"
    assert axes[1].get_ylabel() == "share of images"


def test_a_curve_has_one_color_above_and_below_and_no_two_the_same(axes):
    above = [line.get_color() for line in axes[0].lines[1:]]
    assert above == ["#0072B2", "#D55E00"]
    below = [bars.get_color()[0][:3].tolist() for bars in axes[1].collections]
    assert below == [pytest.approx([0, 0x72 / 255, 0xB2 / 255]), pytest.approx([0xD5 / 255, 0x5E / 255, 0])]


def test_a_curve_without_images_is_drawn_as_none():
    Image.open(io.BytesIO(draw_reliability([Points("none", [0.5], [0.0], [0])], "x"))).load()
